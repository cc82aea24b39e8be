"""A message survives the trip; bytes that are no message are refused."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from minicore.play.message import DTYPES, Message

SOME = arrays.arrays(
    st.sampled_from(list(DTYPES)), arrays.array_shapes(min_dims=0, max_dims=4, min_side=0)
)


@given(st.dictionaries(st.text(max_size=5), SOME, max_size=4), st.text())
def test_a_message_survives_the_trip(given_arrays, text):
    values = {"text": text, "number": 0.1, "list": [1, None, True]}
    found = Message.unpack(Message(values, given_arrays).pack())
    assert found.values == values and list(found.arrays) == list(given_arrays)
    for name, array in given_arrays.items():
        assert found.arrays[name].dtype == array.dtype
        assert found.arrays[name].shape == array.shape
        assert found.arrays[name].tobytes() == array.tobytes()


def test_the_layout_is_the_documented_one():
    data = Message({"a": 1}, {"x": np.array([1, 2, 3], np.uint8), "y": np.float32([5])}).pack()
    length = int.from_bytes(data[:4], "little")
    content = json.loads(data[4 : 4 + length])
    assert content["arrays"]["x"] == {"dtype": "uint8", "shape": [3], "offset": 0}
    assert content["arrays"]["y"] == {"dtype": "float32", "shape": [1], "offset": 8}
    assert (4 + length) % 8 == 0 and len(data) == 4 + length + 16
    assert data[4 + length :][:8] == bytes([1, 2, 3, 0, 0, 0, 0, 0])


@pytest.mark.parametrize("array", [np.float64([1]), np.int64([1]), np.array(["a"])])
def test_other_types_are_not_sent(array):
    with pytest.raises(ValueError, match="x must be one of"):
        Message({}, {"x": array}).pack()


def test_nan_is_not_sent_as_a_value():
    with pytest.raises(ValueError, match="JSON"):
        Message({"a": float("nan")}, {}).pack()


def raw(content, body=b"", length=None):
    head = content if isinstance(content, bytes) else json.dumps(content).encode()
    head += b" " * (-(4 + len(head)) % 8)
    return (len(head) if length is None else length).to_bytes(4, "little") + head + body


def entry(dtype="uint8", shape=(4,), offset=0):
    return {"values": {}, "arrays": {"x": {"dtype": dtype, "shape": shape, "offset": offset}}}


WRONG = {
    "empty": b"",
    "short": b"\x01\x00",
    "longer than the message": raw({"values": {}, "arrays": {}}, length=2**32 - 1),
    "no JSON": raw(b"{"),
    "nested": raw(b"[" * 200_000),
    "not UTF-8": raw(b'{"\xff": 1}'),
    "a list": raw([]),
    "no arrays": raw({"values": {}}),
    "values is a list": raw({"values": [], "arrays": {}}),
    "arrays is a list": raw({"values": {}, "arrays": [1]}),
    "unknown dtype": raw(entry("object"), bytes(8)),
    "dtype is a list": raw(entry(["uint8"]), bytes(8)),
    "shape is text": raw(entry(shape="4"), bytes(8)),
    "shape is a number": raw(entry(shape=4), bytes(8)),
    "negative side": raw(entry(shape=[-4]), bytes(8)),
    "two negative sides": raw(entry(shape=[-2, -2]), bytes(8)),
    "half a side": raw(entry(shape=[1.5]), bytes(8)),
    "true as a side": raw(entry(shape=[True]), bytes(8)),
    "beyond the end": raw(entry(shape=[9]), bytes(8)),
    "huge": raw(entry(shape=[2**62, 2**62]), bytes(8)),
    "huge but empty": raw(entry(shape=[2**70, 0]), bytes(8)),
    "too many sides": raw(entry(shape=[1] * 9), bytes(8)),
    "negative offset": raw(entry(offset=-8), bytes(8)),
    "odd offset": raw(entry(shape=[1], offset=1), bytes(8)),
    "no offset": raw({"values": {}, "arrays": {"x": {"dtype": "uint8", "shape": [1]}}}),
}


@pytest.mark.parametrize("name", WRONG)
def test_bytes_that_are_no_message_are_refused(name):
    with pytest.raises(ValueError, match="not a message"):
        Message.unpack(WRONG[name])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(data):
    try:
        Message.unpack(data)
    except ValueError as error:
        assert "not a message" in str(error)
