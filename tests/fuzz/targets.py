"""The targets: small valid files of each kind, how they are changed, and what reads them."""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import json
import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image
from safetensors.numpy import load, save

import minicore
from fuzz import mutate, trees
from minicore import PatchCore
from minicore.backbones import Backbone
from minicore.backbones.catalog import convert
from minicore.backbones.convert.checkpoint import read_checkpoint
from minicore.export import check, to_onnx
from minicore.images import Preprocessing, decode, prepare
from minicore.runtime import container

GOLDEN = Path(__file__).parents[1] / "golden"
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(256, size=(3, 64, 64, 3), dtype=np.uint8)
LARGEST_NETWORK = 1000  # megabytes that a network may need to run
MOST_PIXELS = 2**20  # of an image with large sizes in its header: decoding it takes too long


@dataclass
class Target:
    """Valid contents, how to change one, and what must read or refuse the result.

    `put` writes a content to a folder and returns the path that an error must name. `read` is
    called with that path. No case may add more than `megabytes` to the process at its peak.
    """

    name: str
    seeds: Callable[[Path], list[bytes]]
    change: Callable[[Random, bytes], bytes]
    read: Callable[[Path], object]
    put: Callable[[bytes, Path], Path] = field(
        default=lambda content, folder: _file(content, folder)
    )
    megabytes: int = 400


def _file(content: bytes, folder: Path) -> Path:
    path = folder / "input.bin"
    path.write_bytes(content)
    return path


# Models


