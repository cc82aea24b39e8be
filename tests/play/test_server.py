"""The server answers the page, and refuses everyone else."""

import http.client
import json
import socket
import threading
import time

import numpy as np
import pytest

from minicore import PatchCore, datasets
from minicore.patchcore import estimator
from minicore.play import server
from minicore.play.examples import Parts
from minicore.play.message import Message

# ------------------------------------------------------------------ the page


def test_the_page_can_open_detect_and_show(client, pixels):
    info = client.json("info")
    assert info["parts"] == ["gear"] and info["kind"] == "local" and info["settings"]
    scene = client.ask("POST", "open", json.dumps({"part": "gear"}))
    assert scene.values["part"] == "gear" and scene.values["grid"] == [8, 8]
    assert scene.values["images"] == {"training": 12, "good": 0, "defective": 0}
    assert client.ask("GET", "training/3").arrays["pixels"].shape == (64, 64, 3)
    assert client.send("GET", "training/12")[0] == client.send("GET", "image/good/0")[0] == 404
    found = client.ask("POST", "detect?b=5&sigma=2&share=0.1&engine=equations", pixels.tobytes())
    assert found.arrays["map"].shape == (64, 64) and len(found.arrays["neighbours"]) == 5
    assert set(found.values["milliseconds"]) == {"network", "eq123", "eq6", "eq7", "map"}
    features = client.ask("POST", "features?position=9", pixels.tobytes()).arrays["features"]
    assert features.shape == (20,)


def test_other_settings_are_fitted_again(client, pixels):
    wanted = {"part": "gear", "layers": ["layer3"], "p": 1, "s": 2}
    scene = client.ask("POST", "open", json.dumps(wanted))
    assert scene.values["grid"] == [2, 2] and scene.values["dimension"] == 12
    assert (scene.values["patchsize"], scene.values["stride"]) == (1, 2)
    assert [level["name"] for level in scene.values["layers"]] == ["layer3"]
    number = scene.values["scene"]
    client.ask("POST", "open", json.dumps({"part": "gear"}))
    # A second tab keeps its own scene.
    found = client.ask("POST", f"detect?scene={number}&b=2", pixels.tobytes())
    assert found.arrays["distances"].shape == (4,)
    assert client.ask("POST", "detect", pixels.tobytes()).arrays["distances"].shape == (64,)
    assert client.send("POST", "detect?scene=999", pixels.tobytes())[0] == 404


def test_the_page_can_learn_from_frames(client, pixels, gear):
    frames = np.ascontiguousarray(gear.train[:, 32:96, 32:96])
    lesson = Message({}, {"images": frames}).pack()
    scene = client.ask("POST", "learn", lesson)
    assert scene.values["part"] == "own" and scene.values["all_rows"] == 12 * 64
    again = client.ask("GET", "training/5").arrays["pixels"]
    np.testing.assert_array_equal(again, frames[5])
    found = client.ask("POST", "detect", frames[5].tobytes())
    assert found.values["score"] < client.ask("POST", "detect", pixels.tobytes()).values["score"]
    settings = {"part": "own", "layers": ["layer3"]}  # the size of the frames stays
    assert client.ask("POST", "open", json.dumps(settings)).values["size"] == [64, 64]
    client.ask("POST", "open", json.dumps({"part": "gear"}))


