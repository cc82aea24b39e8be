"""Checkpoints are read as torch reads them, and no code in them runs."""

import io
import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from checkpoints import (
    dictionary,
    floats,
    name,
    number,
    numbers,
    pickled,
    tensor,
    text,
    write_legacy,
    write_zip,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from minicore.backbones.convert.checkpoint import read_checkpoint
from minicore.errors import BackboneError

GOLDEN = Path(__file__).parents[1] / "golden"


def refused(path, match=None):
    with pytest.raises(BackboneError, match=match) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < len(str(path)) + 300
    return message


# What is read


def test_both_formats_of_torch_give_the_same_weights():
    new = read_checkpoint(GOLDEN / "tiny_resnet.pth")
    old = read_checkpoint(GOLDEN / "tiny_resnet_legacy.pth")
    assert list(new) == list(old)
    assert new["conv1.weight"].shape == (4, 3, 7, 7)
    assert new["layer3.0.bn2.num_batches_tracked"] == 5
    for key in new:
        assert old[key].dtype == ("i8" if key.endswith("tracked") else "f2")
        np.testing.assert_array_equal(old[key], new[key])


def test_offset_strides_and_shared_storages_are_honoured(tmp_path):
    content = dictionary(
        whole=tensor(12, (3, 4), (4, 1)),
        turned=tensor(12, (4, 3), (1, 4)),
        corner=tensor(12, (2, 2), (4, 1), offset=5),
        single=tensor(12, (), (), offset=7),
        one=tensor(12, (1, 2), (2**70, 1)),
        empty=tensor(12, (0, 3), (3, 1)),
    )
    arrays = read_checkpoint(write_zip(tmp_path / "a.pth", content, {"0": floats(12)}))
    whole = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(arrays["whole"], whole)
    np.testing.assert_array_equal(arrays["turned"], whole.T)
    np.testing.assert_array_equal(arrays["corner"], whole[1:, 1:3])
    np.testing.assert_array_equal(arrays["one"], whole[:1, :2])
    assert arrays["single"] == 7
    assert arrays["empty"].shape == (0, 3)
    assert np.shares_memory(arrays["whole"], arrays["turned"])


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        *[("DoubleStorage", "f8"), ("FloatStorage", "f4"), ("HalfStorage", "f2")],
        *[("LongStorage", "i8"), ("IntStorage", "i4"), ("ShortStorage", "i2")],
        *[("CharStorage", "i1"), ("ByteStorage", "u1"), ("BoolStorage", "?")],
    ],
)
@pytest.mark.parametrize("order", ["little", "big"])
def test_dtypes_and_byte_orders_are_honoured(tmp_path, kind, dtype, order):
    values = np.array([0, 1, 1, 0], dtype)
    raw = values.astype(values.dtype.newbyteorder("<" if order == "little" else ">")).tobytes()
    content = dictionary(w=tensor(kind=kind))
    path = write_zip(tmp_path / "a.pth", content, {"0": raw}, byteorder=order.encode())
    old_content = dictionary(w=tensor(kind=kind, legacy=True))
    old = write_legacy(tmp_path / "b.pth", old_content, {"0": (4, raw)}, little=order == "little")
    for file in (path, old):
        array = read_checkpoint(file)["w"]
        assert array.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(array, values)


def test_bfloat16_becomes_float32(tmp_path):
    values = np.array([1, -2.5, 3.140625, 2.0**100], np.float32)
    raw = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    content = dictionary(w=tensor(kind="BFloat16Storage"))
    array = read_checkpoint(write_zip(tmp_path / "a.pth", content, {"0": raw}))["w"]
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, values)


def test_training_checkpoints_are_looked_into(tmp_path):
    inner = dictionary(**{"module.a": tensor(), "module.b": tensor(shape=(2, 2), strides=(2, 1))})
    for wrapper in ("state_dict", "model"):
        content = dictionary(epoch=number(3), **{wrapper: inner})
        arrays = read_checkpoint(write_zip(tmp_path / "a.pth", content))
        assert list(arrays) == ["a", "b"]


