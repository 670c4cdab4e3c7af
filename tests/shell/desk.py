"""A shell for tests: lines in, text or JSON out, on a client of an ensemble in memory."""

import json
import re
from contextlib import asynccontextmanager

from coord.client.addresses import TcpAddress
from coord.shell.output import Output
from coord.shell.run import run_line
from coord.shell.state import Shell
from coord.shell.words import Unreachable


class Desk:
    def __init__(self, client, addresses="", ask_word=None):
        self.shell = Shell(client, addresses)
        if ask_word is not None:
            self.shell.ask_word = ask_word
        self.written = b""

    async def _write(self, data):
        self.written += data

    async def bytes(self, line, *, json=False, terminal=False):
        self.written = b""
        await run_line(self.shell, line, Output(self._write, terminal=terminal, json=json))
        return self.written

    async def text(self, line):
        return (await self.bytes(line)).decode().removesuffix("\n")

    async def lines(self, line):
        return (await self.text(line)).split("\n")

    async def json(self, line):
        """One value for each line of JSON."""
        return [json.loads(each) for each in (await self.bytes(line, json=True)).decode().splitlines()]

    def says(self, yes):
        """Questions are answered so; they are gathered."""
        questions = []

        async def ask(question):
            questions.append(question)
            return yes

        self.shell.ask = ask
        return questions


@asynccontextmanager
async def open_desk(ensemble):
    """On a client of this ensemble; four-letter words go through its network too."""
    host = ensemble.network.host("desk")

    async def ask_word(address, word, limit_s):
        assert isinstance(address, TcpAddress)
        try:
            stream = await host.connect(address.host, address.port)
        except OSError as error:
            raise Unreachable(error.strerror.lower()) from error
        await stream.send_all(word.encode())
        parts = []
        while part := await stream.receive():
            parts.append(part)
        stream.close()
        return b"".join(parts).decode()

    async with ensemble.client() as client:
        addresses = client.server.address
        found = re.match(r"(.*?)\d+:(\d+)$", addresses)
        yield Desk(client, ",".join(f"{found[1]}{each}:{found[2]}" for each in ensemble.servers), ask_word)


@asynccontextmanager
async def app(ensemble):
    """A desk, and a small tree below /app."""
    async with open_desk(ensemble) as desk:
        for path, value in (("/app", b""), ("/app/a", b"one"), ("/app/b", b'{"x": 1}'), ("/app/b/c", b"\x00\xff")):
            await desk.shell.client.create(path, value)
        yield desk
