"""Weights out of a checkpoint file: `.pth` in both of torch's formats, and `.safetensors`.

Without torch and without running the pickle inside (`pickled.py` reads it as data). A `.pth` is

- since torch 1.6 a zip of stored members: `x/data.pkl` says how tensors lie in storages, and
  `x/data/0`, `x/data/1`, … are the storages' bytes;
- before, five pickles in a row (magic number, version, machine, the object, the storages' keys)
  and then each storage: its length as int64 and its bytes.

A tensor is a window on a storage: offset, shape and strides, in elements. Several may share one.

Whatever the file claims, memory is bounded by what it contains: four bytes for each byte of
numbers, 20 for each of a zip's directory, 200 for each of the pickle, which may have 4 MiB. Nothing
is unpacked to disk, and no name inside is used as a path.
"""

import math
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minicore.backbones.convert.pickled import ordered_dict, read_pickle
from minicore.errors import BackboneError, quoted

LARGEST_FILE = 4 * 2**30  # the largest network known here has 0.5 GB, with its optimiser 1.5
LARGEST_PICKLE = 4 * 2**20  # the 932 tensors of a ResNet-152 take 0.15 MiB
LARGEST_CLAIM = 4  # all tensors together, in file sizes: weights tied more often than this are none
MOST_DIMENSIONS = 8
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_START = b"\x80\x02\x8a\x0a" + LEGACY_MAGIC.to_bytes(10, "little")

STORAGES = {
    "torch DoubleStorage": "f8",
    "torch FloatStorage": "f4",
    "torch HalfStorage": "f2",
    "torch BFloat16Storage": "bf16",
    "torch LongStorage": "i8",
    "torch IntStorage": "i4",
    "torch ShortStorage": "i2",
    "torch CharStorage": "i1",
    "torch ByteStorage": "u1",
    "torch BoolStorage": "?",
}
SAFETENSORS = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": "bf16", "BOOL": "?"} | {
    f"{kind}{8 * size}": f"{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)
}


