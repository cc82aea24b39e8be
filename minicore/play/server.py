"""The local engine: a server for one user, on this computer only.

Any web page that the user visits can send requests to this computer. So a request must know the
random token in the address, and its headers `Host` and `Origin` must be the server's own. The
server reads no file except those of the page. Bodies are bounded. One computation runs at a time;
of the waiting requests to detect, only the latest runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from minicore.errors import MinicoreError
from minicore.play.access import Guard, error_response
from minicore.play.examples import Opened, Parts
from minicore.play.frame import features, frame
from minicore.play.message import Message
from minicore.play.sources import PAGE, source

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
LARGEST_SETTINGS = 65_536  # bytes
LARGEST_BODY = 4_000_000  # bytes
LARGEST_LESSON = 32_000_000  # bytes of the images to learn from: 200 of 224 × 224 pixels
Result = TypeVar("Result")


class Worker:
    """Run one computation at a time, in a thread of its own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "play")
        self._free = asyncio.Lock()
        self._latest: dict[str, int] = {}

    async def run(self, function: Callable[[], Result], latest: str | None = None) -> Result:
        """Return the result of a function.

        Parameters
        ----------
        function : callable
        latest : str, optional
            Name of a kind of work. If a newer request of this kind arrives while this one waits,
            this one is refused with status 409.
        """
        if latest is not None:
            number = self._latest[latest] = self._latest.get(latest, 0) + 1
        async with self._free:
            if latest is not None and self._latest[latest] != number:
                raise HTTPException(409, "a newer request has replaced this one")
            return await asyncio.get_running_loop().run_in_executor(self._thread, function)


class Playground:
    """The routes of the server.

    Parameters
    ----------
    parts : Parts
    """

    def __init__(self, parts: Parts) -> None:
        self.parts, self.worker = parts, Worker()
        self.files = {path.name: path for path in PAGE.glob("*") if path.suffix in KINDS}

    def app(self, token: str, port: int) -> ASGIApp:
        """Return the ASGI application for an address."""
        routes = [
            Route("/open", self.open, methods=["POST"]),
            Route("/detect", self.detect, methods=["POST"]),
            Route("/features", self.features, methods=["POST"]),
            Route("/learn", self.learn, methods=["POST"]),
            Route("/info", self.info),
            Route("/progress", self.progress),
            Route("/image/{kind}/{number:int}", self.image),
            Route("/training/{number:int}", self.image),
            Route("/source/{equation}", self.source),
            Route("/", self.page),
            Route("/{name}", self.page),
        ]
        errors: Any = {HTTPException: _refused, ValueError: _wrong, MinicoreError: _wrong}
        app = Starlette(routes=[Mount(f"/{token}", routes=routes)], exception_handlers=errors)
        return Guard(app, token, port)

    # ---------------------------------------------------------------- the page

    async def page(self, request: Request) -> Response:
        """Return a file of the page."""
        path = self.files.get(request.path_params.get("name", "index.html"))
        if path is None:
            raise HTTPException(404, "no such file")
        return Response(path.read_bytes(), media_type=KINDS[path.suffix])

    async def source(self, request: Request) -> Response:
        """Return the source of an equation."""
        try:
            return JSONResponse(source(request.path_params["equation"]))
        except KeyError:
            raise HTTPException(404, "no such equation") from None

    # ---------------------------------------------------------------- the engine

    async def info(self, request: Request) -> Response:
        """Return what this engine can do."""
        return JSONResponse(
            {
                "kind": "local",
                "parts": self.parts.names,
                "engines": ["fast", "equations"],
                "settings": self.parts.settings,
                "webcam": True,
            }
        )

    async def progress(self, request: Request) -> Response:
        """Return the stages that the current fit has reached, or null."""
        return JSONResponse({"stages": self.parts.progress()})

    async def open(self, request: Request) -> Response:
        """Open a part, and fit it if needed."""
        asked = _settings(await _body(request, LARGEST_SETTINGS))
        part = asked.pop("part", self.parts.names[0])
        if not self.parts.contains(part):
            raise HTTPException(404, "no such part")
        opened = await self.worker.run(lambda: self.parts.open(part, **asked), latest="open")
        return await self._scene(opened)

    async def learn(self, request: Request) -> Response:
        """Fit a new part to the images of a message, array "images"."""
        lesson = Message.unpack(await _body(request, LARGEST_LESSON))
        if "images" not in lesson.arrays:
            raise ValueError("expected an array 'images'")
        opened = await self.worker.run(lambda: self.parts.learn(lesson.arrays["images"]))
        return await self._scene(opened)

    async def _scene(self, opened: Opened) -> Response:
        return _binary(await self.worker.run(opened.message))

    async def detect(self, request: Request) -> Response:
        """Return the frame of the pixels in the body."""
        query, opened = request.query_params, self._opened(request)
        engine: Any = query.get("engine", "fast")
        if engine not in ("fast", "equations"):
            raise ValueError("engine must be fast or equations")
        share, sigma = (_number(query, name, float) for name in ("share", "sigma"))
        b, pixels = _number(query, "b", int), await _pixels(request, opened)
        return _binary(
            await self.worker.run(
                lambda: frame(opened.scene, pixels, share=share, b=b, sigma=sigma, engine=engine),
                latest="detect",
            )
        )

    async def features(self, request: Request) -> Response:
        """Return the feature vector of one patch."""
        opened, pixels = self._opened(request), None
        position = _number(request.query_params, "position", int) or 0
        pixels = await _pixels(request, opened)
        vector = await self.worker.run(
            lambda: features(opened.scene, pixels, position), latest="features"
        )
        return _binary(Message({"position": position}, {"features": vector}))

    async def image(self, request: Request) -> Response:
        """Return the pixels of an example."""
        kind = request.path_params.get("kind", "training")
        if kind not in ("good", "defective", "training"):
            raise HTTPException(404, "no such image")
        opened, number = self._opened(request), request.path_params["number"]
        pixels = await asyncio.to_thread(opened.image, kind, number)
        if pixels is None:
            raise HTTPException(404, "no such image")
        return _binary(Message({"kind": kind, "number": number}, {"pixels": pixels}))

    def _opened(self, request: Request) -> Opened:
        opened = self.parts.find(_number(request.query_params, "scene", int))
        if opened is None:
            raise HTTPException(404, "open a part first")
        return opened


