"""Refuse requests that do not come from the page itself."""

from __future__ import annotations

import secrets

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as Event

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Refuse foreign requests before any of their body is read, and add headers to every answer.

    Parameters
    ----------
    app : ASGI application
    token : str
    port : int
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self.app, self.token = app, token.encode()
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def with_headers(event: Event) -> None:
            if event["type"] == "http.response.start":
                extra = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
                event = {**event, "headers": [*event.get("headers", []), *extra]}
            await send(event)

        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)
        await (refusal or self.app)(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        host = [value.decode("latin-1").lower() for value in headers.get(b"host", [])]
        if len(host) != 1 or host[0] not in self.hosts:
            return error_response(403, "wrong Host")
        origin = [value.decode("latin-1").lower() for value in headers.get(b"origin", [])]
        if origin and origin != [f"http://{host[0]}"]:
            return error_response(403, "wrong Origin")
        given = scope["path"].partition("/")[2].partition("/")[0].encode()
        if not secrets.compare_digest(given, self.token):
            return error_response(404, "wrong token")
        return None


def error_response(status: int, text: str) -> Response:
    """Return an error as plain text. The connection is closed: a body may be unread."""
    return PlainTextResponse(text, status, headers={"connection": "close"})