@functools.cache
def home() -> Path:
    """Return a folder with a network for the models, converted from the golden checkpoint."""
    folder = Path(tempfile.mkdtemp(prefix="minicore-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    convert(GOLDEN / "tiny_resnet.pth", folder / "tiny.onnx")
    return folder


@contextlib.contextmanager
def at_home() -> Iterator[None]:
    """Work in that folder, so that models contain a relative path and stay valid elsewhere."""
    before = Path.cwd()
    os.chdir(home())
    try:
        yield
    finally:
        os.chdir(before)


@at_home()
def model_seeds(folder: Path) -> list[bytes]:
    network = "tiny.onnx"
    options = {"resize": 64, "crop": 64, "progress": False, "n_threads": 1}
    models = [
        PatchCore(network, coreset_ratio=0.2, **options),
        PatchCore(
            network,
            "paper",
            0.2,
            dimension=8,
            bank_storage="float16",
            whiten=True,
            score="top",
            **options,
        ),
        PatchCore([network, network], coreset_ratio=0.1, b=3, **options),
        minicore.Ensemble(
            [PatchCore(network, coreset_ratio=0.1, b=3, **options)] * 2, progress=False
        ),
    ]
    return [model.fit(IMAGES).save(folder / "m").read_bytes() for model in models]


def change_model(rng: Random, content: bytes) -> bytes:
    """Change the file, or its header or arrays, and then write a correct checksum again."""
    try:
        arrays = load(content)
        size = int.from_bytes(content[:8], "little")
        header = json.loads(json.loads(content[8 : 8 + size])["__metadata__"][container.KEY])
    except Exception:  # changed beyond repair by an earlier round
        return mutate.safetensors(rng, content)
    if not isinstance(header, dict) or rng.random() < 0.2:
        return mutate.safetensors(rng, content)
    header.pop("sha256", None)
    for _ in range(rng.choice((1, 1, 1, 2))):
        if rng.random() < 0.6:
            header = mutate.tree(rng, header)
            header = header if isinstance(header, dict) else {}
        elif arrays:
            _change_array(rng, arrays)
    text = container._text({**header, "sha256": container._checksum(header, arrays)})
    return save(arrays, {container.KEY: text})


def _change_array(rng: Random, arrays: dict[str, np.ndarray]) -> None:
    name = rng.choice(sorted(arrays))
    array = arrays[name]
    match rng.randrange(9):
        case 0:
            del arrays[name]
            return
        case 1:
            array = array[: rng.randrange(len(array) + 1)] if array.ndim else array
        case 2:
            array = array[..., : rng.randrange(array.shape[-1] + 1)] if array.ndim else array
        case 3:
            array = array.T
        case 4:
            with np.errstate(all="ignore"):
                array = array.astype(rng.choice(("f2", "f4", "f8", "i1", "i4", "i8", "u8", "?")))
        case 5:
            array = array.reshape(-1) if rng.random() < 0.5 else array[None]
        case 6:
            array = np.zeros_like(array)
        case 7 if array.size and array.dtype.kind == "f":
            array = array.copy()
            array.flat[rng.randrange(array.size)] = rng.choice((np.nan, np.inf, -np.inf, 60_000))
        case 8:
            array = np.concatenate([array, array]) if array.ndim else array
    arrays[rng.choice(sorted(arrays)) if rng.random() < 0.05 else name] = np.ascontiguousarray(
        array
    )


@at_home()
def read_model(path: Path) -> None:
    """A model that loads must also be able to score."""
    try:
        model = minicore.load(path, progress=False, n_threads=1)
    except ValueError as error:
        assert str(path) in str(error), error
        raise
    (found,) = model.stream(IMAGES[:1])
    assert found.scores.shape == (1,) and len(found.maps) == 1
    assert np.isfinite(found.scores).all() and np.isfinite(found.maps).all()
    assert model.threshold_ is None or np.isfinite(model.threshold_)


# Checkpoints


def checkpoint_seeds(_: Path) -> list[bytes]:
    return [(GOLDEN / "tiny_resnet.pth").read_bytes()]


def legacy_seeds(_: Path) -> list[bytes]:
    return [(GOLDEN / "tiny_resnet_legacy.pth").read_bytes()]


def safetensors_seeds(_: Path) -> list[bytes]:
    kinds = ("f2", "f4", "f8", "i1", "i2", "i8", "u1", "?")
    arrays = {f"w.{kind}": np.ones((2, 3), kind) for kind in kinds}
    return [save({**arrays, "none": np.empty((0, 4), np.float32), "one": np.float32([1])[0:1]})]


def read_weights(path: Path) -> None:
    """The arrays are no larger than `read_checkpoint` promises, and can be read."""
    arrays = read_checkpoint(path)
    total = sum(array.nbytes for array in arrays.values())
    assert total <= 8 * path.stat().st_size, total
    for array in arrays.values():
        array.sum()


# Images


def image_seeds(_: Path) -> list[bytes]:
    rgb = Image.fromarray(IMAGES[0, :20, :24])
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures = {
        "PNG": [rgb, rgb.convert("L"), rgb.convert("P"), rgb.convert("RGBA"), rgb.convert("1"),
                Image.fromarray(IMAGES[0, :20, :24, 0].astype(np.uint16) * 257)],
        "JPEG": [rgb, rgb.convert("L"), rgb.convert("CMYK")],
        "BMP": [rgb, rgb.convert("P"), rgb.convert("1")],
        "TIFF": [rgb, rgb.convert("I"), rgb.convert("F"), rgb.convert("CMYK"), rgb.convert("1")],
        "WEBP": [rgb, rgb.convert("RGBA")],
    }  # fmt: skip
    seeds = []
    for kind, several in pictures.items():
        for picture in several:
            options = [{}] if kind == "BMP" else [{}, {"exif": exif}]
            options += {
                "PNG": [{"save_all": True, "append_images": [picture]}, {"transparency": 0}],
                "JPEG": [{"progressive": True}],
                "TIFF": [{"compression": c} for c in ("tiff_lzw", "tiff_deflate", "packbits")],
                "WEBP": [{"lossless": True}, {"save_all": True, "append_images": [picture]}],
            }.get(kind, [])
            for option in options:
                file = io.BytesIO()
                try:
                    picture.save(file, kind, **option)
                except (OSError, TypeError, ValueError):  # not for this mode
                    continue
                seeds.append(file.getvalue())
    return seeds


def change_image(rng: Random, content: bytes) -> bytes:
    if content.startswith(b"\x89PNG"):
        return mutate.png(rng, content)
    focus = [0]
    if content[:4] in (b"II*\0", b"MM\0*"):  # where the directory of a TIFF is
        focus.append(int.from_bytes(content[4:8], "little" if content[:1] == b"I" else "big"))
    return mutate.raw(rng, content, focus)


def prepared(path: Path) -> None:
    """Prepare an image as for a network."""
    prepare(path, Preprocessing(resize=32, crop=16))


def read_pixels(path: Path) -> None:
    """Read pixels, size and mask; raise the first error."""
    refusals = []
    for read in (decode.read_image, decode.image_size, decode.read_binary, prepared):
        try:
            read(path)
        except ValueError as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]


# Networks


def network_seeds(_: Path) -> list[bytes]:
    return [(home() / "tiny.onnx").read_bytes()]


def change_network(rng: Random, content: bytes) -> bytes:
    """Change the graph's messages: nodes, shapes, attributes; or the bytes."""
    import onnx

    if rng.random() < 0.3:
        return mutate.raw(rng, content)
    try:
        model = onnx.load_from_string(content)
        graph = model.graph
        for _ in range(rng.choice((1, 1, 2))):
            match rng.randrange(8):
                case 0:
                    del graph.node[rng.randrange(len(graph.node))]
                case 1:
                    node = rng.choice(graph.node)
                    for attribute in node.attribute:
                        if attribute.ints:
                            attribute.ints[0] = rng.choice((0, -1, 1, 7, 2**20))
                        elif attribute.type == onnx.AttributeProto.INT:
                            attribute.i = rng.choice((0, -1, 1, 7, 2**20))
                case 2:
                    node = rng.choice(graph.node)
                    node.op_type = rng.choice(("Relu", "Add", "MaxPool", "Loop", "Identity", "?"))
                case 3:
                    weight = rng.choice(graph.initializer)
                    if weight.dims:
                        place = rng.randrange(len(weight.dims))
                        weight.dims[place] = rng.choice((0, 1, -1, 2**20, 2**40))
                case 4:
                    value = rng.choice([*graph.input, *graph.output])
                    value.type.tensor_type.elem_type = rng.randrange(20)
                case 5:
                    value = rng.choice([*graph.input, *graph.output])
                    for side in value.type.tensor_type.shape.dim:
                        side.dim_value = rng.choice((0, 1, 3, -1, 2**40))
                case 6:
                    entry = rng.choice(model.metadata_props)
                    text = json.dumps(mutate.tree(rng, json.loads(entry.value)))
                    entry.value = text.encode("utf-8", "replace").decode()
                case 7:
                    weight = rng.choice(graph.initializer)
                    weight.data_location = onnx.TensorProto.EXTERNAL
                    place = rng.choice(("x", "../x", "/etc/passwd", ""))
                    weight.external_data.add(key="location", value=place)
                    offset = rng.choice(("0", "-1", "x", str(2**63)))
                    weight.external_data.add(key="offset", value=offset)
        return model.SerializeToString()
    except Exception:  # an earlier change has made it unreadable
        return mutate.raw(rng, content)


def put_network(content: bytes, folder: Path) -> Path:
    path = folder / "input.onnx"
    path.write_bytes(content)
    return path


@contextlib.contextmanager
def no_more_memory(megabytes: int) -> Iterator[None]:
    """Limit the memory of the process to what it has now and `megabytes` more.

    Where there is no /proc, as on macOS, nothing is limited.
    """
    sizes = Path("/proc/self/statm")
    if not sizes.exists():
        yield
        return
    now = int(sizes.read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + megabytes * 2**20, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def read_network(path: Path) -> None:
    """Run a network within limited memory; it may need more and then must raise an error."""
    with no_more_memory(LARGEST_NETWORK):
        network = Backbone(path, threads=1)
        maps = network(np.zeros((1, 3, 64, 64), np.float32))
    assert all(phi.ndim == 4 and max(phi.shape[2:]) <= 64 for phi in maps.values())


@at_home()
def export_seeds(folder: Path) -> list[bytes]:
    options = {"resize": 64, "crop": 64, "progress": False, "n_threads": 1}
    model = PatchCore("tiny.onnx", coreset_ratio=0.2, **options).fit(IMAGES)
    to_onnx(model, folder / "x.onnx", progress=False)
    return [(folder / "x.onnx").read_bytes()]


def read_export(path: Path) -> None:
    """Check an exported file within limited memory."""
    with no_more_memory(LARGEST_NETWORK):
        assert all(found.ok for found in check(path))


def targets() -> Iterator[Target]:
    """Yield all targets, the fastest first."""
    yield Target("image", image_seeds, change_image, read_pixels)
    yield Target("checkpoint", checkpoint_seeds, mutate.zipped, read_weights)
    yield Target("legacy", legacy_seeds, mutate.legacy, read_weights)
    yield Target("safetensors", safetensors_seeds, mutate.safetensors, read_weights)
    yield Target("dataset", trees.seeds, trees.change, trees.read, trees.put)
    yield Target("model", model_seeds, change_model, read_model)
    yield Target(
        "network", network_seeds, change_network, read_network, put_network, LARGEST_NETWORK
    )
    yield Target("export", export_seeds, change_network, read_export, megabytes=LARGEST_NETWORK)


def clear(folder: Path) -> None:
    """Remove the files of a case, without following links."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