async def _body(request: Request, most: int) -> bytes:
    """Return the body of a request, or refuse it as soon as it is too long."""
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or len(length) > 12 or int(length) > most:
        raise HTTPException(413, f"the body must have at most {most} bytes")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise HTTPException(413, f"the body must have at most {most} bytes")
    return bytes(body)


def _settings(body: bytes) -> dict[str, Any]:
    """Return the arguments of `Parts.open` in a JSON object with part, layers, p and s."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise ValueError("expected a JSON object")
    layers = asked.get("layers")
    texts = isinstance(layers, list) and all(isinstance(name, str) for name in layers)
    if layers is not None and not texts:
        raise ValueError("layers must be a list of names")
    found = {"layers": layers, "patchsize": asked.get("p"), "stride": asked.get("s")}
    for name in ("p", "s"):
        if asked.get(name) is not None and type(asked[name]) is not int:
            raise ValueError(f"{name} must be a whole number")
    return {"part": asked["part"], **found} if "part" in asked else found


async def _pixels(request: Request, opened: Opened) -> np.ndarray:
    """Return the pixels in the body of a request, (h, w, 3) uint8."""
    h, w = opened.scene.model.input_size_
    body = await _body(request, LARGEST_BODY)
    if len(body) != h * w * 3:
        raise ValueError(f"expected {h} × {w} × 3 bytes of pixels, got {len(body)} bytes")
    return np.frombuffer(body, np.uint8).reshape(h, w, 3)


def _number(query: Any, name: str, kind: Callable[[str], Any]) -> Any:
    """Return a number of the query, or None if it is absent."""
    text = query.get(name)
    if text is None:
        return None
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{name} must be a number, got {text[:40]!a}") from None


def _binary(message: Message) -> Response:
    return Response(message.pack(), media_type="application/octet-stream")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(error.status_code, error.detail)


async def _wrong(request: Request, error: Exception) -> Response:
    return error_response(400, str(error))


class Server:
    """A server on a free port of 127.0.0.1.

    Parameters
    ----------
    parts : Parts
    port : int, default 0
        0 means any free port.

    Attributes
    ----------
    address : str
        The address of the page, with its token.

    Raises
    ------
    MinicoreError
        If the port is not free.
    """

    def __init__(self, parts: Parts, port: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self.socket.bind(("127.0.0.1", port))
        except OSError as error:
            self.socket.close()
            raise MinicoreError(
                f"port {port}: {error.strerror}; choose another, or 0 for any free port"
            ) from error
        self.port = self.socket.getsockname()[1]
        self.token = secrets.token_urlsafe(24)
        self.address = f"http://127.0.0.1:{self.port}/{self.token}/"
        self._parts = parts
        self._server: uvicorn.Server | None = None

    def run(self, started: Callable[[], Any] = lambda: None) -> None:
        """Serve until Ctrl-C or `stop`.

        Parameters
        ----------
        started : callable
            Called when the server answers.
        """
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again when it has stopped
            asyncio.run(self._serve(started))

    async def _serve(self, started: Callable[[], Any]) -> None:
        app = Playground(self._parts).app(self.token, self.port)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                lifespan="off",
                log_level="error",
                access_log=False,
                server_header=False,
                http="h11",
                ws="none",
                timeout_graceful_shutdown=2,
                limit_concurrency=64,
            )
        )
        serving = asyncio.create_task(self._server.serve(sockets=[self.socket]))
        while not (self._server.started or serving.done()):
            await asyncio.sleep(0.01)
        started()
        await serving

    def stop(self) -> None:
        """Stop a server that runs in another thread."""
        if self._server is not None:
            self._server.should_exit = True
