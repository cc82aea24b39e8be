"""Messages between page and server: JSON values and arrays in one block of bytes.

Layout, little endian: uint32 length of the JSON; the JSON, padded with spaces so that the arrays
begin at a multiple of 8; the arrays, each padded to a multiple of 8. The JSON is

    {"values": {...}, "arrays": {name: {"dtype": "float32", "shape": [2, 3], "offset": 0}}}

`offset` counts from the first array. A page reads each array in place, without a copy.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

DTYPES = {
    name: np.dtype(name).newbyteorder("<") for name in ("float32", "float16", "int32", "uint8")
}
ALIGNED = 8


@dataclass(frozen=True, eq=False)
class Message:
    """Values for JSON, and arrays.

    Attributes
    ----------
    values : dict
        Numbers, texts, lists and dicts. No NaN and no infinity.
    arrays : dict of str to array
        float32, float16, int32 or uint8.
    """

    values: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def pack(self) -> bytes:
        """Return the message as bytes.

        Raises
        ------
        ValueError
            If an array has another dtype, or a value is NaN or infinite.
        TypeError
            If a value cannot be written as JSON.
        """
        entries, blocks, offset = {}, [], 0
        for name, array in self.arrays.items():
            if array.dtype.name not in DTYPES:
                raise ValueError(f"{name} must be one of {', '.join(DTYPES)}, got {array.dtype}")
            data = np.ascontiguousarray(array, DTYPES[array.dtype.name]).tobytes()
            entries[name] = {
                "dtype": array.dtype.name,
                "shape": list(array.shape),
                "offset": offset,
            }
            blocks.append(data + bytes(-len(data) % ALIGNED))
            offset += len(blocks[-1])
        content = {"values": self.values, "arrays": entries}
        head = json.dumps(content, allow_nan=False, ensure_ascii=False).encode()
        head += b" " * (-(4 + len(head)) % ALIGNED)
        return b"".join([len(head).to_bytes(4, "little"), head, *blocks])

    @staticmethod
    def unpack(data: bytes) -> Message:
        """Return the message in bytes, which may come from anyone.

        Parameters
        ----------
        data : bytes

        Returns
        -------
        Message
            Its arrays are read-only views of `data`.

        Raises
        ------
        ValueError
            If the bytes are not a message.
        """
        wrong = ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError
        try:
            start = 4 + int.from_bytes(data[:4], "little")
            if not 4 < start <= len(data):
                raise ValueError("its JSON is longer than the message")
            content = json.loads(data[4:start])
            values, entries = content["values"], content["arrays"]
            if not isinstance(values, dict):
                raise ValueError("values is not an object")
            body = memoryview(data)[start:]
            arrays = {name: _array(entry, body) for name, entry in entries.items()}
        except wrong as error:
            raise ValueError(f"not a message: {error}") from None
        return Message(values, arrays)


def _array(entry: dict[str, Any], body: memoryview) -> np.ndarray:
    """Return the array that an entry of the JSON describes."""
    dtype, shape, offset = DTYPES[entry["dtype"]], entry["shape"], entry["offset"]
    whole = [offset, *shape]
    if len(shape) > 8 or not all(type(n) is int and n >= 0 for n in whole):
        raise ValueError("shape and offset must be whole numbers of at least 0")
    end = offset + math.prod(shape) * dtype.itemsize  # Python integers do not overflow
    if offset % ALIGNED or end > len(body):
        raise ValueError("an array lies outside the message")
    return np.ndarray(tuple(shape), dtype, body, offset)