def test_the_progress_of_a_fit_is_reported_while_it_runs(serve, saved, gear, monkeypatch):
    page = serve(Parts(saved))
    assert page.json("progress") == {"stages": None}
    entered, free = threading.Event(), threading.Event()
    original = estimator.pick

    def slow(*arguments):
        entered.set()
        assert free.wait(30)
        return original(*arguments)

    monkeypatch.setattr(estimator, "pick", slow)
    lesson = Message({}, {"images": np.ascontiguousarray(gear.train[:, 32:96, 32:96])}).pack()
    found = []
    learning = threading.Thread(target=lambda: found.append(page.send("POST", "learn", lesson)[0]))
    learning.start()
    assert entered.wait(30)
    assert {"network", "projection (eq 5)"} <= set(page.json("progress")["stages"])
    free.set()
    learning.join(30)
    assert found == [200] and page.json("progress") == {"stages": None}


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 64, 64, 3), np.uint8),
        np.zeros((201, 2, 2, 3), np.uint8),
        np.zeros((3, 64, 64, 4), np.uint8),
        np.zeros((3, 64, 64), np.uint8),
        np.zeros((3, 8, 8, 3), np.float32),
        np.zeros((3, 0, 64, 3), np.uint8),
    ],
    ids=lambda images: f"{images.dtype} {images.shape}",
)
def test_frames_that_cannot_be_learned_are_refused(client, images):
    status, _, text = client.send("POST", "learn", Message({}, {"images": images}).pack())
    assert status == 400 and b"expected" in text


@pytest.mark.parametrize("number", range(1, 8))
def test_the_source_is_that_of_the_equation(client, number):
    found = client.json(f"source/eq{number}")
    assert found["file"].startswith(f"eq{number}_")
    shown = "\n".join(found["lines"][found["first"] - 1 : found["last"]])
    assert "return" in shown and '"""' not in shown and "def " not in shown
    assert found["lines"][found["first"] - 1].strip()


def test_a_drawn_part_is_fitted_when_it_is_opened(serve, tiny, monkeypatch):
    drawn = datasets.synthetic("wood", n_train=6, n_good=2, n_defective=3, size=128)
    monkeypatch.setattr(datasets, "synthetic", lambda name: drawn)
    page = serve(Parts(backbone=str(tiny)))
    parts = page.json("info")["parts"]
    assert parts[0] == "gear" and sorted(parts) == sorted(datasets.SYNTHETIC)
    assert page.send("POST", "detect", b"")[0] == 404  # nothing is open
    scene = page.ask("POST", "open", json.dumps({"part": "wood"}))
    assert scene.values["images"] == {"training": 6, "good": 2, "defective": 3}
    assert page.ask("GET", "image/defective/2").arrays["pixels"].shape == (64, 64, 3)


# ------------------------------------------------------------------ everyone else


@pytest.mark.parametrize("path", ["", "info", "training/0", "source/eq1"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "[::1]:{port}",
             "127.0.0.1:{port}@evil.example", "127.0.0.1.evil.example:{port}"]
)  # fmt: skip
def test_another_host_is_refused(client, path, host):
    status, _, body = client.send("GET", path, headers={"Host": host.format(port=client.port)})
    assert (status, body) == (403, b"wrong Host")


def test_two_hosts_or_none_are_refused(client):
    line = f"GET /{client.server.token}/info HTTP/1.1\r\n"
    own, other = f"Host: 127.0.0.1:{client.port}\r\n", "Host: evil.example\r\n"
    for headers in (own + other, other + own, ""):
        with socket.create_connection(("127.0.0.1", client.port), 10) as connection:
            connection.sendall((line + headers + "\r\n").encode())
            assert connection.recv(100).split()[1] in (b"400", b"403")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1",
               "http://127.0.0.1", "http://localhost:{port}", ""]
)  # fmt: skip
def test_another_origin_is_refused(client, pixels, origin):
    headers = {"Origin": origin.format(port=client.port)}
    assert client.send("POST", "detect", pixels.tobytes(), headers)[0] == 403
    assert client.send("GET", "info", headers=headers)[0] == 403


def test_the_servers_own_origin_is_accepted(client, pixels):
    for name in ("127.0.0.1", "localhost"):
        own = f"{name}:{client.port}"
        headers = {"Host": own, "Origin": f"http://{own}"}
        assert client.send("POST", "detect", pixels.tobytes(), headers)[0] == 200


