"""The static playground: its graphs compute what `frame` computes, and its files are complete."""

import gzip
import json

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from minicore import PatchCore
from minicore.errors import MinicoreError
from minicore.export.equation_nodes import centred_norms
from minicore.export.network_nodes import network_models
from minicore.fast.score import upsampling_matrix
from minicore.images import view
from minicore.play import frame, prepare, static_site
from minicore.play.examples import RATE
from minicore.play.message import Message
from minicore.play.sources import source
from minicore.play.static_graphs import graphs
from minicore.play.static_site import NEIGHBOURS, SIGMAS, write_site

# Python 3.14 and the package onnx
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(scope="module", params=[{}, {"stride": 2, "patchsize": 5}], ids=["p3", "p5s2"])
def scene(tiny, gear, request):
    model = PatchCore(tiny, coreset_ratio=0.3, progress=False, **request.param).fit(gear.train)
    return prepare(model, gear.train, false_positive_rate=RATE)


@pytest.fixture(scope="module")
def sessions(scene):
    files = graphs(scene, network_models(scene.model.backbone_.networks, "float32"))
    return {name: onnxruntime.InferenceSession(file) for name, file in files.items()}


@pytest.mark.parametrize(("share", "b", "sigma"), [(0.3, 9, 4.0), (0.1, 2, 0.0), (0.15, 20, 7.5)])
def test_the_graphs_compute_what_the_local_engine_computes(scene, sessions, gear, share, b, sigma):
    def run(name, **inputs):
        names = [output.name for output in sessions[name].get_outputs()]
        return dict(zip(names, sessions[name].run(None, inputs), strict=True))

    model = scene.model
    pixels = view(gear.test[-1], model.config_.preprocessing)
    expected = frame(scene, pixels, share=share, b=b, sigma=sigma)
    bank = model.memory_bank_[: round(share * scene.all_rows)]
    norms = centred_norms(model.memory_bank_)[1][:, : len(bank)]

    levels = run("network", image=pixels[None])
    patches = run("eq123", **levels)
    picture = run("picture", **patches, **levels)
    eq6 = run("eq6", **patches, bank=bank, squared_norms=norms)
    star = {name: eq6[name] for name in ("star", "m_star", "s_star")}
    eq7 = run("eq7", **patches, bank=bank, **star, b=np.array([b], np.int64))
    cell, s = scene.levels[0]["cell"], model.config_.stride
    rows, columns = (
        upsampling_matrix(model.grid_[k], model.input_size_[k], sigma, s, cell[k]) for k in (0, 1)
    )
    rows, columns = rows.astype(np.float32), columns.T.astype(np.float32)
    (heat,) = run("map", distances=eq6["distances"], rows=rows, columns=columns)["map"]

    values, arrays = expected.values, expected.arrays
    assert eq6["star"].item() == values["star"]
    assert eq6["s_star"].item() == pytest.approx(values["s_star"], rel=1e-5)
    assert eq7["weight"].item() == pytest.approx(values["weight"], rel=1e-5)
    assert eq7["score"].item() == pytest.approx(values["score"], rel=1e-5)
    np.testing.assert_array_equal(eq6["nearest"], arrays["nearest"])
    np.testing.assert_array_equal(eq7["neighbours"], arrays["neighbours"])
    for name, found in (
        ("distances", eq6["distances"]),
        ("neighbour_distances", eq7["neighbour_distances"]),
        ("softmax", eq7["softmax"]),
        ("map", heat),
        ("xy", picture["xy"]),
    ):
        atol = 1e-5 * float(np.abs(arrays[name]).max())
        np.testing.assert_allclose(found, arrays[name], rtol=1e-5, atol=atol, err_msg=name)
    for j in range(len(scene.levels)):
        difference = picture[f"colours_{j}"][0] - arrays[f"level_{j}"].astype(int)
        assert np.abs(difference).max() <= 1  # of 255