def read_checkpoint(path: str | Path) -> dict[str, np.ndarray]:
    """Read named weights from a `.pth` or `.safetensors` file, running nothing in it.

    Parameters
    ----------
    path : str or Path
        What `torch.save(model.state_dict(), path)` wrote, in the zip format or the older one, or
        a safetensors file; known by its content, not by its suffix. A training checkpoint is
        looked into for `state_dict` or `model`; a prefix `module.` on every name is dropped.

    Returns
    -------
    dict of str to ndarray
        In the file's order, with the dtypes of the file; bfloat16, which NumPy lacks, as float32.
        Arrays may be read-only, strided, and share memory, as the tensors did.

    Raises
    ------
    BackboneError
        If the file is missing, damaged, holds no weights, claims more than it contains, or has over
        4 GiB.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(len(LEGACY_START))
            file.seek(0)
            if size > LARGEST_FILE:  # of holes, perhaps, that take no room on the disk
                raise BackboneError(f"has {size / 1e9:.0f} GB, more than any network known here")
            if start[:4] == b"PK\x03\x04":
                return _read_zip(file, size)
            if start == LEGACY_START:
                return _read_legacy(file, size)
            if start[8:9] == b"{":
                return _read_safetensors(file.read())
        raise BackboneError("is neither a torch checkpoint nor a safetensors file")
    except BackboneError as error:
        raise BackboneError(f"{path}: {error}") from error
    except (OSError, ValueError) as error:  # a ValueError of a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise BackboneError(f"{path}: cannot be read ({reason})") from error


@dataclass(frozen=True)
class _Storage:
    """A run of numbers in the file, known by its key."""

    key: str
    dtype: str
    length: int


@dataclass(frozen=True)
class _Tensor:
    """A window on a storage; offset, shape and strides in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Pickle:
    """What the pickle of a checkpoint may name and call, and the storages it spoke of."""

    def __init__(self, size: int):
        self.allowance = LARGEST_CLAIM * size
        self.storages: dict[str, _Storage] = {}
        self.names = {
            "collections OrderedDict": ordered_dict,
            "torch._utils _rebuild_tensor": self.tensor,  # torch before 0.4
            "torch._utils _rebuild_tensor_v2": self.tensor,
            "torch._utils _rebuild_parameter": self.parameter,
            **STORAGES,
        }

    def read(self, stream: BytesIO) -> Any:
        return read_pickle(stream, self.names, self.storage)

    def storage(self, identity: Any) -> _Storage:
        """Take ("storage", type, key, device, length) and, in the old format, None."""
        kind, dtype, key, _, length, *view = identity
        if kind != "storage" or dtype not in STORAGES.values() or any(v is not None for v in view):
            raise TypeError("a persistent id that is no storage")
        if type(key) is not str or type(length) is not int or not 0 <= length < 2**63:
            raise TypeError("a storage without key or length")
        storage = self.storages.setdefault(key, _Storage(key, dtype, length))
        if (storage.dtype, storage.length) != (dtype, length):
            raise BackboneError(f"storage {quoted(key)} is described in two ways")
        return storage

    def tensor(self, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
        numbers = (offset, *shape, *strides)
        if not isinstance(storage, _Storage) or any(type(n) is not int or n < 0 for n in numbers):
            raise TypeError("a tensor of anything but a storage and whole numbers from 0")
        if len(shape) != len(strides) or len(shape) > MOST_DIMENSIONS:
            raise TypeError(f"a tensor of {len(shape)} dimensions and {len(strides)} strides")
        count = math.prod(shape)
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if _absurd(shape) or count > storage.length or (count and last >= storage.length):
            raise BackboneError(
                f"a tensor of shape {quoted(str(shape))} does not fit its storage of "
                f"{storage.length} numbers"
            )
        self.allowance -= count * _itemsize(storage.dtype)
        if self.allowance < 0:
            raise BackboneError(f"its tensors claim over {LARGEST_CLAIM} times the file's size")
        return _Tensor(storage, offset, tuple(shape), tuple(strides))

    @staticmethod
    def parameter(tensor: Any, *_: Any) -> Any:
        return tensor


def _read_zip(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(file) as archive:
            members = _checked_members(archive, size)
            root = next((n[: -len("data.pkl")] for n in members if n.endswith("/data.pkl")), None)
            if root is None:
                raise BackboneError("a zip without data.pkl, which torch.save would have written")
            if members[f"{root}data.pkl"].file_size > LARGEST_PICKLE:
                raise BackboneError(f"its pickle is larger than {LARGEST_PICKLE >> 20} MiB")
            pickle = _Pickle(size)
            tensors = _tensors(pickle.read(BytesIO(archive.read(f"{root}data.pkl"))))
            order = members.get(f"{root}byteorder")
            big = order is not None and order.file_size == 3 and archive.read(order) == b"big"
            data = {}
            for key in {tensor.storage.key for tensor in tensors.values()}:
                storage, member = pickle.storages[key], members.get(f"{root}data/{key}")
                if member is None or member.file_size != _bytes(storage):
                    found = "missing" if member is None else f"{member.file_size} bytes"
                    raise BackboneError(
                        f"storage {quoted(key)} is {found}, not {_bytes(storage)} bytes"
                    )
                data[key] = _decode(archive.read(member), storage.dtype, big)
    except BackboneError:
        raise
    except (zipfile.BadZipFile, EOFError, struct.error, RuntimeError, ValueError) as error:
        raise BackboneError(
            f"damaged or cut short ({quoted(str(error))}): fetch it again"
        ) from error
    return {name: _window(tensor, data[tensor.storage.key]) for name, tensor in tensors.items()}


def _checked_members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Give the members by name, once none is compressed and all of them fit into the file."""
    members = {info.filename: info for info in archive.infolist()}
    if len(members) != len(archive.infolist()):
        raise BackboneError("a zip with two members of one name")
    for name, info in members.items():
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise BackboneError(f"a zip with a member outside of it, {quoted(name)}")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise BackboneError("a compressed zip, which torch.save does not write")
    if sum(info.file_size for info in members.values()) > size:
        raise BackboneError("a zip whose members overlap: they claim more than the file's size")
    return members


def _read_legacy(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    stream = BytesIO(file.read(LARGEST_PICKLE))
    pickle = _Pickle(size)
    _magic, version, machine, content, keys = (pickle.read(stream) for _ in range(5))
    if version != 1001 or not isinstance(machine, dict) or not isinstance(keys, list):
        raise BackboneError("its version of torch's old format is unknown")
    if not all(isinstance(key, str) for key in keys):
        raise BackboneError("its list of storages is damaged")
    big = machine.get("little_endian") is False
    tensors = _tensors(content)

    file.seek(stream.tell())
    data: dict[str, np.ndarray] = {}
    for key in keys:
        storage = pickle.storages.get(key)
        if storage is None or key in data:
            raise BackboneError(f"its storage {quoted(key)} is unknown, or there twice")
        length = int.from_bytes(file.read(8), "big" if big else "little", signed=True)
        if length != storage.length or _bytes(storage) > size:
            raise BackboneError(f"storage {quoted(key)} has {length} numbers, not {storage.length}")
        raw = file.read(_bytes(storage))
        if len(raw) != _bytes(storage):
            raise BackboneError("cut short: fetch it again")
        data[key] = _decode(raw, storage.dtype, big)
    missing = {tensor.storage.key for tensor in tensors.values()} - set(data)
    if missing:
        raise BackboneError(f"storage {quoted(min(missing))} is missing")
    return {name: _window(tensor, data[tensor.storage.key]) for name, tensor in tensors.items()}


def _read_safetensors(content: bytes) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, deserialize  # checks every offset against the file

    try:
        tensors = deserialize(content)
    except (SafetensorError, ValueError) as error:
        raise BackboneError(f"a damaged safetensors file ({quoted(str(error))})") from error
    arrays = {}
    for name, tensor in tensors:
        if tensor["dtype"] not in SAFETENSORS:
            raise BackboneError(f"{quoted(name)} has dtype {tensor['dtype']}, which NumPy lacks")
        flat = _decode(tensor["data"], SAFETENSORS[tensor["dtype"]])
        if _absurd(tensor["shape"]):  # an empty one's, which is not held to the file's size
            shape = quoted(str(tensor["shape"]))
            raise BackboneError(f"{quoted(name)} has the shape {shape}, which no array has")
        arrays[_checked_name(name)] = flat.reshape(tensor["shape"])
    return arrays


def _tensors(content: Any) -> dict[str, _Tensor]:
    """Find the weights in what was saved."""
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    tensors = {}
    if isinstance(content, dict):
        tensors = {_checked_name(k): v for k, v in content.items() if isinstance(v, _Tensor)}
    if not tensors:
        raise BackboneError("holds no dictionary of weights: save model.state_dict() alone")
    if all(name.startswith("module.") for name in tensors):  # saved from torch's DataParallel
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or len(name) > 200 or not name.isprintable():
        raise BackboneError(f"a weight is named {quoted(str(name))}")
    return name


def _absurd(shape: Sequence[int]) -> bool:
    """Tell whether no weight has such a shape. An empty one may be, whatever the file's size."""
    return len(shape) > MOST_DIMENSIONS or math.prod(n or 1 for n in shape) > 2**48


def _itemsize(dtype: str) -> int:
    return 2 if dtype == "bf16" else np.dtype(dtype).itemsize


def _bytes(storage: _Storage) -> int:
    return storage.length * _itemsize(storage.dtype)


def _decode(raw: bytes, dtype: str, big_endian: bool = False) -> np.ndarray:
    """Turn bytes into numbers; bfloat16 is the upper half of a float32."""
    order = ">" if big_endian else "<"
    if dtype == "bf16":
        wide = np.frombuffer(raw, f"{order}u2").astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32)
    array = np.frombuffer(raw, order + dtype)
    return array.astype(array.dtype.newbyteorder("=")) if big_endian else array


def _window(tensor: _Tensor, numbers: np.ndarray) -> np.ndarray:
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, numbers.dtype)
    # The stride of a dimension of length one is never taken; torch writes anything there.
    steps = (s if n > 1 else 0 for n, s in zip(tensor.shape, tensor.strides, strict=True))
    strides = [step * numbers.itemsize for step in steps]
    start = numbers[tensor.offset :]
    return np.lib.stride_tricks.as_strided(start, tensor.shape, strides, writeable=False)
