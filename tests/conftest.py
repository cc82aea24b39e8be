"""Fixtures for all test files."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicore import datasets
from minicore.cli import main


@pytest.fixture(scope="session", autouse=True)
def fixed_time():
    """Give every fit the same time, so that tests can compare the bytes of saved models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        yield


@pytest.fixture
def shared() -> Path:
    """Return the folder of real data, weights and golden files next to the checkout, or skip."""
    folder = Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs ../shared: real images, weights and golden files, not in the repository")
    return folder


# Tests that need what some systems lack use one of these fixtures, which skip them there.


@pytest.fixture(scope="session")
def posix():
    """Skip on Windows, which has no POSIX signals, limits and permissions."""
    if os.name == "nt":
        pytest.skip("needs POSIX signals, limits and permissions")


@pytest.fixture(scope="session")
def any_name():
    """Skip on Windows, where a name cannot contain all characters."""
    if os.name == "nt":
        pytest.skip("needs names with control characters or bars, or names that are not text")


@pytest.fixture(scope="session")
def pipes():
    """Skip where a named pipe cannot be made."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs named pipes")


@pytest.fixture(scope="session")
def links(tmp_path_factory):
    """Skip where this user cannot make symbolic links, as most users of Windows."""
    folder = tmp_path_factory.mktemp("links")
    (folder / "file").touch()
    try:
        (folder / "link").symlink_to(folder / "file")
        made = (folder / "link").is_symlink() and (folder / "link").samefile(folder / "file")
    except OSError:
        made = False
    if not made:
        pytest.skip("needs the right to make symbolic links")


@pytest.fixture(scope="session")
def browser() -> str:
    """Return the path of a browser, or skip."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"no browser found: {', '.join(names)}")
    return found


@pytest.fixture(scope="session")
def write_tiny():
    """Write a network of four random convolutions: 8 channels at stride 8, 12 at stride 16.

    `scale` multiplies its features.
    """
    from onnx import TensorProto, helper, save
    from onnx.numpy_helper import from_array

    def write(path: Path, seed: int = 0, scale: float = 1.0) -> Path:
        rng = np.random.default_rng(seed)
        names, channels = ["image", "stem", "layer1", "layer2", "layer3"], [3, 6, 8, 8, 12]
        nodes, values, weights = [], [], []
        for i in range(5):
            sides = ("n", channels[i], f"h{i}", f"w{i}")
            values.append(helper.make_tensor_value_info(names[i], TensorProto.FLOAT, sides))
        for i in range(1, 5):
            w = rng.standard_normal((channels[i], channels[i - 1], 3, 3)) / np.sqrt(9 * channels[i])
            w *= scale if i == 1 else 1
            weights.append(from_array(w.astype(np.float32), f"w{i}"))
            sides = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
            nodes.append(helper.make_node("Conv", [names[i - 1], f"w{i}"], [f"c{i}"], **sides))
            nodes.append(helper.make_node("Relu", [f"c{i}"], [names[i]]))
        graph = helper.make_graph(nodes, "tiny", values[:1], values[3:], weights)
        opset = [helper.make_opsetid("", 13)]
        model = helper.make_model(graph, ir_version=8, opset_imports=opset)
        metadata = {"name": "tiny", "preprocessing": {"resize": 72, "crop": 64}}
        helper.set_model_props(model, {"minicore": json.dumps(metadata)})
        save(model, path)
        return path

    return write


@pytest.fixture(scope="session")
def tiny(write_tiny, tmp_path_factory) -> Path:
    """A network that runs in a millisecond: 8 × 8 patches of 20 values from 64 × 64 pixels."""
    return write_tiny(tmp_path_factory.mktemp("network") / "tiny.onnx")


@pytest.fixture(scope="session")
def wide(tmp_path_factory) -> Path:
    """A network of one random convolution: 512 channels at stride 8."""
    from onnx import TensorProto, helper, save
    from onnx.numpy_helper import from_array

    w = np.random.default_rng(0).standard_normal((512, 3, 8, 8)).astype(np.float32)
    image, layer = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, sides)
        for name, sides in (("image", ("n", 3, "h", "w")), ("layer2", ("n", 512, "y", "x")))
    )
    node = helper.make_node("Conv", ["image", "w"], ["layer2"], strides=[8, 8])
    graph = helper.make_graph([node], "wide", [image], [layer], [from_array(w, "w")])
    path = tmp_path_factory.mktemp("network") / "wide.onnx"
    save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), path)
    return path


@pytest.fixture(scope="session")
def gear():
    """Small synthetic parts: 12 for training, 4 good and 6 defective for testing."""
    return datasets.synthetic("gear", n_train=12, n_good=4, n_defective=6, size=128)


@pytest.fixture(scope="session")
def mvtec_root(gear, tmp_path_factory) -> Path:
    """The same parts as files in the layout of MVTec AD."""
    root = tmp_path_factory.mktemp("mvtec")

    def write(name: str, pixels: np.ndarray) -> None:
        path = root / "gear" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)

    for i, image in enumerate(gear.train):
        write(f"train/good/{i:03d}.png", image)
    for i, (image, mask, defect) in enumerate(
        zip(gear.test, gear.masks, gear.defects, strict=True)
    ):
        write(f"test/{defect}/{i:03d}.png", image)
        if defect != "good":
            write(f"ground_truth/{defect}/{i:03d}_mask.png", mask.astype(np.uint8) * 255)
    return root


@pytest.fixture
def run(capsys):
    def run(*arguments):
        """Run a command; return its exit code, standard output and standard error."""
        with pytest.raises(SystemExit) as end:
            main([str(a) for a in arguments])
        return end.value.code or 0, *capsys.readouterr()

    return run
