"""For any bytes: a result or one clear error, and no other error, hang or excess of memory."""

import re
from pathlib import Path
from random import Random

import pytest

pytest.importorskip("onnx", reason="needs onnx to write the networks that models are fitted with")
pytest.importorskip("resource", reason="needs POSIX to bound memory and time")

from fuzz.drive import cases, judge, without_values
from fuzz.targets import targets

from minicore.backbones.telemetry import onnxruntime

KEPT = Path(__file__).parents[1] / "fuzz" / "seeds"
SEEDS = sorted(KEPT.glob("*/*"))
CASES = {"image": 400, "checkpoint": 100, "legacy": 200, "safetensors": 400, "dataset": 100,
         "model": 100, "network": 150, "export": 150}  # fmt: skip
TARGETS = {target.name: target for target in targets()}
TABLE = re.findall(r"^\| (\w+/\w+) \| .+ \| .+ \| (.+) \|$", (KEPT / "README.md").read_text(), re.M)


@pytest.fixture
def survivable(request):
    """Skip seeds that end the process of the tests, by a division by zero in onnxruntime."""
    version = tuple(map(int, onnxruntime.__version__.split(".")[:2]))
    if request.node.callspec.id.startswith(("network", "export")) and version < (1, 28):
        pytest.skip("onnxruntime before 1.28 divides by zero in some damaged networks")


@pytest.mark.slow
@pytest.mark.usefixtures("survivable")
@pytest.mark.parametrize("name", TARGETS)
def test_a_changed_file_gives_a_result_or_one_error_that_names_it(name, tmp_path):
    valid, scratch = tmp_path / "valid", tmp_path / "scratch"
    valid.mkdir()
    scratch.mkdir()
    target = TARGETS[name]
    seeds = target.seeds(valid)
    for content in seeds:  # the valid files are accepted
        judge(target, content, scratch)
    stream = cases(target, seeds, Random(0))
    content, endings = next(stream), set()
    for _ in range(CASES[name]):
        ending = judge(target, content, scratch)
        endings.add(ending)
        content = stream.send(ending)
    assert "a result" in endings and len(endings) > 2, endings  # some cases pass the first check


def test_the_table_has_one_row_for_each_seed():
    assert [seed for seed, _ in TABLE] == [f"{p.parent.name}/{p.name}" for p in SEEDS]


@pytest.mark.usefixtures("survivable")
@pytest.mark.parametrize("seed, message", TABLE, ids=[seed.replace("/", "-") for seed, _ in TABLE])
def test_a_file_that_once_broke_it_does_so_no_more(seed, message, tmp_path):
    ending = judge(TARGETS[seed.split("/")[0]], (KEPT / seed).read_bytes(), tmp_path)
    assert without_values(message) in ending
