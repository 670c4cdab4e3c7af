"""Who may ask the HTTP admin what, before anything else is looked at. An ASGI middleware with three questions.

By which name? A page in an operator's browser can make it call this server by a name of the page's own (DNS rebinding);
so only known names are answered. How? What reads is GET or HEAD, what changes something is POST; there is no TRACE, and
no CORS: no page of another origin may read an answer. With which token? See `authorized`.
"""

import hmac
from collections.abc import Collection

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))
METHODS = ("GET", "HEAD", "POST")
ANY = "*"
HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
"""With every answer: it is old at once, and no page."""


class Guard:
    """Lets through to `app` what is well asked."""

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        """`names` without ports, in lower case; ANY among them: it does not matter."""
        self._app = app
        self._names = frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(given) != 1 or not (ANY in self._names or name_in(given[0]) in self._names):
            return PlainTextResponse(
                "this server is not called by that name; use localhost or the host of --admin, or add the name to "
                "--admin-hosts\n",
                403,
            )
        if scope["method"] not in METHODS:
            return PlainTextResponse(
                f"there is no {scope['method'][:20]} here, only {', '.join(METHODS)}\n",
                405,
                {"allow": ", ".join(METHODS)},
            )
        return None


def name_in(host: str) -> str:
    """The name in a Host header: without port and brackets, in lower case."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, _ = host.partition(":")
    return name.rstrip(".")


def authorized(request: Request, token: bytes) -> bool:
    """Whether the request brings the token. How long this takes does not tell how much of it was right."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token)
