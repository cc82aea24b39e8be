"""A playground on a network that runs in a millisecond, and a client that can send anything."""

import http.client
import json
import threading

import numpy as np
import pytest

from minicore import PatchCore
from minicore.play.examples import Parts
from minicore.play.message import Message
from minicore.play.server import Server


@pytest.fixture(scope="session")
def saved(tiny, mvtec_root, tmp_path_factory):
    """A saved model of 12 images, 8 × 8 patches each."""
    folder = mvtec_root / "gear" / "train" / "good"
    model = PatchCore(tiny, coreset_ratio=0.25, progress=False).fit(folder)
    return model.save(tmp_path_factory.mktemp("model") / "gear.minicore")


class Client:
    """Send requests to a server, with any header."""

    def __init__(self, server):
        self.server, self.port = server, server.port

    def send(self, method, path, body=None, headers=None, *, token=None):
        """Return status, headers and body of the response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        address = f"/{self.server.token if token is None else token}/{path}"
        connection.request(method, address, body, headers or {})
        response = connection.getresponse()
        found = response.status, dict(response.getheaders()), response.read()
        connection.close()
        return found

    def ask(self, method, path, body=None):
        """Return the message of a response."""
        status, _, data = self.send(method, path, body)
        assert status == 200, data
        return Message.unpack(data)

    def json(self, path):
        status, _, data = self.send("GET", path)
        assert status == 200, data
        return json.loads(data)


@pytest.fixture(scope="session")
def serve():
    """Start a server for `Parts`; all servers stop at the end."""
    servers = []

    def start(parts):
        server, ready = Server(parts), threading.Event()
        thread = threading.Thread(target=server.run, args=[ready.set])
        thread.start()
        servers.append((server, thread))
        assert ready.wait(30)
        return Client(server)

    yield start
    for server, thread in servers:
        server.stop()
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def client(saved, serve):
    """A server that has opened the saved model."""
    found = serve(Parts(saved))
    found.ask("POST", "open", json.dumps({"part": "gear"}))
    return found


@pytest.fixture(scope="session")
def pixels(gear):
    """A defective image, cut to the 64 × 64 pixels that the network gets."""
    return np.ascontiguousarray(gear.test[-1][32:96, 32:96])


@pytest.fixture(scope="module")
def launch(browser):
    """Start a browser; all of them are closed at the end."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    browsers = []

    def start(*arguments):
        options = ["--no-sandbox", "--disable-dev-shm-usage", *arguments]
        browsers.append(playwright.chromium.launch(executable_path=browser, args=options))
        return browsers[-1]

    with api.sync_playwright() as playwright:
        yield start
        for started in browsers:
            started.close()
