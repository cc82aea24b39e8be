"""Addresses are those of pyproject.toml, the citation is that of this version, settings parse."""

import json
import re
from pathlib import Path

import pytest
import yaml
from project_file import EXTRAS, PROJECT

from minicore import __version__

ROOT = Path(__file__).parents[2]
URLS = PROJECT["urls"]
REPOSITORY, DOCUMENTATION = URLS["Repository"], URLS["Documentation"]
# Services that open a repository. Their addresses contain its owner and its name.
SERVICES = (
    "https://codespaces.new",
    "https://colab.research.google.com/github",
    "https://mybinder.org/v2/gh",
    "https://raw.githubusercontent.com",
)
ROOTS = (
    REPOSITORY,
    DOCUMENTATION,
    f"https://pypi.org/project/{PROJECT['name']}",
    *(service + REPOSITORY.removeprefix("https://github.com") for service in SERVICES),
)
ADDRESS = re.compile(r"https?://[^\s\"'<>`\\)\]}|]*minicore[^\s\"'<>`\\)\]}|]*", re.IGNORECASE)
FOLDERS = (".binder", ".ci", ".devcontainer", ".github", "docs", "minicore", "notebooks", "tests")
GENERATED = ("docs/_build/", "docs/notebooks/")
FILES = sorted(
    path
    for folder in ("", *FOLDERS)
    for path in (ROOT / folder).glob("**/*" if folder else "*")
    if path.is_file() and not path.relative_to(ROOT).as_posix().startswith(GENERATED)
)
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def strange(text: str) -> list[str]:
    """The addresses of minicore that do not begin with one of pyproject.toml."""
    allowed = re.compile(f"(?:{'|'.join(map(re.escape, ROOTS))})(?=$|[/?#.,;:])")
    return [address for address in ADDRESS.findall(text) if not allowed.match(address)]


def test_every_address_begins_with_one_of_pyproject():
    found = {path: strange(path.read_text(encoding="utf-8", errors="ignore")) for path in FILES}
    found.pop(Path(__file__))
    assert {path: addresses for path, addresses in found.items() if addresses} == {}


def test_the_addresses_of_these_files_are_compared():
    names = {path.relative_to(ROOT).as_posix() for path in FILES}
    assert names >= {"CITATION.cff", "README.md", "pyproject.toml", ".github/SECURITY.md"}
    assert names >= {".readthedocs.yaml", ".binder/environment.yml", "docs/index.md"}


def test_another_address_is_found():
    wrong = [
        "https://github.com/somebody/minicore",
        f"{REPOSITORY}2",
        "http" + REPOSITORY.removeprefix("https"),
        "https://minicore.readthedocs.io/en/latest",
        "https://mybinder.org/v2/gh/somebody/minicore/HEAD",
        "https://pypi.org/project/minicore/",
    ]
    right = [*ROOTS, f"{REPOSITORY}/issues", f"{DOCUMENTATION}/en/latest", f"{REPOSITORY}."]
    assert strange(" ".join(f"[x]({address})" for address in wrong + right)) == wrong


def test_the_addresses_of_pyproject_are_those_of_the_repository():
    assert URLS["Issues"] == f"{REPOSITORY}/issues"
    assert URLS["Changelog"] == f"{REPOSITORY}/blob/main/CHANGELOG.md"


def test_the_citation_has_the_version_and_the_date_of_the_last_release():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(\d.*)\] – (.+)$", changes, re.MULTILINE)
    assert (CITATION["version"], str(CITATION.get("date-released", "unreleased"))) == headings[0]
    assert ".dev" in __version__ or CITATION["version"] == __version__


def test_the_page_on_citing_says_the_same_as_the_citation_file():
    page = (ROOT / "docs" / "references.md").read_text(encoding="utf-8")
    paper, software = re.findall(r"^```bibtex\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (reference,) = CITATION["references"]
    last_names = [author["family-names"] for author in reference["authors"]]
    found = re.findall(r"([\w{}\\\"]+), \w+", paper.split("author")[1].split("title")[0])
    assert [name.replace('{\\"o}', "ö").strip("{") for name in found] == last_names
    for value in (reference["title"], reference["doi"], str(reference["year"])):
        assert f"{{{value}}}" in paper
    for value in (CITATION["title"], CITATION["version"], CITATION["repository-code"]):
        assert f"{{{value}}}" in software


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.suffix in {".yml", ".yaml", ".cff"}],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_yaml_parses(path):
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


def test_the_dev_container_builds_the_dockerfile_beside_it():
    folder = ROOT / ".devcontainer"
    text = (folder / "devcontainer.json").read_text(encoding="utf-8")
    settings = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    dockerfile = (folder / settings["build"]["dockerfile"]).read_text(encoding="utf-8")
    assert (folder / settings["build"]["context"]).resolve() == ROOT
    assert f"USER {settings['remoteUser']}\n" in dockerfile


@pytest.mark.parametrize(
    "file", [".binder/environment.yml", ".devcontainer/Dockerfile", ".readthedocs.yaml"]
)
def test_every_extra_that_an_environment_installs_is_there(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    lists = re.findall(r"(?:-e \"?\.+|extra_requirements: )\[([\w, ]+)\]", text)
    named = {name.strip() for found in lists for name in found.split(",")}
    assert named and named <= EXTRAS.keys()
