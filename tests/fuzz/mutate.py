"""Small changes to valid files, which pass more checks than random bytes.

Each function takes a `random.Random`, and its result depends only on the state of it.
"""

from __future__ import annotations

import contextlib
import io
import json
import pickletools
import struct
import zipfile
import zlib
from random import Random
from typing import Any

INTEGERS = sorted(
    {0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 100, 1000, 65_537, 10**6, 10**9, 2**53, 2**64 - 1}
    | {
        sign * 2**n + by
        for n in (7, 8, 15, 16, 31, 32, 62, 63)
        for by in (-1, 0)
        for sign in (1, -1)
    }
)
VALUES = [
    *INTEGERS, None, True, False, "", "a", "\0", "\ud800", "é" * 40, "x" * 5000, "../../x", "nan",
    0.0, -0.0, 0.5, -1.5, 1e-300, 1e300, float("nan"), float("inf"), -float("inf"),
    [], {}, [[]], [0], [1, 1], [-1, 2], [2**40, 2**40], [[0, 1]], {"a": 1}, ["a", None],
    "F32", "F64", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "C64",
]  # fmt: skip


def integer(rng: Random, content: bytearray, place: int) -> None:
    """Write a number that often causes errors, in a random size and byte order."""
    size, order = rng.choice((1, 2, 4, 8)), rng.choice(("little", "big"))
    value = rng.choice(INTEGERS) % 2 ** (8 * size)
    content[place : place + size] = value.to_bytes(size, order)


def raw(rng: Random, content: bytes, focus: list[int] | None = None) -> bytes:
    """Change random bytes, more often at the places `focus`, which have a meaning in the format."""
    out = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        place = rng.randrange(len(out) + 1)
        if focus and rng.random() < 0.6:
            place = min(rng.choice(focus) + rng.randrange(48), len(out))
        elif rng.random() < 0.3:
            place = min(rng.randrange(64), len(out))
        end = min(place + rng.choice((1, 2, 4, 16, 200)), len(out))
        match rng.randrange(7):
            case 0 | 1:
                integer(rng, out, place)
            case 2:
                if place < len(out):
                    out[place] ^= 1 << rng.randrange(8)
            case 3:
                del out[place:end]
            case 4:
                out[place:place] = out[place:end] * rng.choice((1, 1, 3))
            case 5:
                out[place:place] = rng.randbytes(rng.choice((1, 4, 30)))
            case 6:
                if rng.random() < 0.3:
                    del out[place:]
    return bytes(out)


