"""Read weights from a checkpoint file: `.pth` in both formats of torch, and `.safetensors`.

This needs no torch and does not run the pickle in the file; `pickled.py` reads it as data. A `.pth`
file is one of these:

- Since torch 1.6: a zip of stored members. `x/data.pkl` describes the tensors, and `x/data/0`,
  `x/data/1`, … contain the bytes of the storages.
- Before torch 1.6: five pickles (magic number, version, machine, the object, the keys of the
  storages) and then each storage: its length as int64 and its bytes.

A tensor is a view of a storage: offset, shape and strides in elements. Several tensors may share
one storage.

The size of the file limits the memory, even for a damaged file: four bytes for each byte of
numbers, 20 for each byte of a zip's directory, and 200 for each byte of the pickle, which may have
4 MiB. Nothing is unpacked to disk, and no name in the file is used as a path.
"""

import struct
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minicore.backbones.convert.tensors import (
    TensorPickle,
    array_of,
    checked_name,
    decode,
    impossible,
    size_of,
    weights,
)
from minicore.errors import BackboneError, quoted

LARGEST_FILE = 4 * 2**30  # the largest network in the catalogue has 0.5 GB, with optimiser 1.5 GB
LARGEST_PICKLE = 4 * 2**20  # the 932 tensors of a ResNet-152 need 0.15 MiB
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_START = b"\x80\x02\x8a\x0a" + LEGACY_MAGIC.to_bytes(10, "little")

SAFETENSORS = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": "bf16", "BOOL": "?"} | {
    f"{kind}{8 * size}": f"{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)
}


def read_checkpoint(path: str | Path) -> dict[str, np.ndarray]:
    """Return the named weights of a `.pth` or `.safetensors` file, without running its pickle.

    Parameters
    ----------
    path : str or Path
        A file from `torch.save(model.state_dict(), path)`, in the zip format or the older one, or
        a safetensors file. The content determines the format, not the suffix. In a training
        checkpoint, the weights are taken from `state_dict` or `model`. If all names begin with
        `module.`, this prefix is removed.

    Returns
    -------
    dict of str to ndarray
        In the order and with the dtypes of the file. NumPy has no bfloat16; it becomes float32.
        Arrays may be read-only, have strides, and share memory, as the tensors did.

    Raises
    ------
    BackboneError
        If the file is missing or damaged, contains no weights, describes more data than it
        contains, or is larger than 4 GiB.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(len(LEGACY_START))
            file.seek(0)
            if size > LARGEST_FILE:  # a sparse file can be large and need no space on the disk
                raise BackboneError(f"has {size / 1e9:.0f} GB, more than any known network")
            if start[:4] == b"PK\x03\x04":
                return _read_zip(file, size)
            if start == LEGACY_START:
                return _read_legacy(file, size)
            if start[8:9] == b"{":
                return _read_safetensors(file.read())
        raise BackboneError("is neither a torch checkpoint nor a safetensors file")
    except BackboneError as error:
        raise BackboneError(f"{path}: {error}") from error
    except (OSError, ValueError) as error:  # a NUL in the name raises a ValueError
        reason = getattr(error, "strerror", None) or error
        raise BackboneError(f"{path}: cannot be read ({reason})") from error


def _read_zip(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(file) as archive:
            members = _checked_members(archive, size)
            root = next((n[: -len("data.pkl")] for n in members if n.endswith("/data.pkl")), None)
            if root is None:
                raise BackboneError("a zip without data.pkl, which torch.save always writes")
            if members[f"{root}data.pkl"].file_size > LARGEST_PICKLE:
                raise BackboneError(f"its pickle is larger than {LARGEST_PICKLE >> 20} MiB")
            pickle = TensorPickle(size)
            tensors = weights(pickle.read(BytesIO(archive.read(f"{root}data.pkl"))))
            order = members.get(f"{root}byteorder")
            big = order is not None and order.file_size == 3 and archive.read(order) == b"big"
            data = {}
            for key in {tensor.storage.key for tensor in tensors.values()}:
                storage, member = pickle.storages[key], members.get(f"{root}data/{key}")
                if member is None or member.file_size != size_of(storage):
                    found = "missing" if member is None else f"{member.file_size} bytes"
                    raise BackboneError(
                        f"storage {quoted(key)} is {found}, not {size_of(storage)} bytes"
                    )
                data[key] = decode(archive.read(member), storage.dtype, big)
    except BackboneError:
        raise
    except (zipfile.BadZipFile, EOFError, struct.error, RuntimeError, ValueError) as error:
        raise BackboneError(
            f"damaged or incomplete ({quoted(str(error))}): download it again"
        ) from error
    return {name: array_of(tensor, data[tensor.storage.key]) for name, tensor in tensors.items()}


def _checked_members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Return the members by name, if none is compressed and their sizes fit into the file."""
    members = {info.filename: info for info in archive.infolist()}
    if len(members) != len(archive.infolist()):
        raise BackboneError("a zip in which two members have one name")
    for name, info in members.items():
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise BackboneError(f"a zip with a member that leaves its folder, {quoted(name)}")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise BackboneError("a compressed zip, which torch.save does not write")
    if sum(info.file_size for info in members.values()) > size:
        raise BackboneError("a zip whose members overlap: their sizes exceed that of the file")
    return members


