"""Connections between servers: one a pair, opened by the server with the higher id.

Each side's first frame is a Hello; who is not welcome gets the reason, and both sides log it. What is checked: the
protocol's version, the ensemble's identity, that the id belongs to the ensemble, that no other server has it, and
that both have the same voters in mind.
"""

import math
from collections.abc import Callable, Iterable
from typing import NoReturn

import trio

from coord.codec.errors import CodecError
from coord.codec.peer import Decoder, Hello, PeerMessage, Rejected, encode
from coord.net.network import Listener, Network, Stream
from coord.net.outbox import Outbox
from coord.replica.replica import PeerIdentity
from coord.server.config import Config
from coord.server.driver import Driver
from coord.server.errors import RefusedByEnsemble
from coord.server.log_lines import EventLog

DIAL_AGAIN_S = (0.05, 0.1, 0.2, 0.4)
"""Pauses between attempts to reach a peer; the last one is repeated."""

STEADY_S = 2.0
"""A connection that ends sooner counts as an attempt that failed: it would break just as soon again."""

SAY_AGAIN_S = 10.0
"""At least so long between two lines of the log about one address, whatever it does."""

SAID_MAX = 256
"""Of so many addresses it is remembered what was said about them."""

DIAL_REFUSED_S = 5.0
"""Pause after a peer refused this server: that needs an operator."""

HELLO_TIMEOUT_S = 5.0

STRANGERS_MAX = 64
"""So many connections at a time may have said nothing yet; further ones are closed at once."""


class PeerLink:
    """A connected peer that has been welcomed."""

    __slots__ = ("description", "identity", "outbox", "peer")

    def __init__(self, peer: int, identity: int, description: str, outbox: Outbox) -> None:
        self.peer = peer
        self.identity = identity
        self.description = description
        self.outbox = outbox

    def send(self, frame: bytes) -> None:
        self.outbox.put(frame)

    @property
    def bytes_waiting(self) -> int:
        return self.outbox.bytes_waiting

    def hang_up(self, why: str) -> None:
        self.outbox.close(why)


class NotWelcome(Exception):
    """A peer is refused, by us or we by it; the text says why."""