def tree(rng: Random, value: Any) -> Any:
    """Change one place of a JSON value: replace, remove, repeat or swap entries."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        value = dict(value)
        key = rng.choice(list(value))
        match rng.randrange(10):
            case 0:
                del value[key]
            case 1:
                value[str(rng.choice(VALUES))] = value[key]
            case 2:
                value[key] = value[rng.choice(list(value))]
            case _:
                value[key] = tree(rng, value[key])
        return value
    if isinstance(value, list) and value and rng.random() < 0.8:
        value = list(value)
        place = rng.randrange(len(value))
        match rng.randrange(6):
            case 0:
                del value[place]
            case 1:
                value.insert(place, value[place])
            case _:
                value[place] = tree(rng, value[place])
        return value
    if isinstance(value, int) and rng.random() < 0.3:
        return value + rng.choice((-1, 1, value))
    return rng.choice(VALUES)


def safetensors(rng: Random, content: bytes) -> bytes:
    """Change the JSON header, and sometimes its length field."""
    size = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + size])
    except ValueError:
        header = None
    if not isinstance(header, dict) or rng.random() < 0.2:
        return raw(rng, content, [0, 8])
    for _ in range(rng.choice((1, 1, 2, 4))):
        header = tree(rng, header)
    text = json.dumps(header).encode()
    length = len(text) if rng.random() < 0.95 else rng.choice(INTEGERS)
    return (length % 2**64).to_bytes(8, "little") + text + content[8 + size :]


def png(rng: Random, content: bytes) -> bytes:
    """Change, remove, repeat or reorder chunks, and correct their checksums."""
    chunks, place = [], 8
    while place + 12 <= len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + size]))
        place += 12 + size
    if not chunks or rng.random() < 0.15:
        return raw(rng, content, [8, 16])
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(chunks))
        kind, data = chunks[at]
        match rng.randrange(6):
            case 0 | 1 | 2:
                chunks[at] = (kind, raw(rng, data))
            case 3:
                chunks.insert(rng.randrange(len(chunks) + 1), (kind, data))
            case 4:
                if len(chunks) > 1:
                    del chunks[at]
            case 5:
                kinds = (b"acTL", b"fcTL", b"fdAT", b"eXIf", b"tRNS", b"PLTE", b"iCCP", b"zTXt",
                         b"iTXt", b"gAMA", b"IDAT", b"IEND", b"sRGB", b"pHYs", b"cHRM")  # fmt: skip
                data = data if rng.random() < 0.5 else rng.randbytes(rng.choice((0, 3, 8, 26, 768)))
                chunks.insert(rng.randrange(len(chunks) + 1), (rng.choice(kinds), data))
    out = content[:8]
    for kind, data in chunks:
        out += struct.pack(">I", len(data)) + kind + data
        out += struct.pack(">I", zlib.crc32(kind + data))
    return out


OPCODES = [
    b"N", b"\x88", b"\x89", b")", b"}", b"]", b"(", b"t", b"\x85", b"\x86", b"\x87", b"a", b"e",
    b"s", b"u", b"R", b"b", b"Q", b"0", b"2", b".", b"1", b"\x81", b"o", b"\x94", b"\x93",
    b"h\0", b"q\0", b"h\xff", b"j\xff\xff\xff\xff", b"r\xff\xff\xff\x7f", b"K\x01", b"M\xff\xff",
    b"J\xff\xff\xff\xff", b"\x8a\x08" + b"\xff" * 7 + b"\x7f", b"G" + b"\x7f\xf8" + b"\0" * 6,
    b"cos\nsystem\n", b"cbuiltins\neval\n", b"ctorch\nFloatStorage\n", b"ctorch\nLongStorage\n",
    b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"X\x01\0\0\0a",
    b"\x8c\x01a", b"U\x01a", b"B\xff\xff\xff\xff", b"X\xff\xff\xff\x7f", b"I1\n", b"L5L\n",
]  # fmt: skip


def pickle(rng: Random, content: bytes) -> bytes:
    """Change single opcodes, so that the result is still a pickle."""
    places: list[int] = []
    with contextlib.suppress(Exception):  # read as far as it can be
        places += (place for _, _, place in pickletools.genops(content) if place is not None)
    if len(places) < 3 or rng.random() < 0.1:
        return raw(rng, content)
    ops = [content[a:b] for a, b in zip(places, [*places[1:], len(content)], strict=True)]
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        at = rng.randrange(len(ops))
        match rng.randrange(6):
            case 0:
                del ops[at]
            case 1:
                ops.insert(rng.randrange(len(ops) + 1), ops[at])
            case 2:
                other = rng.randrange(len(ops))
                ops[at], ops[other] = ops[other], ops[at]
            case 3:
                ops.insert(at, rng.choice(OPCODES))
            case 4:
                ops[at] = rng.choice(OPCODES)
            case 5:
                argument = bytearray(ops[at])
                if len(argument) > 1:
                    integer(rng, argument, rng.randrange(1, len(argument)))
                ops[at] = bytes(argument)
        if not ops:
            return b""
    return b"".join(ops)


def zipped(rng: Random, content: bytes) -> bytes:
    """Change the pickle in a torch zip, its members, or the fields of the zip itself."""
    if rng.random() < 0.4:
        marks = (b"PK\1\2", b"PK\3\4", b"PK\5\6")
        return raw(rng, content, [at for mark in marks if (at := content.rfind(mark)) >= 0])
    out = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
            names = old.namelist()
            victim = rng.choice(names)
            if rng.random() < 0.7:
                victim = next((n for n in names if n.endswith("data.pkl")), victim)
            for name in names:
                data = old.read(name)
                if name == victim:
                    data = pickle(rng, data) if name.endswith(".pkl") else raw(rng, data)
                    if rng.random() < 0.1:
                        name = rng.choice(("../x", "/x", "a\\b", name + "x", "", "x/data.pkl"))
                new.writestr(name, data)
    except Exception:  # no longer a zip that Python can copy
        return raw(rng, content)
    return out.getvalue()


def legacy(rng: Random, content: bytes) -> bytes:
    """Change one of the pickles of torch's format before 1.6, or the storages after them."""
    places, stream = [0], io.BytesIO(content)
    with contextlib.suppress(Exception):  # fewer than five can be read
        for _ in range(5):
            for _ in pickletools.genops(stream):
                pass
            places.append(stream.tell())
    if len(places) < 2 or rng.random() < 0.2:
        return raw(rng, content, places)
    which = rng.randrange(len(places) - 1)
    first, end = places[which], places[which + 1]
    return content[:first] + pickle(rng, content[first:end]) + content[end:]
