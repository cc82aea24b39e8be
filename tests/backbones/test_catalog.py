"""A download is complete and correct or leaves nothing, and each error describes a remedy."""

import http.server
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from minicore import PatchCore
from minicore.backbones import catalog, download
from minicore.backbones.convert.resnet import ARCHITECTURES
from minicore.cli import main
from minicore.errors import MinicoreError
from minicore.runtime.cache import folder

pytest.importorskip("onnx", reason="needs onnx to write networks")
pytest.importorskip("pooch", reason="needs pooch to fetch them")

CHECKPOINT = Path(__file__).parents[1] / "golden" / "tiny_resnet.pth"
DIGEST = download.sha256(CHECKPOINT)


class Server(http.server.ThreadingHTTPServer):
    """Serves one file, in the way `mode` says; counts the requests."""

    daemon_threads = True
    mode = "whole"
    requests = 0

    class RequestHandlerClass(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            server, content = self.server, CHECKPOINT.read_bytes()
            server.requests += 1
            if server.mode == "404":
                return self.send_error(404)
            if server.mode == "elsewhere":
                self.send_response(302)
                self.send_header("Location", f"http://127.0.0.2:{server.server_port}/")
                self.end_headers()
                return None
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if server.mode == "truncated":
                content = content[: len(content) // 2]
            if server.mode == "wrong":
                content = content[:-1] + bytes([content[-1] ^ 1])
            self.wfile.write(content)
            return None

        def log_message(self, *_):
            pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.RequestHandlerClass)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/tiny-{DIGEST[:8]}.pth"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICORE_CACHE", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,127.0.0.2")
    return tmp_path / "backbones"


@pytest.fixture
def server(cache, monkeypatch):
    """A server with one network, known to the catalogue as resnet-tiny."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        network = catalog.Network("resnet-tiny", server.url, DIGEST[:8], 0.07, 1)
        monkeypatch.setitem(catalog.CATALOG, "resnet-tiny", network)
        yield server
        server.shutdown()
        thread.join()


def get(**arguments):
    return catalog.get("resnet-tiny", progress=False, **arguments)


def refused(match, **arguments):
    with pytest.raises(MinicoreError, match=match) as caught:
        get(**arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def left(cache):
    return sorted(path.name for path in cache.iterdir()) if cache.exists() else []


def test_get_leaves_a_network_that_find_finds_and_that_runs(server, cache):
    from minicore.backbones.telemetry import onnxruntime

    path = get()
    assert path == catalog.find("resnet-tiny") == cache / "resnet-tiny.onnx"
    assert left(cache) == ["resnet-tiny.onnx"]
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    golden = np.load(CHECKPOINT.with_suffix(".npz"))
    for output, maps in zip(
        session.get_outputs(), session.run(None, {"image": golden["image"]}), strict=True
    ):
        np.testing.assert_allclose(maps, golden[output.name], atol=1e-5)
    about = json.loads(session.get_modelmeta().custom_metadata_map["minicore"])
    assert about["name"] == "resnet-tiny"
    assert about["source"] == server.url
    assert about["source_sha256"] == DIGEST
    assert "ImageNet" in about["licence"]


def test_a_network_in_the_cache_is_not_fetched_again(server, cache):
    get()
    get()
    assert server.requests == 1


def test_a_mirror_must_serve_the_same_file(server, cache, monkeypatch):
    official = catalog.Network("resnet-tiny", "https://0.invalid/t.pth", DIGEST[:8], 0.07, 1)
    monkeypatch.setitem(catalog.CATALOG, "resnet-tiny", official)
    server.mode = "wrong"
    refused("wrong or damaged", url=server.url)
    server.mode = "whole"
    assert get(url=server.url).is_file()


@pytest.mark.parametrize("mode", ["whole", "truncated"])
def test_a_short_fetch_says_nothing_where_there_is_no_terminal(server, cache, capfd, mode):
    server.mode = mode
    if mode == "whole":
        catalog.get("resnet-tiny", progress=True)
    else:
        with pytest.raises(MinicoreError):
            catalog.get("resnet-tiny", progress=True)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("mode", "match"),
    [
        ("404", "404"),
        ("truncated", "cannot be downloaded|wrong or damaged"),
        ("wrong", f"wrong or damaged, its SHA-256 begins with ........, not {DIGEST[:8]}"),
        ("elsewhere", "not HTTPS"),
    ],
)
def test_a_failed_download_leaves_nothing_and_a_second_try_works(server, cache, mode, match):
    server.mode = mode
    message = refused(match)
    assert server.url in message
    assert str(cache / f"tiny-{DIGEST[:8]}.pth") in message
    assert "minicore backbone get resnet-tiny" in message
    assert left(cache) == []
    server.mode = "whole"
    assert get().is_file()


def test_without_a_network_the_message_says_how_to_go_on_and_it_works(server, cache):
    server.shutdown()
    server.server_close()
    message = refused("cannot be downloaded")
    checkpoint = cache / f"tiny-{DIGEST[:8]}.pth"
    assert server.url in message
    assert str(checkpoint) in message
    assert message.endswith("then run again: minicore backbone get resnet-tiny")

    checkpoint.write_bytes(CHECKPOINT.read_bytes())
    assert get() == catalog.find("resnet-tiny")
    assert left(cache) == ["resnet-tiny.onnx", checkpoint.name]  # what the user put there stays


def test_a_wrong_file_put_there_by_hand_is_refused(server, cache):
    cache.mkdir()
    (cache / f"tiny-{DIGEST[:8]}.pth").write_bytes(b"<html>not found</html>")
    message = refused("differs from the file published at")
    assert "delete it" in message
    assert server.requests == 0


def test_an_interrupted_download_leaves_nothing_and_a_second_try_works(server, cache, monkeypatch):
    import requests

    def interrupted(self, *_, **__):
        yield self.raw.read(1000)
        self.close()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(requests.Response, "iter_content", interrupted)
        with pytest.raises(KeyboardInterrupt):
            get()
    assert left(cache) == []
    assert get().is_file()


def test_a_full_disk_leaves_nothing_and_a_second_try_works(server, cache, monkeypatch):
    import requests

    full = OSError(28, "No space left on device")

    def iter_content(self, *_, **__):
        self.close()
        raise full

    def fsync(_):
        raise full

    with monkeypatch.context() as patch:
        patch.setattr(requests.Response, "iter_content", iter_content)
        assert "MINICORE_CACHE" in refused(r"cannot be written \(No space left")
    assert left(cache) == []
    with monkeypatch.context() as patch:  # room for the checkpoint, none for the network
        patch.setattr("os.fsync", fsync)
        refused(r"resnet-tiny\.onnx: cannot be written: No space left")
    assert left(cache) == [f"tiny-{DIGEST[:8]}.pth"]
    assert get().is_file()
    assert server.requests == 2


@pytest.mark.parametrize(
    "url", ["http://example.org/a.pth", "ftp://127.0.0.1/a.pth", "file:///etc/passwd", "a.pth"]
)
def test_only_https_is_fetched_from(server, cache, url):
    refused("not HTTPS", url=url)
    assert left(cache) == []


def test_find_names_the_command_or_the_known_names(cache):
    with pytest.raises(MinicoreError, match="run: minicore backbone get wide_resnet50_2"):
        catalog.find("wide_resnet50_2")
    for name in ("resnet51", "../resnet50", ""):
        with pytest.raises(MinicoreError, match=r"there are default, resnet18, .*wide_resnet50_2"):
            catalog.find(name)
    with pytest.raises(MinicoreError, match=r"there are resnet18, .*wide_resnet50_2"):
        catalog.get("resnet51")


def test_find_gives_a_file_converted_into_the_cache(cache):
    path = catalog.convert(CHECKPOINT, folder("backbones") / "mine.onnx", storage="int8")
    assert catalog.find("mine") == path
    import onnx

    props = {p.key: p.value for p in onnx.load(path).metadata_props}
    about = json.loads(props["minicore"])
    assert about["source"] == "tiny_resnet.pth"
    assert about["source_sha256"] == DIGEST


@pytest.mark.parametrize("network", catalog.CATALOG.values(), ids=catalog.CATALOG)
def test_every_entry_follows_torchvisions_naming(network):
    assert network.architecture in ARCHITECTURES
    expected = f"https://download.pytorch.org/models/{network.architecture}-{network.sha256}.pth"
    assert network.url == expected
    assert len(bytes.fromhex(network.sha256)) == 4
    assert network.layers["layer4"] == 2 * network.layers["layer3"] == 8 * network.layers["layer1"]


def test_the_papers_network_is_torchvisions_first_wide_resnet50():
    network = catalog.CATALOG["wide_resnet50_2"]
    assert network.sha256 == "95faca4d"
    assert network.layers == {"layer1": 256, "layer2": 512, "layer3": 1024, "layer4": 2048}


@pytest.mark.slow
def test_importing_the_catalogue_imports_nothing_heavy():
    code = (
        "import sys, minicore.backbones.catalog; "
        "print({'onnx', 'onnxruntime', 'pooch', 'requests', 'torch', 'platformdirs'} "
        "& set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.slow
def test_the_command_gets_a_network_and_a_model_is_fitted_with_it(server, cache, gear, capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(a) for a in arguments])
        return end.value.code or 0, *capsys.readouterr()

    assert run("backbone", "get", "resnet-tiny")[:2] == (0, f"{cache / 'resnet-tiny.onnx'}\n")
    described = json.loads(run("backbone", "info", "resnet-tiny", "--time")[1])
    assert described["source"] == server.url and described["milliseconds"] > 0
    model = PatchCore("resnet-tiny", coreset_ratio=0.05, crop=64, resize=64, progress=False)
    assert model.fit(gear.train[:4]).anomaly_score(gear.test).shape == (10,)


def test_what_was_measured_belongs_to_networks_that_are_known():
    assert set(catalog.MEASURED) - {"default"} <= set(catalog.CATALOG)
    for measured in catalog.MEASURED.values():
        assert measured.milliseconds > 0
        assert all(50 < rate <= 100 for rates in measured.auroc.values() for rate in rates)
