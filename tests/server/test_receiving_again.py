"""A peer's reader, whose pump has waited for the disk, takes what came meanwhile; and then it waits like everybody."""

from typing import Any

import pytest

from coord.codec.peer import Decoder, Rejected, encode
from coord.paxos.messages import Commit, Message
from coord.server.peers import NotWelcome, PeerLink, Peers


class Outbox:
    closed = False


class Ends:
    """A replica, its driver and a stream in one: what is done to them is told in the order in which it happens."""

    def __init__(self, *waited_for: bytes, meanwhile: bytes | None, waits_for_the_disk: bool = True) -> None:
        self.happened: list[str] = []
        self.wrote = False
        self.replica = self
        self._waited_for = iter(waited_for)
        self._meanwhile = meanwhile
        self._waits_for_the_disk = waits_for_the_disk

    def now_s(self) -> float:
        return 0.0

    def receive(self, peer: int | None = None, message: Message | None = None, now: float = 0.0) -> Any:
        if message is None:
            return self._wait()
        assert isinstance(message, Commit)
        self.happened.append(f"commit {message.zxid}")
        return None

    async def _wait(self) -> bytes:
        self.happened.append("waits")
        return next(self._waited_for, b"")

    def receive_now(self) -> bytes | None:
        self.happened.append("looks")
        return self._meanwhile

    def feed_at_last(self) -> None:
        self.wrote = self._waits_for_the_disk


def commit(zxid: int) -> bytes:
    return encode(Commit(1, zxid, zxid))


async def feed(ends: Ends) -> list[str]:
    ends_: Any = ends
    peers = Peers(None, ends_, None, None, None)  # type: ignore[arg-type]
    decoder = Decoder()
    decoder._greeted = True
    link = PeerLink(2, 0, "", Outbox())  # type: ignore[arg-type]
    await peers._feed(ends_, decoder, link, [])
    return ends.happened


async def test_however_much_there_is_it_waits_between_two_looks() -> None:
    happened = await feed(Ends(commit(1), commit(2), meanwhile=commit(9)))
    looked = ["looks", "commit 9", "waits"]
    assert happened == [*looked, "commit 1", *looked, "commit 2", *looked]


async def test_where_nothing_has_come_meanwhile_it_waits() -> None:
    assert await feed(Ends(commit(1), meanwhile=None)) == ["looks", "waits", "commit 1", "looks", "waits"]


async def test_where_the_disk_was_not_waited_for_it_does_not_look() -> None:
    happened = await feed(Ends(commit(1), meanwhile=commit(9), waits_for_the_disk=False))
    assert happened == ["waits", "commit 1", "waits"]


async def test_the_end_of_the_stream_is_the_end_when_it_comes_meanwhile_too() -> None:
    assert await feed(Ends(commit(1), meanwhile=b"")) == ["looks"]


async def test_a_rejection_that_comes_meanwhile_ends_the_connection() -> None:
    class Config:
        servers = (1, 2, 3)

    ends: Any = Ends(meanwhile=encode(Rejected("not you")))
    peers = Peers(Config(), ends, None, None, None)  # type: ignore[arg-type]
    decoder = Decoder()
    decoder._greeted = True
    with pytest.raises(NotWelcome, match="not you"):
        await peers._feed(ends, decoder, PeerLink(2, 0, "", Outbox()), [])  # type: ignore[arg-type]
    assert ends.happened == ["looks"]
