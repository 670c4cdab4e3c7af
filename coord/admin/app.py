"""The routes of the HTTP admin, as a starlette application on one server's console."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import cast

import trio
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Send

from coord.admin import commands, metrics
from coord.admin.guard import LOOPBACK_NAMES, Guard, authorized
from coord.admin.pieces import Document, encoded, gathered
from coord.server.console import Console

BODY_BYTES_MAX = 4096
"""An action's parameters are a few words."""

BODY_TIMEOUT_S = 5.0
"""Longest time that a client may take to send them."""

LATE_S = 1.0
"""A server whose clockwork is so late is not well."""

Action = Callable[[Console, Document], Awaitable[Document]]


def make_app(console: Console, token: bytes | None) -> Guard:
    """`token`: what a request must bring that changes anything; None: none is done."""

    async def about(request: Request) -> Response:
        return PlainTextResponse(ABOUT)

    async def healthz(request: Request) -> Response:
        late_s = console.late_s()
        return _verdict(f"this server's clockwork is {late_s:.1f} s late" if late_s > LATE_S else "")

    async def readyz(request: Request) -> Response:
        return _verdict(await console.why_unready())

    async def show_metrics(request: Request) -> Response:
        return InPieces(gathered(metrics.written(console)), headers={"content-type": metrics.CONTENT_TYPE})

    async def list_commands(request: Request) -> Response:
        return _streamed({**commands.listed(console), "actions": actions_listed()})

    async def command(request: Request) -> Response:
        name = request.path_params["name"]
        if name in ACTIONS:
            return _failed(name, f"{name} changes something: it is a POST with a token", 405, {"allow": "POST"})
        try:
            return _streamed(commands.document_of(name, console))
        except commands.Refused as refused:
            return _failed(name, str(refused), refused.status)

    async def act(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in ACTIONS:
            if name in commands.BY_NAME:
                return _failed(name, f"{name} only reads: it is a GET", 405, {"allow": "GET, HEAD"})
            return _failed(name, f"there is no command {name[:40]!r}; /commands lists them", 404)
        if token is None:
            return _failed(name, "this server does nothing that it is told by HTTP: it has no --admin-token-file", 403)
        if not authorized(request, token):
            why = "the token is missing or wrong: send it as Authorization: Bearer TOKEN"
            return _failed(name, why, 401, {"www-authenticate": "Bearer"})
        try:
            parameters = await _parameters(request)
            done = await ACTIONS[name](console, parameters)
        except commands.Refused as refused:
            return _failed(name, str(refused), refused.status)
        console.log.info(f"did {name}, as asked over HTTP", client=request.client.host if request.client else "")
        return _streamed({"command": ALIASES.get(name, name), "error": None, **done})

    routes = [
        Route("/", about),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", show_metrics),
        Route("/commands", list_commands),
        Route("/commands/{name}", command, methods=["GET"]),
        Route("/commands/{name}", act, methods=["POST"]),
    ]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False  # a redirect would repeat the name in the Host header
    config = console.config
    own = {config.admin.host.lower()} if config.admin is not None else set()
    return Guard(app, LOOPBACK_NAMES | own | config.admin_hosts)


# ---- actions: what changes something


async def stat_reset(console: Console, parameters: Document) -> Document:
    """Start counting afresh, for the server: requests, replies, latency, proposals. Histograms go on."""
    console.facts.reset_server_statistics()
    return {}


async def connection_stat_reset(console: Console, parameters: Document) -> Document:
    """Start counting afresh, for every connection."""
    console.facts.reset_connection_statistics()
    return {}


async def snapshot(console: Console, parameters: Document) -> Document:
    """Take a snapshot of the state as it is now, and wait until it is durable."""
    zxid = await console.take_snapshot()
    return {"last_zxid": f"0x{zxid:x}", "snapshot_size": console.store.snapshot_size(zxid)}


async def shed_connections(console: Console, parameters: Document) -> Document:
    """Hang up on {"percentage": 1-100} of the clients; their sessions live on."""
    percentage = parameters.get("percentage")
    if type(percentage) is not int or not 1 <= percentage <= 100:
        raise commands.Refused('the body must be {"percentage": N}, a whole number from 1 to 100', 400)
    return {"percentage": percentage, "connections_shed": console.shed_connections(percentage)}


def actions_listed() -> list[Document]:
    names: dict[Action, list[str]] = {}
    for name, action in ACTIONS.items():
        names.setdefault(action, []).append(name)
    return [
        {"name": name, "aliases": aliases, "path": f"/commands/{name}", "what": action.__doc__}
        for action, (name, *aliases) in names.items()
    ]


ACTIONS: dict[str, Action] = {
    "stat_reset": stat_reset,
    "srst": stat_reset,
    "connection_stat_reset": connection_stat_reset,
    "crst": connection_stat_reset,
    "snapshot": snapshot,
    "snap": snapshot,
    "shed_connections": shed_connections,
    "shed": shed_connections,
}
ALIASES = {name: action.__name__ for name, action in ACTIONS.items()}

ABOUT = """\
A coord server. GET:
  /healthz      200 while the process turns
  /readyz       200 while a write can be committed through this server, else 503 and why not
  /metrics      for Prometheus
  /commands     the commands, and the actions, which are a POST with a token
"""


# ---- parts


class InPieces(StreamingResponse):
    """What an asynchronous generator gives; it is closed if the client goes before its end."""

    async def stream_response(self, send: Send) -> None:
        async with aclosing(cast(AsyncGenerator[bytes, None], self.body_iterator)):
            await super().stream_response(send)


def _verdict(problem: str) -> Response:
    return PlainTextResponse(f"{problem}\n" if problem else "ok\n", 503 if problem else 200)


def _streamed(document: Document) -> Response:
    return InPieces(gathered(encoded(document)), media_type="application/json")


def _failed(name: str, why: str, status: int, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"command": name[:40], "error": why}, status, headers)


async def _parameters(request: Request) -> Document:
    """The body as an object; none is an empty one."""
    body = bytearray()
    try:
        with trio.fail_after(BODY_TIMEOUT_S):
            async with aclosing(request.stream()) as parts:
                async for part in parts:
                    body += part
                    if len(body) > BODY_BYTES_MAX:
                        raise commands.Refused(f"a body has at most {BODY_BYTES_MAX} bytes", 413)
    except trio.TooSlowError:
        raise commands.Refused(f"the body did not come within {BODY_TIMEOUT_S:g} s", 408) from None
    except ClientDisconnect:
        raise commands.Refused("the client has gone", 400) from None
    try:
        found = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise commands.Refused("the body must be a JSON object", 400)
    return found
