"""The checks that run for everyone on GitHub are those of `.ci/run`: no second list of commands."""

import re
from itertools import product
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCRIPT = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
PARTS = re.findall(r"^part_(\w+)\(\)", SCRIPT, re.MULTILINE)
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in (ROOT / ".github" / "workflows").glob("*.yml")
}


def commands(job):
    """The commands of a job, one for each combination of its matrix."""
    matrix = job.get("strategy", {}).get("matrix", {})
    for values in product(*matrix.values()):
        for step in job["steps"]:
            if "run" in step:
                text = step["run"]
                for name, value in zip(matrix, values, strict=True):
                    text = text.replace(f"${{{{ matrix.{name} }}}}", value)
                yield text


@pytest.mark.parametrize("name", sorted(WORKFLOWS))
def test_a_workflow_has_no_command_of_its_own(name):
    found = [text for job in WORKFLOWS[name]["jobs"].values() for text in commands(job)]
    assert found
    for text in found:
        command, *parts = text.removeprefix("bash ").split()
        assert command == ".ci/run" and set(parts) <= set(PARTS)


def test_the_checks_are_all_parts_of_the_script_each_in_one_job():
    jobs = WORKFLOWS["checks"]["jobs"]
    parts = [{text.split()[-1] for text in commands(job)} for job in jobs.values()]
    assert sorted(part for found in parts for part in found) == sorted(PARTS)


def test_a_release_passes_all_checks_before_it_is_published():
    build, publish = (WORKFLOWS["release"]["jobs"][name] for name in ("build", "publish"))
    assert list(commands(build)) == ["bash .ci/run"] and publish["needs"] == "build"
    assert WORKFLOWS["release"]["permissions"] == {"contents": "read"}
    assert publish["permissions"] == {"id-token": "write"}


def test_without_parts_the_script_runs_all_of_them():
    (named,) = re.findall(r"^\[ \$# -gt 0 \] \|\| set -- (.*)$", SCRIPT, re.MULTILINE)
    assert sorted(named.split()) == sorted(PARTS)
    assert f"all parts: {named}\n" in SCRIPT


def test_the_tests_run_on_three_systems_with_every_python_that_the_package_takes():
    matrix = WORKFLOWS["checks"]["jobs"]["tests"]["strategy"]["matrix"]
    assert [name.partition("-")[0] for name in matrix["system"]] == ["ubuntu", "macos", "windows"]
    named = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PYPROJECT)
    assert matrix["python"] == named


@pytest.mark.parametrize("name", sorted(WORKFLOWS))
def test_every_action_is_fixed_to_one_commit(name):
    used = [
        step["uses"]
        for job in WORKFLOWS[name]["jobs"].values()
        for step in job["steps"]
        if "uses" in step
    ]
    assert used
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action) for action in used)