class Peers:
    """Dials those with a lower id, accepts those with a higher one."""

    def __init__(
        self, config: Config, driver: Driver, network: Network, log: EventLog, hello: Callable[[], Hello]
    ) -> None:
        self._config = config
        self._driver = driver
        self._network = network
        self._log = log
        self._hello = hello
        self._links: dict[int, PeerLink] = {}
        self._not_together: dict[int, str] = {}  # servers that refuse this one or are refused by it, and why
        self._strangers = 0  # connections whose greeting has not come yet
        self._said: dict[str, tuple[str, float]] = {}  # the last complaint about each address, and when it was logged

    def link(self, peer: int) -> PeerLink | None:
        """The connection with a peer, if it stands."""
        return self._links.get(peer)

    async def run_listener(self, listener: Listener) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                stream = await listener.accept()
                if self._strangers < STRANGERS_MAX:
                    self._strangers += 1
                    nursery.start_soon(self._accepted, stream)
                else:
                    stream.close()

    async def run_dialer(self, peer: int) -> None:
        """Keep a connection to a peer with a lower id."""
        host, port = self._config.ensemble[peer]
        who = f"server {peer} at {host}:{port}"
        failures = 0
        while True:
            pause_s, stood_s = DIAL_AGAIN_S[min(failures, len(DIAL_AGAIN_S) - 1)], 0.0
            try:
                with trio.fail_after(HELLO_TIMEOUT_S):
                    stream = await self._network.connect(host, port)
                stood_s = await self._talk(stream, peer, who)
            except NotWelcome as refusal:
                self._complain(who, str(refusal))
                pause_s = DIAL_REFUSED_S
            except (OSError, trio.TooSlowError):
                pass
            if stood_s < STEADY_S:
                failures += 1
            else:
                failures, pause_s = 0, DIAL_AGAIN_S[0]
            await trio.sleep(pause_s)

    async def _accepted(self, stream: Stream) -> None:
        who = f"a server at {stream.remote[0]}"
        try:
            await self._talk(stream, None, who)
        except NotWelcome as refusal:
            self._complain(who, str(refusal))

    def _complain(self, who: str, why: str) -> None:
        if self._is_news(who, why):
            self._log.error(f"no connection with {who}: {why}")

    def _is_news(self, who: str, what: str) -> bool:
        """Whether this is to be logged: not what was said last, and never more than a line now and then."""
        now = trio.current_time()
        last, said_s = self._said.pop(who, ("", -SAY_AGAIN_S))
        if what == last or now - said_s < SAY_AGAIN_S:
            self._said[who] = last, said_s
            return False
        if len(self._said) >= SAID_MAX:
            del self._said[next(iter(self._said))]  # who was quiet for longest
        self._said[who] = what, now
        return True

    def _forget_complaint(self, who: str) -> None:
        """The next complaint is news again, even if it is the same."""
        if who in self._said:
            self._said[who] = "", self._said[who][1]

    async def _talk(self, stream: Stream, expected: int | None, who: str) -> float:
        """One connection, from the greeting to its end; for how many seconds it stood after the greeting.

        NotWelcome: one side refused the other.
        """
        since_s = math.inf
        decoder = Decoder(self._config.peer_frame_bytes_max)
        outbox = Outbox(stream, self._config.peer_outbox_bytes_max)
        try:
            try:
                stream.keep_alive()
                outbox.put(encode(self._hello()))
                with trio.fail_after(HELLO_TIMEOUT_S):
                    first, *messages = await self._first_messages(stream, decoder)
            finally:
                if expected is None:
                    self._strangers -= 1
            link = self._welcome(first, outbox, expected)
            self._forget_complaint(who)
            since_s = trio.current_time()
            await self._stay(stream, decoder, link, messages)
        except CodecError as error:
            raise NotWelcome(f"what it sends cannot be read: {error}") from error
        except (OSError, trio.ClosedResourceError, trio.TooSlowError):
            pass  # it is gone, or never spoke; who dials tries again
        finally:
            outbox.close("the connection has ended")
        return max(0.0, trio.current_time() - since_s)

    async def _first_messages(self, stream: Stream, decoder: Decoder) -> list[PeerMessage]:
        while True:
            data = await stream.receive()
            if not data:
                raise ConnectionResetError("it hung up before it said who it is")
            messages = decoder.feed(data)
            if messages:
                return messages

    def _welcome(self, first: PeerMessage, outbox: Outbox, expected: int | None) -> PeerLink:
        """Look at a peer's Hello; either it becomes a link or it is told why not."""
        if isinstance(first, Rejected):
            self._refused(expected, first.reason)
        assert isinstance(first, Hello), "the decoder lets nothing else come first"
        refusal = self._refusal(first, expected)
        if refusal:
            outbox.put(encode(Rejected(refusal)))
            if expected is not None or self._has_other_voters(first):  # who calls us may be anybody
                self._note_refusal(first.server, f"server {first.server} is refused here: {refusal}")
            raise NotWelcome(f"this server refuses it: {refusal}")
        link = PeerLink(first.server, first.identity, first.description, outbox)
        former = self._links.get(first.server)
        if former is not None:
            self._leave(former, "it has connected anew")
        self._links[first.server] = link
        self._driver.links[first.server] = link
        self._not_together.pop(first.server, None)
        self._driver.replica.connected(
            first.server, PeerIdentity(first.identity, first.description), trio.current_time()
        )
        self._driver.feed()
        return link

    def _refused(self, peer: int | None, reason: str) -> NoReturn:
        """A peer does not want this server."""
        if peer is not None:
            self._note_refusal(peer, f"server {peer} refuses this one: {reason}")
        raise NotWelcome(f"it refuses this server: {reason}")

    def _note_refusal(self, peer: int, sentence: str) -> None:
        """A server that most of the ensemble cannot be together with had better stop and say why."""
        self._not_together[peer] = sentence
        if 2 * len(self._not_together) > len(self._config.servers):
            raise RefusedByEnsemble(
                f"this server and most of its ensemble, servers {sorted(self._not_together)}, "
                f"do not go together; {sentence}"
            )

    def _refusal(self, hello: Hello, expected: int | None) -> str:
        """Why this peer is not one to talk to; empty if it is."""
        mine, peer = self._hello(), hello.server
        if hello.protocol_version != mine.protocol_version:
            return (
                f"it speaks version {hello.protocol_version} of the protocol between servers, server {mine.server} "
                f"speaks {mine.protocol_version}; run the same release of coord on both"
            )
        if hello.cluster and mine.cluster and hello.cluster != mine.cluster:
            return (
                f"its data belongs to another ensemble ({hello.cluster:016x}) than the data of server {mine.server} "
                f"({mine.cluster:016x}); check the addresses in `ensemble` and the data folders"
            )
        if hello.identity == mine.identity:
            return f"its data folder is a copy of the one of server {mine.server}; give it an empty one"
        if peer == mine.server:
            return f"server {peer} at {mine.description} has this id already; each server needs its own"
        if peer not in self._config.ensemble:
            return f"the id {peer} is not in `ensemble` of server {mine.server}; add it there, or correct the id"
        if expected is not None and peer != expected:
            return f"it answers at the address of server {expected}, but says it is {peer}; check `ensemble`"
        return self._doubted_identity(hello) or self._other_voters(hello)

    def _other_voters(self, hello: Hello) -> str:
        """Two servers that differ about who votes could each find a majority without the other."""
        mine = self._hello()
        if set(hello.voters) == set(mine.voters) and set(hello.servers) == set(mine.servers):
            return ""
        return (
            f"of the servers {_listed(hello.servers)} it lets {_listed(hello.voters)} vote, server {mine.server} of "
            f"{_listed(mine.servers)} lets {_listed(mine.voters)} vote; give all servers the same `ensemble` and "
            "`observers`"
        )

    def _has_other_voters(self, hello: Hello) -> bool:
        """A server that the ensemble knows, and that this one must not be together with."""
        known = self._driver.replica.machine.servers.get(hello.server)
        return known is not None and known[0] == hello.identity and self._other_voters(hello) != ""

    def _doubted_identity(self, hello: Hello) -> str:
        """Two servers with one id: who is known by the ensemble stays, else who was here first."""
        peer, known = hello.server, self._driver.replica.machine.servers.get(hello.server)
        link = self._links.get(peer)
        rightful = known is not None and known[0] == hello.identity
        if link is not None and link.identity != hello.identity and not rightful:
            return (
                f"another server with the id {peer} is connected already; stop one of the two, "
                f"or give this one ({hello.description}) an id of its own"
            )
        if link is not None and link.identity == hello.identity and link.description != hello.description:
            return (
                f"its data folder is a copy: server {peer} with the same identity is connected already, from "
                f"{link.description}; stop one of the two, their promises would not hold together"
            )
        if known is not None and not rightful:
            sentence = (
                f"server {peer} comes with another identity than the ensemble knows: its data folder was replaced, "
                "and its promises with it; it may follow and serve, but its vote does not count"
            )
            if self._is_news(f"server {peer}", f"{known[0]:x} {hello.identity:x}"):
                self._log.warning(sentence, known=known[1], now=hello.description)
        return ""

    async def _stay(self, stream: Stream, decoder: Decoder, link: PeerLink, messages: list[PeerMessage]) -> None:
        """Feed the replica with what the peer sends, until the connection ends."""
        failure: Exception | None = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.outbox.run)
                try:
                    await self._feed(stream, decoder, link, messages)
                except (OSError, trio.ClosedResourceError, CodecError, NotWelcome, RefusedByEnsemble) as error:
                    failure = error  # raised outside of the nursery, which would wrap it
                nursery.cancel_scope.cancel()
        finally:
            self._leave(link, "the connection has ended")
        if failure is not None:
            raise failure

    async def _feed(self, stream: Stream, decoder: Decoder, link: PeerLink, messages: list[PeerMessage]) -> None:
        replica, driver, peer, outbox = self._driver.replica, self._driver, link.peer, link.outbox
        waited = True  # for what was received last
        while not outbox.closed:
            now = driver.now_s()
            for message in messages:
                if isinstance(message, Rejected):
                    self._refused(peer, message.reason)
                assert not isinstance(message, Hello), "the decoder lets no second one pass"
                replica.receive(peer, message, now)
            driver.feed_at_last()
            # While the disk worked a leader, whose own was done before, has told the commit: it waits for no turn.
            data = stream.receive_now() if driver.wrote and waited else None
            driver.wrote, waited = False, data is None
            if data is None:
                data = await stream.receive()
            if not data:
                return
            messages = decoder.feed(data)

    def _leave(self, link: PeerLink, why: str) -> None:
        link.outbox.close(why)
        if self._links.get(link.peer) is link:
            del self._links[link.peer], self._driver.links[link.peer]
            self._driver.replica.disconnected(link.peer, trio.current_time())
            self._driver.feed()


def _listed(servers: Iterable[int]) -> str:
    return ",".join(str(server) for server in sorted(servers))