def test_a_checkpoint_of_python_2_is_read(tmp_path):
    pair = b"](U\x01w" + tensor(legacy=True) + b"e"
    content = name("collections", "OrderedDict") + b"](" + pair + b"e\x85R"
    path = write_legacy(tmp_path / "a.pth", content, {"0": (4, floats(4))})
    np.testing.assert_array_equal(read_checkpoint(path)["w"], [0, 1, 2, 3])


def test_safetensors_are_read(tmp_path):
    from safetensors.numpy import save_file

    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float16([1, 2])}
    save_file(arrays, tmp_path / "w.safetensors")
    read = read_checkpoint(tmp_path / "w.safetensors")
    for key, array in arrays.items():
        assert read[key].dtype == array.dtype
        np.testing.assert_array_equal(read[key], array)
    header = b'{"w":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    path = tmp_path / "bf16.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\x80\x3f\x00\xc0")
    np.testing.assert_array_equal(read_checkpoint(path)["w"], [1, -2])


def test_whatever_torch_saves_is_read_back(tmp_path):
    torch = pytest.importorskip("torch", reason="needs torch to write what is read")
    base = torch.randn(6, 8)
    saved = {
        "contiguous": base,
        "transposed": base.t(),
        "slice": base[2:5, 1::3],
        "parameter": torch.nn.Parameter(base[0]),
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "half": base.half(),
        "bfloat16": base.bfloat16(),
        "count": torch.tensor(7),
        "flags": base > 0,
        "empty": torch.zeros(0, 3),
    }
    for zipped in (True, False):
        for protocol in (2, 4) if zipped else (2,):
            path = tmp_path / "a.pth"
            torch.save(saved, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
            arrays = read_checkpoint(path)
            assert list(arrays) == list(saved)
            for key, value in saved.items():
                value = value.detach()
                value = value.float() if value.dtype == torch.bfloat16 else value
                np.testing.assert_array_equal(arrays[key], value.numpy())
                assert arrays[key].dtype == value.numpy().dtype


# What is refused: programs


class Evil:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_pickle_that_calls_anything_is_refused_and_runs_nothing(tmp_path, protocol):
    content = pickle.dumps({"w": Evil(tmp_path / "pwned")}, protocol=protocol)
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", content)
    refused(path, "nothing was run|damaged")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("module", "attribute"),
    [
        *[("builtins", "eval"), ("builtins", "getattr"), ("os", "system"), ("posix", "system")],
        *[("torch", "load"), ("torch.hub", "load"), ("torch._utils", "__builtins__")],
        *[("numpy.core.multiarray", "_reconstruct"), ("collections", "namedtuple")],
        ("torch FloatStorage\x1b[31m", "x"),
    ],
)
@pytest.mark.parametrize("stack", [False, True])
def test_names_outside_the_list_are_refused(tmp_path, module, attribute, stack):
    named = text(module) + text(attribute) + b"\x93" if stack else name(module, attribute)
    message = refused(write_zip(tmp_path / "a.pth", named + b"(tR"), "nothing was run")
    assert message.isprintable()


@pytest.mark.parametrize(
    "content",
    {
        "instance": b"(ios\nsystem\n",
        "object": name("collections", "OrderedDict") + b"(o",
        "new object": name("collections", "OrderedDict") + b")\x81",
        "extension": b"\x82\x01",
        "text of an integer": b"I01\n",
        "a set": b"\x8f",
        "a duplicate": b"}2",
        "a call of a string": text("print") + b")R",
        "a call of a storage type": name("torch", "FloatStorage") + b")R",
        "a call with no tuple": name("collections", "OrderedDict") + b"}R",
        "a state on no dictionary": b"]}b",
        "an item on no dictionary": b"]" + text("a") + b"Ns",
        "an odd number of items": b"}(" + text("a") + b"u",
        "a list on no list": b"}Na",
        "an unknown memory": b"h\x07",
        "an empty stack": b"0",
        "no mark": b"t",
    }.items(),
    ids=lambda item: item[0],
)
def test_opcodes_that_weights_do_not_need_are_refused(tmp_path, content):
    refused(write_zip(tmp_path / "a.pth", content[1]), "nothing was run|damaged")