def _read_legacy(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    stream = BytesIO(file.read(LARGEST_PICKLE))
    pickle = TensorPickle(size)
    _magic, version, machine, content, keys = (pickle.read(stream) for _ in range(5))
    if version != 1001 or not isinstance(machine, dict) or not isinstance(keys, list):
        raise BackboneError("its version of torch's old format is unknown")
    if not all(isinstance(key, str) for key in keys):
        raise BackboneError("its list of storages is damaged")
    big = machine.get("little_endian") is False
    tensors = weights(content)

    file.seek(stream.tell())
    data: dict[str, np.ndarray] = {}
    for key in keys:
        storage = pickle.storages.get(key)
        if storage is None or key in data:
            raise BackboneError(f"its storage {quoted(key)} is unknown or appears twice")
        length = int.from_bytes(file.read(8), "big" if big else "little", signed=True)
        if length != storage.length or size_of(storage) > size:
            raise BackboneError(f"storage {quoted(key)} has {length} numbers, not {storage.length}")
        raw = file.read(size_of(storage))
        if len(raw) != size_of(storage):
            raise BackboneError("it ends too early: download it again")
        data[key] = decode(raw, storage.dtype, big)
    missing = {tensor.storage.key for tensor in tensors.values()} - set(data)
    if missing:
        raise BackboneError(f"storage {quoted(min(missing))} is missing")
    return {name: array_of(tensor, data[tensor.storage.key]) for name, tensor in tensors.items()}


def _read_safetensors(content: bytes) -> dict[str, np.ndarray]:
    import safetensors
    from safetensors import SafetensorError

    library: Any = safetensors  # `deserialize` has no types
    try:
        tensors = library.deserialize(content)  # checks every offset against the size of the file
    except (SafetensorError, ValueError) as error:
        raise BackboneError(f"a damaged safetensors file ({quoted(str(error))})") from error
    arrays = {}
    for name, tensor in tensors:
        if tensor["dtype"] not in SAFETENSORS:
            raise BackboneError(
                f"{quoted(name)} has dtype {tensor['dtype']}, which NumPy does not have"
            )
        flat = decode(tensor["data"], SAFETENSORS[tensor["dtype"]])
        if impossible(tensor["shape"]):  # of an empty array, which `deserialize` does not check
            shape = quoted(str(tensor["shape"]))
            raise BackboneError(f"{quoted(name)} has the shape {shape}, which no array can have")
        arrays[checked_name(name)] = flat.reshape(tensor["shape"])
    return arrays
