"""The programs in docs/clients run an exported model without minicore, and return its scores.

Node and the page need the npm package onnxruntime-web. The environment variable
MINICORE_NODE_MODULES names a node_modules folder that contains it.
"""

import functools
import html
import http.server
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import pytest
from PIL import Image

from minicore import PatchCore
from minicore.export import to_onnx

CLIENTS = Path(__file__).parents[2] / "docs" / "clients"
PAGE = (CLIENTS / "detect.html").read_text(encoding="utf-8")
CDN = re.search(r"https://cdn\.jsdelivr\.net/npm/onnxruntime-web@([\d.]+)", PAGE)
# A Python in which minicore cannot be imported.
WITHOUT_MINICORE = """
import runpy, sys
sys.modules["minicore"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
pytestmark = [
    pytest.mark.slow,
    # Python 3.14 and the package onnx
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def model(tiny, gear) -> PatchCore:
    return PatchCore(tiny, coreset_ratio=0.1, seed=0, progress=False).fit(gear.train)


@pytest.fixture(scope="module")
def images(model, gear) -> dict[str, np.ndarray]:
    """One image of each verdict of the model."""
    scores = model.anomaly_score(gear.test)
    return {"good": gear.test[scores.argmin()], "anomalous": gear.test[scores.argmax()]}


@pytest.fixture(scope="module")
def part(model, gear, images, tmp_path_factory) -> Path:
    """A folder with an exported model, both images, and an image of another size."""
    folder = tmp_path_factory.mktemp("part")
    to_onnx(model, folder / "part.onnx", progress=False)
    for name, image in images.items():
        Image.fromarray(image).save(folder / f"{name}.png")
        (folder / f"{name}.rgb").write_bytes(image.tobytes())
    Image.fromarray(gear.test[0][:-8]).save(folder / "wrong.png")
    (folder / "wrong.rgb").write_bytes(gear.test[0][:-8].tobytes())
    return folder


@pytest.fixture(scope="module")
def expected(model, images) -> dict[str, tuple[float, int, int]]:
    """Score, p-value, and row and column of the largest map value, by minicore."""
    found = {}
    for verdict, image in images.items():
        (score,), (S,) = model.anomaly_score(image[None]), model.anomaly_map(image[None])
        assert (score > model.threshold_) == (verdict == "anomalous")
        p = model.p_value(image[None])[0]
        found[verdict] = score, p, *np.unravel_index(S.argmax(), S.shape)
    return found


def tampered(path: Path, target: Path, change: str) -> Path:
    """Copy an exported file with one change that the check must find."""
    model = onnx.load(path)
    entry = next(entry for entry in model.metadata_props if entry.key == "minicore")
    about = json.loads(entry.value)
    if change == "score":
        about["check"][1]["score"] *= 1.01
    elif change == "map":
        about["check"][1]["map_largest"] *= 1.01
    elif change == "verdict":
        about["check"][1]["anomalous"] ^= True
    elif change == "bank":
        (bank,) = [c for c in model.graph.initializer if c.name == "eq5/memory_bank"]
        rows = onnx.numpy_helper.to_array(bank)
        bank.CopyFrom(onnx.numpy_helper.from_array(rows * np.float32(1.1), bank.name))
    elif change == "no images":
        about["check"] = []
    entry.value = json.dumps(about)
    onnx.save(model, target)
    return target


@pytest.fixture(scope="module")
def node_modules() -> Path:
    folder = os.environ.get("MINICORE_NODE_MODULES")
    if not folder:
        pytest.skip("MINICORE_NODE_MODULES is not set: a node_modules folder with onnxruntime-web")
    if not (Path(folder) / "onnxruntime-web" / "dist").is_dir():
        pytest.fail(f"MINICORE_NODE_MODULES: {folder} does not contain onnxruntime-web")
    return Path(folder).resolve()


@pytest.fixture(scope="module")
def javascript(links, node_modules, tmp_path_factory) -> Path:
    """A folder with the JavaScript clients and a link to node_modules."""
    folder = tmp_path_factory.mktemp("javascript")
    for file in CLIENTS.glob("*.mjs"):
        shutil.copy(file, folder)
    (folder / "node_modules").symlink_to(node_modules)
    return folder


@pytest.fixture(params=["python", "node"])
def client(request):
    """Run a client, and return exit code, standard output and standard error."""
    if request.param == "python":
        command = [sys.executable, "-c", WITHOUT_MINICORE, CLIENTS / "detect.py"]
        suffix = ".png"
    else:
        node = shutil.which("node")
        if node is None:
            pytest.skip("node is not installed")
        command = [node, request.getfixturevalue("javascript") / "detect.mjs"]
        suffix = ".rgb"

    def run(*arguments) -> tuple[int, str, str]:
        done = subprocess.run(
            [*command, *arguments], capture_output=True, encoding="utf-8", timeout=120
        )
        return done.returncode, done.stdout, done.stderr

    run.suffix = suffix
    return run


LINE = re.compile(r"(.+): score (\S+), p (\S+), (\w+), largest at row (\d+), column (\d+)")


def test_a_client_prints_score_verdict_and_position(client, part, expected):
    files = [part / f"{name}{client.suffix}" for name in expected]
    code, out, err = client(part / "part.onnx", *files)
    assert code == 0, err
    lines = out.splitlines()
    assert len(lines) == len(files) == 2
    for line, file, (verdict, values) in zip(lines, files, expected.items(), strict=True):
        path, score, p, found, row, column = LINE.fullmatch(line).groups()
        assert (path, found) == (str(file), verdict)
        assert float(score) == pytest.approx(values[0], rel=1e-5)
        assert float(p) == pytest.approx(values[1], rel=0.005)  # three digits
        assert (int(row), int(column)) == values[2:]


def test_a_client_passes_the_check(client, part):
    assert client(part / "part.onnx", "--check") == (0, "check passed\n", "")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("score", "image 2, score"),
        ("map", "image 2, map"),
        ("verdict", "image 2, anomalous"),
        ("bank", "image 1, score"),
    ],
)
def test_a_client_fails_the_check_of_a_changed_file(client, part, tmp_path, change, what):
    file = tampered(part / "part.onnx", tmp_path / "changed.onnx", change)
    code, out, err = client(file, "--check")
    assert (code, out) == (1, "")
    message = re.fullmatch(rf"check failed: {what}: (\S+) expected, (\S+) found\n", err)
    assert message, err
    a, b = map(float, message.groups())
    assert abs(a - b) > 1e-4 * abs(a)


def test_a_file_without_check_images_does_not_pass(client, part, tmp_path):
    file = tampered(part / "part.onnx", tmp_path / "changed.onnx", "no images")
    code, out, err = client(file, "--check")
    assert (code, out, err) == (1, "", "check failed: the file has no check images\n")


def test_a_client_refuses_an_image_of_another_size(client, part):
    code, out, err = client(part / "part.onnx", part / f"wrong{client.suffix}")
    assert (code, out) == (1, "")
    assert err.count("\n") == 1 and "wrong" in err and "the model needs 128 x 128" in err


def test_the_python_client_refuses_sixteen_bits(part, tmp_path):
    Image.fromarray(np.full((128, 128), 4000, np.uint16)).save(tmp_path / "deep.png")
    command = [sys.executable, CLIENTS / "detect.py", part / "part.onnx", tmp_path / "deep.png"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == 1 and "more than 8 bits" in done.stderr


def test_all_use_the_same_version_of_onnxruntime_web():
    for file in (CLIENTS / "detect.mjs", CLIENTS.parent / "playground.py"):
        found = re.findall(r"npm install onnxruntime-web@([\d.]+)", file.read_text("utf-8"))
        assert found == [CDN.group(1)]


def test_the_page_loads_nothing_else_from_another_server():
    assert re.findall(r"https://[^\s\"']*", PAGE) == [f"{CDN.group(0)}/dist/ort.wasm.min.mjs"]


# ---------------------------------------------------------------- the page, in a browser


# The page sends its content to the server when all its tasks are done.
REPORT = """
last.then(() => fetch("/report", { method: "POST", body: document.body.outerHTML }));
</script>"""


class Site(http.server.SimpleHTTPRequestHandler):
    """A folder, and the address to which pages send their content."""

    reports: ClassVar[queue.Queue[str]] = queue.Queue()
    extensions_map: ClassVar = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        self.reports.put(self.rfile.read(length).decode())
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def page(javascript, browser, part, tmp_path_factory):
    """Open the page in a browser, and return the texts of its elements by id."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(part, folder, dirs_exist_ok=True)
    shutil.copy(javascript / "minicore.mjs", folder)
    (folder / "node_modules").symlink_to(javascript / "node_modules")
    local = PAGE.replace(CDN.group(0), "./node_modules/onnxruntime-web")
    head, end = local.rsplit("</script>", 1)
    (folder / "detect.html").write_text(head + REPORT + end, encoding="utf-8")
    with Image.open(part / "good.png") as image:
        image.putalpha(128)
        image.save(folder / "transparent.png")
    tampered(part / "part.onnx", folder / "score.onnx", "score")
    tampered(part / "part.onnx", folder / "no-images.onnx", "no images")
    handler = functools.partial(Site, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    options.append(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")

    def load(query: str) -> dict[str, str]:
        address = f"http://127.0.0.1:{server.server_port}/detect.html?{query}"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen([browser, *options, address], **quiet) as running:
            try:
                body = Site.reports.get(timeout=60)
            finally:
                running.terminate()
        tags = re.findall(r'<(\w+) id="([\w-]+)"([^>]*)>([^<]*)', body)
        texts = {name: html.unescape(text) for _, name, _, text in tags}
        result, heat = (a for _, name, a, _ in tags if name in ("result", "heat"))
        return texts | {"result": result, "heat": html.unescape(heat)}

    yield load
    server.shutdown()
    server.server_close()


def test_the_page_shows_score_verdict_and_position(page, expected):
    needed = "It needs images of 128 × 128 pixels (height × width)."
    for verdict, (score, p, row, column) in expected.items():
        shown = page(f"model=part.onnx&image={verdict}.png")
        assert shown["model-status"] == f"part.onnx: check passed. {needed}"
        assert shown["image-status"] == "" and "hidden" not in shown["result"]
        assert shown["verdict"] == verdict
        numbers = re.fullmatch(r"score (\S+) \(threshold \S+\), p (\S+), \d+ ms", shown["numbers"])
        assert float(numbers.group(1)) == pytest.approx(score, rel=1e-5)
        assert float(numbers.group(2)) == pytest.approx(p, rel=0.005)  # three digits
        assert f'"Anomaly map, largest at row {row}, column {column}"' in shown["heat"]


def test_the_page_does_not_use_a_model_that_fails_the_check(page):
    shown = page("model=score.onnx&image=good.png")
    numbers = r"check failed: image 2, score: (\S+) expected, (\S+) found"
    a, b = map(float, re.fullmatch(numbers, shown["model-status"]).groups())
    assert a / b == pytest.approx(1.01, rel=1e-3)
    assert "hidden" in shown["result"]


def test_the_page_uses_a_model_without_check_images(page):
    shown = page("model=no-images.onnx&image=good.png")
    assert shown["model-status"].startswith("no-images.onnx: has no check images. ")
    assert shown["verdict"] == "good" and "hidden" not in shown["result"]


def test_the_page_refuses_other_files(page):
    shown = page("model=part.onnx&image=wrong.png")
    assert shown["image-status"] == (
        "The image has 120 × 128 pixels (height × width). The model needs 128 × 128."
    )
    assert "hidden" in shown["result"]
    shown = page("model=part.onnx&image=transparent.png")
    assert shown["image-status"].startswith("The image has transparent pixels.")
    assert page("model=good.png")["model-status"] == "This is not an ONNX file."
    assert page("model=missing.onnx")["model-status"] == "missing.onnx: 404 File not found"