# What is refused: claims


@pytest.mark.parametrize(
    "window",
    {
        "past the end": {"shape": (5,)},
        "past the end by its offset": {"offset": 1},
        "past the end by its strides": {"shape": (2, 2), "strides": (3, 1)},
        "before the start": {"offset": -1},
        "backwards": {"strides": (-1,), "offset": 3},
        "of negative size": {"shape": (-4,)},
        "repeated without end": {"shape": (10**12,), "strides": (0,)},
        "more dimensions than strides": {"shape": (2, 2)},
        "many dimensions": {"shape": (1,) * 9, "strides": (1,) * 9},
        "of a size beyond any integer": {"shape": (2**2000,)},
        "empty but absurd": {"shape": (0, 2**40, 2**40), "strides": (1, 1, 1)},
    }.items(),
    ids=lambda item: item[0],
)
def test_tensors_outside_their_storage_are_refused(tmp_path, window):
    content = dictionary(w=tensor(**window[1]))
    refused(write_zip(tmp_path / "a.pth", content), "does not fit|damaged")


def test_tensors_of_no_storage_are_refused(tmp_path):
    rebuild = name("torch._utils", "_rebuild_tensor_v2")
    forged = rebuild + b"(" + text("0") + number(0) + numbers((4,)) + numbers((1,)) + b"\x89)tR"
    refused(write_zip(tmp_path / "a.pth", dictionary(w=forged)), "damaged")
    nested = tensor().replace(numbers((4,)), b"(]t")
    refused(write_zip(tmp_path / "a.pth", dictionary(w=nested)), "damaged")


def test_a_storage_that_is_short_missing_or_described_twice_is_refused(tmp_path):
    path = tmp_path / "a.pth"
    refused(write_zip(path, dictionary(w=tensor()), {"0": floats(3)}), "12 bytes, not 16")
    refused(write_zip(path, dictionary(w=tensor(key="1"))), "'1' is missing")
    twice = dictionary(v=tensor(), w=tensor(kind="IntStorage"))
    refused(write_zip(path, twice), "described in two ways")
    refused(write_zip(path, dictionary(w=tensor(10**15))), "not 4000000000000000 bytes")
    refused(write_zip(path, dictionary(w=tensor(2**2000))), "without key or length")


def test_keys_are_no_paths(tmp_path):
    (tmp_path / "secret").write_bytes(floats(4))
    for key in ("../../secret", str(tmp_path / "secret"), "..\\secret", "0/../0", ""):
        refused(write_zip(tmp_path / "a.pth", dictionary(w=tensor(key=key))), "is missing")