# ---------------------------------------------------------------- the files


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A folder that looks like onnxruntime-web."""
    folder = tmp_path_factory.mktemp("node") / "onnxruntime-web"
    (folder / "dist").mkdir(parents=True)
    for name in (*static_site.RUNTIME, static_site.BINARY):
        (folder / "dist" / name).write_bytes(name.encode() * 100)
    return folder


@pytest.fixture(scope="module")
def site(package, tiny, tmp_path_factory):
    """A site of a tiny network, and its scene."""
    folder = tmp_path_factory.mktemp("sites") / "playground"
    folder.mkdir()  # an empty folder is accepted
    scene = write_site(folder, package, backbone=tiny, progress=False)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    return folder, scene


def read(path):
    return Message.unpack(gzip.decompress(path.read_bytes()))


def test_a_site_has_every_file_that_its_page_asks_for(site, package):
    folder, _ = site
    page = (folder / "index.html").read_text("utf-8")
    assert 'data-engine="static" data-part="gear"' in page and "local" not in page.split("\n")[3]
    binary = (package / "dist" / static_site.BINARY).read_bytes()
    assert gzip.decompress((folder / "runtime.bin").read_bytes()) == binary
    for name in static_site.RUNTIME:
        assert (folder / name).read_bytes() == (package / "dist" / name).read_bytes()
    for k in range(1, 8):
        assert json.loads((folder / f"eq{k}.json").read_text("utf-8")) == source(f"eq{k}")
    images = read(folder / "scene.bin").values["images"]
    assert images == {"training": 40, "good": 6, "defective": 12}
    for kind, count in images.items():
        assert len(list(folder.glob(f"{kind}-*.webp"))) == count


def test_examples_are_stored_exactly(site):
    folder, scene = site
    with Image.open(folder / "good-0.webp") as picture:
        stored = np.asarray(picture)
    pixels = view(static_site.drawn("gear").good[0], scene.model.config_.preprocessing)
    np.testing.assert_array_equal(stored, pixels)


def test_the_scene_has_thresholds_for_every_setting(site):
    folder, scene = site
    content = read(folder / "scene.bin")
    rows = content.arrays["coresets"]
    assert (rows == [round(share * scene.all_rows) for share in static_site.SHARES]).all()
    assert content.values["first_share"] == rows[0] / scene.all_rows
    bank = scene.model.memory_bank_
    np.testing.assert_array_equal(content.arrays["bank"].astype(np.float32), bank)
    pixels = np.full((*scene.model.input_size_, 3), 90, np.uint8)
    for coreset, b, sigma in ((0, 9, 4.0), (10, 2, 0.0), (5, 20, 12.0)):
        share = rows[coreset] / scene.all_rows
        expected = frame(scene, pixels, share=share, b=b, sigma=sigma)
        i, k = NEIGHBOURS.index(b), list(SIGMAS).index(sigma)
        for name, at in (("threshold", (coreset, i)), ("map_threshold", (coreset, k))):
            assert content.arrays[f"{name}s"][at] == pytest.approx(expected.values[name], rel=1e-6)
        good = content.arrays["good_scores"][coreset, i]
        np.testing.assert_allclose(good, expected.arrays["good_scores"], rtol=1e-6)


def test_a_site_is_not_written_over_a_folder_of_the_user(package, tiny, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(MinicoreError, match="is not an empty folder"):
        write_site(tmp_path, package, backbone=tiny, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_site_without_onnxruntime_web_is_refused(tiny, tmp_path):
    with pytest.raises(MinicoreError, match=r"ort\.wasm\.min\.mjs: missing; npm install"):
        write_site(tmp_path / "site", tmp_path, backbone=tiny, progress=False)
    assert not list(tmp_path.iterdir())


def test_nothing_half_written_stays(package, tiny, tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(static_site, "_write_images", fail)
    with pytest.raises(KeyboardInterrupt):
        write_site(tmp_path / "site", package, backbone=tiny, progress=False)
    assert not list(tmp_path.iterdir())
