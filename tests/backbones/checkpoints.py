"""Write torch checkpoints opcode by opcode, so that tests can write damaged ones."""

import struct
import zipfile
from pathlib import Path

import numpy as np

MAGIC = b"\x80\x02\x8a\x0a" + 0x1950A86A20F9469CFC6C.to_bytes(10, "little") + b"."
VERSION = b"\x80\x02M\xe9\x03."


def text(value):
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value):
    size = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def numbers(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def name(module, attribute):
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def tensor(
    count=4, shape=(4,), strides=(1,), offset=0, *, key="0", kind="FloatStorage", legacy=False
):
    identity = text("storage") + name("torch", kind) + text(key) + text("cpu") + number(count)
    identity = b"(" + identity + (b"N" if legacy else b"") + b"tQ"
    window = number(offset) + numbers(shape) + numbers(strides)
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + identity + window + b"\x89)tR"


def dictionary(**items):
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def pickled(content):
    return b"\x80\x02" + content + b"."


def write_zip(path, content, storages=None, *, compression=zipfile.ZIP_STORED, root="x", **members):
    """Write the zip format; content and members are bytes, storages by key."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"{root}/data.pkl", pickled(content))
        for key, raw in (storages or {"0": floats(4)}).items():
            archive.writestr(f"{root}/data/{key}", raw)
        for member, raw in members.items():
            archive.writestr(f"{root}/{member}", raw)
    return Path(path)


def write_legacy(path, content, storages, *, little=True):
    """Write the format before torch 1.6; storages: {key: (how many numbers, their bytes)}."""
    machine = pickled(dictionary(little_endian=b"\x88" if little else b"\x89"))
    keys = pickled(b"](" + b"".join(map(text, storages)) + b"e")
    order = "<q" if little else ">q"
    raw = b"".join(struct.pack(order, count) + data for count, data in storages.values())
    Path(path).write_bytes(MAGIC + VERSION + machine + pickled(content) + keys + raw)
    return Path(path)


def floats(count):
    return np.arange(count, dtype="<f4").tobytes()