@pytest.mark.parametrize("member", ["../x/data/0", "/etc/passwd", "x\\..\\y", "x/../../y"])
def test_a_zip_with_members_outside_of_it_is_refused(tmp_path, member):
    path = write_zip(tmp_path / "a.pth", dictionary(w=tensor()))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(member, b"x")
    refused(path, "leaves its folder")
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_a_zip_bomb_is_refused(tmp_path):
    zeros = {"0": bytes(50_000_000)}
    content = dictionary(w=tensor(12_500_000, (12_500_000,)))
    path = write_zip(tmp_path / "a.pth", content, zeros, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    refused(path, "compressed")
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_a_zip_of_overlapping_members_is_refused(tmp_path):
    """One stored member, listed a hundred times: no compression, yet a bomb."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("x/data.pkl", pickled(dictionary(w=tensor())))
        archive.writestr("x/data/000", floats(10_000))
        first = archive.infolist()[-1]
        for i in range(1, 100):
            copy = zipfile.ZipInfo(f"x/data/{i:03}")
            copy.file_size = copy.compress_size = first.file_size
            copy.CRC, copy.header_offset = first.CRC, first.header_offset
            archive.filelist.append(copy)
            archive.NameToInfo[copy.filename] = copy
    path = tmp_path / "a.pth"
    path.write_bytes(raw.getvalue())
    refused(path, "overlap")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_with_two_members_of_one_name_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.pth", dictionary(w=tensor()))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x/data/0", floats(4))
    refused(path, "two members have one name")


def test_views_that_add_up_to_more_than_the_file_are_refused(tmp_path):
    views = {f"w{i}": tensor(10_000, (10_000,)) for i in range(100)}
    path = write_zip(tmp_path / "a.pth", dictionary(**views), {"0": floats(10_000)})
    refused(path, "claim over 4 times the file's size")


def test_a_pickle_of_more_than_4_mib_is_refused(tmp_path):
    refused(write_zip(tmp_path / "a.pth", b"N" * (4 * 2**20)), "larger than 4 MiB")


def nesting(depth):
    return b"]" * depth + b"a" * (depth - 1)


def laughs(levels):
    """Give a list of ten lists of ten lists …, each written once and remembered."""
    content = b"]q\x00"
    for level in range(levels):
        content += b"](" + b"h" + bytes([level]) + (b"h" + bytes([level])) * 9 + b"eq"
        content += bytes([level + 1])
    return content


BOMBS = {
    "a hundred thousand lists": b"]" * 100_000,
    "a hundred thousand lists inside each other": nesting(50_000),
    "tuples inside each other": b"N" + b"\x85" * 50_000,
    "a hundred thousand memories": b"N" + b"\x94" * 100_000,
    "a memory of a huge index": b"Nr\xff\xff\xff\x7f",
    "a billion laughs": laughs(30),
    "a string that claims 4 GiB": b"X\xff\xff\xff\xff",
    "a string that claims more than memory": b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f",
    "a list turned into dictionaries": (
        b"]("
        + (b"](" + text("k") + b"Ne") * 1000
        + b"eq\x00"
        + (name("collections", "OrderedDict") + b"h\x00\x85R") * 1000
    ),
    "a tuple as a key": b"}(" + b"N" + b"q\x00h\x00\x86" * 30 + b"Nu",
    "a huge integer as a key": b"}(" + number(2**600) + b"Nu",
}


@pytest.mark.slow
@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS.keys())
def test_pickle_bombs_end_within_200_bytes_a_byte(tmp_path, content):
    path = write_zip(tmp_path / "a.pth", content)
    tracemalloc.start()
    refused(path, "no dictionary of weights|damaged")
    assert tracemalloc.get_traced_memory()[1] < 200 * len(content) + 500_000
    tracemalloc.stop()


N = 200_000
LONG_CALLS = {
    "a parameter": (
        name("torch._utils", "_rebuild_parameter") + b"q\x01(" + b"N" * N + b"tq\x00",
        b"h\x01h\x00R",
    ),
    "a tensor": (
        name("torch._utils", "_rebuild_tensor_v2") + b"q\x01("
        + tensor().partition(b"(")[2].removesuffix(b"tR") + b"N" * N + b"tq\x00",
        b"h\x01h\x00R",
    ),
    "a storage": (
        tensor().partition(b"(")[2].partition(b"tQ")[0] + b"N" * N + b"tq\x00",
        b"h\x00Q",
    ),
    "a storage as a list": (
        b"](" + tensor().partition(b"(")[2].partition(b"tQ")[0][1:] + b"N" * N + b"eq\x00",
        b"h\x00Q",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("once", "again"), LONG_CALLS.values(), ids=LONG_CALLS.keys())
def test_a_long_tuple_is_not_handed_over_a_million_times(tmp_path, once, again):
    """Remembered in one byte a value, looked through in three bytes a call: hours in 4 MiB."""
    refused(write_zip(tmp_path / "a.pth", b"(" + once + again * 20_000 + b"t"), "damaged")


@pytest.mark.slow
def test_bombs_in_the_legacy_list_of_storages_are_refused(tmp_path):
    good = write_legacy(
        tmp_path / "a.pth", dictionary(w=tensor(legacy=True)), {"0": (4, floats(4))}
    )
    keys = pickled(b"](" + text("0") + b"e")
    for bomb in (nesting(100_000), laughs(30)):
        path = tmp_path / "b.pth"
        path.write_bytes(good.read_bytes().replace(keys, pickled(b"](" + bomb + b"e")))
        refused(path, "list of storages")


# What is refused: damage


@pytest.mark.parametrize("file", ["tiny_resnet.pth", "tiny_resnet_legacy.pth"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.9999])
def test_a_truncated_file_is_refused(tmp_path, file, share):
    whole = (GOLDEN / file).read_bytes()
    path = tmp_path / file
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path)


@pytest.mark.parametrize(
    ("storages", "match"),
    [
        ({"0": (5, floats(5))}, "has 5 numbers, not 4"),
        ({"0": (-1, floats(4))}, "has -1 numbers"),
        ({"0": (4, floats(3))}, "ends too early"),
        ({"9": (4, floats(4))}, "'9' is unknown"),
        ({}, "'0' is missing"),
    ],
)
def test_legacy_storages_that_do_not_match_are_refused(tmp_path, storages, match):
    content = dictionary(w=tensor(legacy=True))
    refused(write_legacy(tmp_path / "a.pth", content, storages), match)


def test_a_legacy_storage_larger_than_the_file_is_refused_before_it_is_read(tmp_path):
    content = dictionary(w=tensor(2**40, legacy=True))
    refused(write_legacy(tmp_path / "a.pth", content, {"0": (2**40, floats(4))}))


@pytest.mark.slow
@pytest.mark.parametrize("file", ["tiny_resnet.pth", "tiny_resnet_legacy.pth"])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_anywhere_gives_arrays_or_a_backbone_error(tmp_path_factory, file, data):
    raw = bytearray((GOLDEN / file).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        ends = st.one_of(st.integers(0, 4000), st.integers(len(raw) - 4000, len(raw) - 1))
        raw[data.draw(st.one_of(ends, st.integers(0, len(raw) - 1)))] = data.draw(
            st.integers(0, 255)
        )
    path = tmp_path_factory.getbasetemp() / "damaged.pth"
    path.write_bytes(raw)
    try:
        arrays = read_checkpoint(path)
    except BackboneError as error:
        assert str(error).isprintable()
    else:
        assert sum(array.nbytes for array in arrays.values()) <= 8 * len(raw)


def test_safetensors_that_lie_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    for header in (
        b'{"w":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}',
        b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"v":{"dtype":"F32"',
        b'{"w":' + b"[" * 100_000,
        b'{"a\\u001bb":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        b'"v":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
    ):
        path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
        refused(path)
    for size in (2**60, 2**63, 2**64 - 1):
        path.write_bytes(struct.pack("<Q", size) + b"{}")
        refused(path, "damaged")


@pytest.mark.parametrize("shape", [(0, 2**40, 2**40), (0, 2**63), (0, 2**64 - 1), (0, *[1] * 70)])
def test_safetensors_of_shapes_that_numpy_lacks_are_refused(tmp_path, shape):
    header = b'{"w":{"dtype":"F32","shape":%s,"data_offsets":[0,0]}}' % str(list(shape)).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    refused(path, "'w' has the shape")


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\x80\x02\x8a\x0a", b"\x09\0\0\0\0\0\0\0{"])
def test_a_file_of_terabytes_of_holes_is_refused_before_it_is_read(tmp_path, start):
    path = tmp_path / "a.pth"
    with path.open("wb") as file:
        file.write(start)
        try:
            file.truncate(2**42)
        except OSError as error:
            pytest.skip(f"this file system has no such files: {error}")
    refused(path, "has 4398 GB")


def test_files_that_are_no_checkpoint_are_refused(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(b"<html>404</html>")
    refused(path, "neither")
    path.write_bytes(pickle.dumps([1, 2]))
    refused(path, "neither")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme", b"hello")
    refused(path, "without data.pkl")
    refused(write_zip(path, dictionary(epoch=number(3))), "save only model.state_dict")
    refused(write_zip(path, tensor()), "save only model.state_dict")
    refused(write_zip(path, dictionary(**{"a\nb": tensor()})), "a weight is named")
    refused(tmp_path / "absent.pth", "cannot be read")
    refused(tmp_path, "cannot be read")
