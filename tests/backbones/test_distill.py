"""`weights/distill.py` on two steps with random data. Needs torch."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("onnx", reason="the extra `train` is not installed")
sys.path.insert(0, str(Path(__file__).parents[2] / "weights"))

import distill  # noqa: E402
import distill_student  # noqa: E402
import distill_teacher  # noqa: E402

from minicore.backbones.convert.resnet import resnet_to_onnx  # noqa: E402
from minicore.backbones.telemetry import onnxruntime  # noqa: E402


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    """Six noise photographs, and a seeded student as the teacher."""
    root = tmp_path_factory.mktemp("lesson")
    rng = np.random.default_rng(0)
    (root / "photos").mkdir()
    for i in range(6):
        image = rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)
        Image.fromarray(image).save(root / "photos" / f"{i}.png")
    torch.manual_seed(1)
    state = distill_student.Student().state_dict()
    resnet_to_onnx({k: v.numpy() for k, v in state.items()}, root / "teacher.onnx")
    return root


def options(root, *more):
    small = "--size 64 --final-size 96 --batch 8 --held-out 2 --threads 1 --crops 48 --every 24"
    small += " --stem-steps 3"
    paths = ["--teacher", root / "teacher.onnx", "--photos", root / "photos", "--out", root / "out"]
    return [*map(str, paths), *small.split(), *more]


def test_replayed_teacher_equals_onnxruntime(lesson):
    path = lesson / "teacher.onnx"
    x = torch.rand(2, 3, 70, 64)
    teacher = distill_teacher.Teacher(path, 1, torch.float32)
    assert teacher.session is None
    expected = onnxruntime.InferenceSession(str(path)).run(None, {"image": x.numpy()})
    for ours, theirs in zip(teacher(x), expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-4 * np.abs(theirs).max())


def test_student_has_a_quarter_of_the_widths_and_1_6_million_parameters():
    student = distill_student.Student()
    maps = student(student.stem(torch.zeros(2, 3, 64, 64)))
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 16, 16), (128, 8, 8), (256, 4, 4)]
    assert 1.5e6 < sum(p.numel() for p in student.parameters()) < 1.7e6


def test_stem_is_learned_from_random_weights_and_then_stays(lesson):
    run = distill.Run(distill.arguments(options(lesson, "--float32", "--stem-steps", "30")))
    torch.manual_seed(0)
    start = distill_student.Student().eval()
    learned = run.student.conv1.weight.detach().clone()
    x = run.crops.batch(8, 64)
    target = run.teacher.stem(x)
    before, after = (
        (torch.relu(s.bn1(s.conv1(x))) - target).square().mean().item()
        for s in (start, run.student.eval())
    )
    assert after < before
    run.student.train()
    run.step()
    assert torch.equal(run.student.conv1.weight, learned)


@pytest.mark.parametrize("stem_steps", ["3", "0"])
def test_resumed_run_equals_an_uninterrupted_one(lesson, stem_steps):
    args = distill.arguments(options(lesson, "--stem-steps", stem_steps))
    torch.set_num_threads(1)
    whole = distill.Run(args)
    for _ in range(2):
        whole.step()
    torch.save(whole.state(), lesson / "half.pt")
    for _ in range(2):
        whole.step()
    resumed = distill.Run(args)
    resumed.restore(lesson / "half.pt")
    for _ in range(2):
        resumed.step()
    assert resumed.seen == whole.seen
    theirs = resumed.student.state_dict()
    for name, value in whole.student.state_dict().items():
        assert torch.equal(value, theirs[name]), name


def test_main_trains_and_exports_the_students_own_maps(lesson):
    distill.main(options(lesson))
    out = lesson / "out"
    assert (out / "default.onnx").stat().st_size < 7e6
    from safetensors.torch import load_file

    student = distill_student.Student().eval()
    student.load_state_dict(load_file(out / "default.safetensors"), strict=False)
    x = torch.randn(1, 3, 75, 64)
    session = onnxruntime.InferenceSession(str(out / "default.onnx"))
    with torch.no_grad():
        expected = student(student.stem(x))
    for ours, theirs in zip(session.run(None, {"image": x.numpy()}), expected, strict=True):
        scale = theirs.abs().max().item()
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4 * scale)


def test_teacher_without_the_layers_is_refused_by_name(lesson, tmp_path):
    torch.manual_seed(1)
    state = distill_student.Student().state_dict()
    arrays = {k: v.numpy() for k, v in state.items()}
    path = resnet_to_onnx(arrays, tmp_path / "short.onnx", layers=("layer1", "layer2"))
    with pytest.raises(ValueError, match="no output named layer3"):
        distill_teacher.Teacher(path, 1)