@pytest.mark.parametrize("path", ["", "info", "detect", "training/0"])
def test_a_wrong_token_is_refused(client, path):
    token = client.server.token
    for wrong in ("", "x", token[:-1], token + "x", token.swapcase(), "%2e", f"{token}%00"):
        status, _, body = client.send("GET", path, token=wrong)
        assert (status, body) == (404, b"wrong token"), wrong


@pytest.mark.parametrize(
    "target", ["*", "x", "http://evil.example/info", "/", "//", "/%ff%fe/info"]
)
def test_an_odd_target_is_refused(client, target):
    line = f"OPTIONS {target} HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", client.port), 10) as connection:
        connection.sendall(line.encode())
        assert connection.recv(100).split()[1] in (b"400", b"404")


def test_tokens_differ(client, saved):
    others = [server.Server(Parts(saved)) for _ in range(3)]
    for other in others:
        other.socket.close()
    assert len({each.token for each in (client.server, *others)}) == 4


@pytest.mark.parametrize("path", ["detect", "features", "open", "learn"])
def test_a_body_of_a_gigabyte_is_refused_before_it_is_read(client, path):
    head = (
        f"POST /{client.server.token}/{path} HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\n"
        f"Content-Length: 1000000000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", client.port), 10) as connection:
        connection.sendall(head.encode())  # and no byte of the body
        assert connection.recv(100).split()[1] == b"413"


@pytest.mark.parametrize("path", ["detect", "features", "open", "learn"])
def test_a_long_body_without_a_length_is_refused_while_it_is_read(client, path):
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=20)
    sent = 0

    def body():
        nonlocal sent
        for _ in range(1000):
            sent += 1_000_000
            yield bytes(1_000_000)

    try:
        connection.request("POST", f"/{client.server.token}/{path}", body(), encode_chunked=True,
                           headers={"Transfer-Encoding": "chunked"})  # fmt: skip
    except OSError:  # the server has closed the connection
        pass
    else:
        assert connection.getresponse().status == 413
    finally:
        connection.close()
    assert sent < 100_000_000
    assert client.send("GET", "info")[0] == 200


@pytest.mark.parametrize("change", [-1, 1, -12288])
def test_pixels_of_another_length_are_refused(client, pixels, change):
    body = pixels.tobytes()
    body = body[:change] if change < 0 else body + bytes(change)
    for path in ("detect", "features?position=0"):
        status, _, text = client.send("POST", path, body)
        assert status == 400 and b"64 \xc3\x97 64" in text


@pytest.mark.parametrize(
    "query", ["share=0", "share=2", "share=nan", "share=x", "b=1", "b=1.5", "b=" + "9" * 20,
              "sigma=-1", "sigma=inf", "sigma=1e308", "engine=os", "engine=", "scene=x",
              "b=" + "9" * 5000]
)  # fmt: skip
def test_parameters_out_of_range_are_refused(client, pixels, query):
    status, _, text = client.send("POST", f"detect?{query}", pixels.tobytes())
    assert status == 400 and 0 < len(text) < 300


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400), (b"[]", 400), (b"\xff", 400), (b"[" * 60_000, 400),
        (b'{"part": "nut"}', 404), (b'{"part": ["gear"]}', 404), (b'{"part": null}', 404),
        (b'{"part": "gear", "layers": "layer2"}', 400),
        (b'{"part": "gear", "layers": []}', 400),
        (b'{"part": "gear", "layers": ["../x"]}', 400),
        (b'{"part": "gear", "layers": [1]}', 400),
        (b'{"part": "gear", "p": 0}', 400), (b'{"part": "gear", "p": "3"}', 400),
        (b'{"part": "gear", "p": [3]}', 400), (b'{"part": "gear", "p": 1e99}', 400),
        (b'{"part": "gear", "s": 1000}', 400), (b'{"part": "gear", "s": true}', 400),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(client, body, status):
    found, _, text = client.send("POST", "open", body)
    assert found == status and 0 < len(text) < 400


@pytest.mark.parametrize("body", [b"", b"x" * 100, Message({}, {}).pack()])
def test_a_lesson_that_is_no_message_is_refused(client, body):
    assert client.send("POST", "learn", body)[0] == 400


