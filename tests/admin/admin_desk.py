"""Servers in memory with their HTTP admin, asked through the application itself: no socket, no real time."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from coord.admin.app import make_app
from coord.server.console import Console
from coord.server.parsers import Address
from coord.server.serve import serve
from coord.testing.ensemble import Ensemble, ensemble

TOKEN = b"a token of the tests"
BEARER = {"authorization": f"Bearer {TOKEN.decode()}"}


class Answer:
    """What came back: the parts are the pieces in which it was written."""

    def __init__(self, status: int, headers: dict[str, str], parts: list[bytes]) -> None:
        self.status = status
        self.headers = headers
        self.parts = parts

    @property
    def text(self) -> str:
        return b"".join(self.parts).decode()

    @property
    def json(self) -> Any:
        return json.loads(self.text)


async def ask(
    app: Any, path: str, *, method: str = "GET", headers: dict[str, str] | None = None, body: Any = b""
) -> Answer:
    """One request. `body` is bytes, or an async iterator of them; None: it never ends."""
    given = {"host": "localhost"} | (headers or {})
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.1"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in given.items() if value],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    pending = [] if body is None else [{"type": "http.request", "body": body, "more_body": False}]
    said: list[Any] = []

    async def receive() -> Any:
        await trio.lowlevel.checkpoint()
        if pending:
            return pending.pop()
        return await trio.sleep_forever()

    async def send(message: Any) -> None:
        await trio.lowlevel.checkpoint()
        said.append(message)

    await app(scope, receive, send)
    start, *rest = said
    found = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], found, [each["body"] for each in rest if each.get("body")])


class Desk:
    """An ensemble, and a way to ask each of its servers."""

    def __init__(self, ensemble: Ensemble, consoles: dict[int, Console]) -> None:
        self.ensemble = ensemble
        self.consoles = consoles

    def app(self, server: int = 1, token: bytes | None = TOKEN) -> Any:
        return make_app(self.consoles[server], token)

    async def ask(self, path: str, server: int = 1, **more: Any) -> Answer:
        return await ask(self.app(server), path, **more)

    async def metrics(self, server: int = 1) -> dict[str, float]:
        """Every sample by its name and labels, as name{label=value,...}."""
        families = text_string_to_metric_families((await self.ask("/metrics", server)).text)
        return {_name(sample): sample.value for family in families for sample in family.samples}


def _name(sample: Any) -> str:
    labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
    return f"{sample.name}{{{labels}}}" if labels else sample.name


@asynccontextmanager
async def open_desk(monkeypatch: pytest.MonkeyPatch, servers: int = 1, **settings: Any) -> AsyncIterator[Desk]:
    consoles: dict[int, Console] = {}

    async def beside(console: Console, *, task_status: trio.TaskStatus[None]) -> None:
        consoles[console.config.id] = console
        task_status.started()

    monkeypatch.setattr(sys.modules[ensemble.__module__], "serve", partial(serve, beside=beside))
    settings = {"admin": Address("127.0.0.1", 8080), **settings}
    async with ensemble(servers, seed=1, **settings) as made:
        yield Desk(made, consoles)
