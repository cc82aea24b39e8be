"""Tensors of a torch checkpoint: check their descriptions, and return their numbers as arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

from minicore.backbones.convert.pickled import ordered_dict, read_pickle
from minicore.errors import BackboneError, quoted

LARGEST_CLAIM = 4  # largest total size of all tensors, in file sizes; real weights share less
MOST_DIMENSIONS = 8
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


@dataclass(frozen=True)
class Storage:
    """A sequence of numbers in the file."""

    key: str
    dtype: str
    length: int


@dataclass(frozen=True)
class Tensor:
    """A view of a storage. Offset, shape and strides are counted in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class TensorPickle:
    """The names that the pickle of a checkpoint may use, and the storages that it describes.

    Parameters
    ----------
    size : int
        Size of the file in bytes.
    """

    def __init__(self, size: int):
        self.allowance = LARGEST_CLAIM * size
        self.storages: dict[str, Storage] = {}
        self.names = {
            "collections OrderedDict": ordered_dict,
            "torch._utils _rebuild_tensor": self.tensor,  # torch before 0.4
            "torch._utils _rebuild_tensor_v2": self.tensor,
            "torch._utils _rebuild_parameter": self.parameter,
            **STORAGES,
        }

    def read(self, stream: BytesIO) -> Any:
        """Return the content of one pickle."""
        return read_pickle(stream, self.names, self.storage)

    def storage(self, identity: Any) -> Storage:
        """Return the storage of ("storage", type, key, device, length); old files add a None."""
        kind, dtype, key, _, length, *view = identity
        if kind != "storage" or dtype not in STORAGES.values() or any(v is not None for v in view):
            raise TypeError("a persistent id that is not a storage")
        if type(key) is not str or type(length) is not int or not 0 <= length < 2**63:
            raise TypeError("a storage without key or length")
        storage = self.storages.setdefault(key, Storage(key, dtype, length))
        if (storage.dtype, storage.length) != (dtype, length):
            raise BackboneError(f"storage {quoted(key)} is described in two ways")
        return storage

    def tensor(self, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
        """Return a tensor, in place of torch's function; raise an error if it cannot exist."""
        numbers = (offset, *shape, *strides)
        if not isinstance(storage, Storage) or any(type(n) is not int or n < 0 for n in numbers):
            raise TypeError("a tensor that is not a storage and whole numbers of at least 0")
        if len(shape) != len(strides) or len(shape) > MOST_DIMENSIONS:
            raise TypeError(f"a tensor of {len(shape)} dimensions and {len(strides)} strides")
        count = math.prod(shape)
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if impossible(shape) or count > storage.length or (count and last >= storage.length):
            raise BackboneError(
                f"a tensor of shape {quoted(str(shape))} does not fit its storage of "
                f"{storage.length} numbers"
            )
        self.allowance -= count * _itemsize(storage.dtype)
        if self.allowance < 0:
            raise BackboneError(f"its tensors claim over {LARGEST_CLAIM} times the file's size")
        return Tensor(storage, offset, tuple(shape), tuple(strides))

    @staticmethod
    def parameter(tensor: Any, *_: Any) -> Any:
        """Return the tensor of a parameter."""
        return tensor


def weights(content: Any) -> dict[str, Tensor]:
    """Return the weights by name from the content of a checkpoint."""
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    tensors = {}
    if isinstance(content, dict):
        tensors = {checked_name(k): v for k, v in content.items() if isinstance(v, Tensor)}
    if not tensors:
        raise BackboneError("contains no dictionary of weights: save only model.state_dict()")
    if all(name.startswith("module.") for name in tensors):  # written by torch's DataParallel
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def checked_name(name: Any) -> str:
    """Return the name of a weight; raise an error if it is not a short text."""
    if not isinstance(name, str) or len(name) > 200 or not name.isprintable():
        raise BackboneError(f"a weight is named {quoted(str(name))}")
    return name


def impossible(shape: Sequence[int]) -> bool:
    """Return whether no array can have this shape. An empty array is not limited by the file."""
    return len(shape) > MOST_DIMENSIONS or math.prod(n or 1 for n in shape) > 2**48


def _itemsize(dtype: str) -> int:
    return 2 if dtype == "bf16" else np.dtype(dtype).itemsize


def size_of(storage: Storage) -> int:
    """Return the number of bytes of a storage."""
    return storage.length * _itemsize(storage.dtype)


def decode(raw: bytes, dtype: str, big_endian: bool = False) -> np.ndarray:
    """Return the numbers in `raw`. A bfloat16 is the upper half of a float32."""
    order = ">" if big_endian else "<"
    if dtype == "bf16":
        wide = np.frombuffer(raw, f"{order}u2").astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32)
    array = np.frombuffer(raw, order + dtype)
    return array.astype(array.dtype.newbyteorder("=")) if big_endian else array


def array_of(tensor: Tensor, numbers: np.ndarray) -> np.ndarray:
    """Return a tensor as a read-only view of the numbers of its storage."""
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, numbers.dtype)
    # In a dimension of length one the stride is not used, and torch writes arbitrary values.
    steps = (s if n > 1 else 0 for n, s in zip(tensor.shape, tensor.strides, strict=True))
    strides = [step * numbers.itemsize for step in steps]
    start = numbers[tensor.offset :]
    return np.lib.stride_tricks.as_strided(start, tensor.shape, strides, writeable=False)