@pytest.mark.parametrize(
    "name", ["../server.py", "..%2fserver.py", "%2e%2e/server.py", "..\\server.py", "/etc/passwd",
             "%2fetc%2fpasswd", "//etc/passwd", "server.py", "../../__init__.py", "page/index.html",
             "index.html%00.js", ".", "..", "%252e%252e%252fserver.py", "index.html/", "INDEX.HTML"]
)  # fmt: skip
def test_no_file_is_served_except_those_of_the_page(client, name):
    status, _, body = client.send("GET", name)
    assert status in (404, 307) and b"import" not in body and b"root:" not in body


def test_every_file_of_the_page_is_served_and_no_other(client):
    names = {path.name for path in server.PAGE.glob("*")}
    for name in names | {"x.js", "__init__.py"}:
        status, _, body = client.send("GET", name)
        assert (status == 200) == (name in names)
        if status == 200:
            assert body == (server.PAGE / name).read_bytes()


@pytest.mark.parametrize("path", ["info", "nothing.js", "training/0", "source/eq9", "source/..%2f"])
def test_every_answer_has_the_headers_of_safety(client, path):
    for token in (None, "wrong"):
        _, headers, _ = client.send("GET", path, token=token)
        assert headers["cache-control"] == "no-store" and "server" not in headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_other_methods_are_refused(client, method):
    for path in ("detect", "info", ""):
        assert client.send(method, path)[0] == 405
    assert client.send("GET", "learn")[0] in (404, 405)


def test_only_this_computer_can_connect(client):
    assert client.server.socket.getsockname()[0] == "127.0.0.1"


# ------------------------------------------------------------------ order of work


def test_the_latest_request_wins(serve, saved, pixels, monkeypatch):
    page = serve(Parts(saved))
    page.ask("POST", "open", b"{}")
    original, entered, free, run = server.frame, threading.Event(), threading.Event(), []

    def slow(scene, given, **options):
        run.append(options["b"])
        entered.set()
        assert free.wait(30)
        return original(scene, given, **options)

    monkeypatch.setattr(server, "frame", slow)
    found = {}

    def send(b):
        found[b] = page.send("POST", f"detect?b={b}", pixels.tobytes())[0]

    threads = []
    for b in (2, 3, 4, 5):
        threads.append(threading.Thread(target=send, args=[b]))
        threads[-1].start()
        assert entered.wait(30)
        time.sleep(0.2)  # this request waits before the next one is sent
    free.set()
    for thread in threads:
        thread.join(30)
    assert found == {2: 200, 3: 409, 4: 409, 5: 200}
    assert run == [2, 5]


def test_a_port_that_is_taken_is_an_error(client, saved, run):
    code, _, text = run("play", saved, "--no-browser", "--port", client.port)
    assert code == 1 and f"port {client.port}" in text and len(text.splitlines()) == 1


@pytest.mark.slow
def test_a_stroke_is_answered_in_time(serve, tmp_path):
    """The goal is 150 ms in the middle and 400 ms for 95 %; a busy machine gets twice as long."""
    parts = datasets.synthetic("gear", n_train=6, n_good=1, n_defective=1)
    model = PatchCore(coreset_ratio=0.1, progress=False).fit(parts.train)
    page = serve(Parts(model.save(tmp_path / "gear.minicore")))
    page.ask("POST", "open", b"{}")
    image, spent = np.ascontiguousarray(parts.test[1][16:240, 16:240]), []
    for row in range(32):
        image[row + 40, 50:150] = 255
        before = time.perf_counter()
        page.ask("POST", "detect", image.tobytes())
        spent.append(1000 * (time.perf_counter() - before))
    spent = spent[2:]
    print(f"{np.median(spent):.0f} ms, 95 %: {np.percentile(spent, 95):.0f} ms")
    assert np.median(spent) < 300 and np.percentile(spent, 95) < 800
