"""The simulated network between servers: connections that deliver in order or break, and ways that are cut or clogged.

As with TCP, what was in flight when a connection broke may be lost, from any byte on, or may still arrive, and who is
at the other end notices in his own time. Order is lost between connections only: the old one's last words may come
after the new one's first. Nothing is repeated within a connection; what comes twice was sent twice, through two.
A cut way (`blocked`) swallows what is sent, and nobody is told.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol
from zlib import crc32

from coord.codec.peer import Decoder
from tools.simulate.stage import Stage

NOTICED_S = (0.1, 0.1, 0.1, 2.0)
"""Within so long a server notices that a connection is broken."""


class Link:
    """One connection between two servers. Each direction is in order; after a loss nothing more comes that way."""

    __slots__ = ("arrival_s", "broken", "deaf", "decoders", "left", "lives", "stubborn", "torn")

    def __init__(self, lives: dict[int, int]) -> None:
        self.lives = lives  # of the two servers, when it was made
        self.broken = False
        self.stubborn = False  # broken, but what is in flight still arrives
        self.left: set[int] = set()  # who has noticed that it is broken
        self.deaf: set[int] = set()  # who no longer hears anything through it
        self.torn: set[int] = set()  # who got a part of a frame, and nothing after it
        self.arrival_s = dict.fromkeys(lives, 0.0)
        self.decoders = {server: Decoder() for server in lives}


class Station(Protocol):
    """A server, as the network knows it."""

    number: int
    life: int
    paused: bool
    links: dict[int, Link]

    @property
    def up(self) -> bool: ...
    def at(self, delay_s: float, function: Callable[..., None], *arguments: object) -> None: ...
    def input(self, function: Callable[..., None], *arguments: object) -> None: ...
    def frame_came(self, peer: int, link: Link, frame: bytes) -> None: ...
    def link_down(self, peer: int, link: Link) -> None: ...
    def hello(self) -> bytes: ...


class Network:
    """Every connection between servers, and who cannot reach whom."""

    def __init__(self, stage: Stage) -> None:
        self.links: dict[tuple[int, int], Link] = {}  # by (lower, higher)
        self.blocked: dict[tuple[int, int], None] = {}  # (from, to): silently lost
        self.clogged_s: dict[tuple[int, int], float] = {}  # (from, to): nothing arrives before this time
        self._stage = stage
        self._stations: dict[int, Station] = {}

    def begin(self, stations: dict[int, Station]) -> None:
        """Every two of them keep trying to be connected."""
        self._stations = stations
        for lower in stations:
            for higher in stations:
                if lower < higher:
                    self._stage.at(self._stage.rng.uniform(0, 0.3), partial(self._dial, lower, higher))

    # ---- sending

    def send(self, source: int, target: int, link: Link, frame: bytes) -> None:
        if link.broken or target in link.deaf:
            return
        if (source, target) in self.blocked:
            link.deaf.add(target)
            return
        stage = self._stage
        arrival = max(link.arrival_s[target], stage.now + stage.rng.uniform(0.0001, stage.plan.delay_s))
        if self.clogged_s:
            arrival = max(arrival, self.clogged_s.get((source, target), 0.0))
        link.arrival_s[target] = arrival
        stage.at_time(arrival, partial(self._arrive, source, target, link, frame))

    def _arrive(self, source: int, target: int, link: Link, frame: bytes) -> None:
        station = self._stations[target]
        if station.life != link.lives[target] or not station.up:
            return
        if link.broken and not link.stubborn:
            if target not in link.torn:
                link.torn.add(target)
                self._stage.situations["a frame was cut off in the middle"] += 1
                station.input(station.frame_came, source, link, frame[: self._stage.rng.randrange(len(frame))])
            return
        if link.broken:
            self._stage.situations["what a broken connection still held arrived"] += 1
        self._stage.trace = crc32(frame, self._stage.trace)
        station.input(station.frame_came, source, link, frame)

    # ---- connections

    def _dial(self, lower: int, higher: int) -> None:
        stage = self._stage
        stage.at(stage.rng.uniform(0.02, 0.3), partial(self._dial, lower, higher))
        one, other = self._stations[lower], self._stations[higher]
        link = self.links.get((lower, higher))
        if link is not None and not link.broken:
            return
        if link is not None and other.links.get(lower) is link:
            return  # the dialer has not noticed yet
        if not one.up or not other.up or other.paused:
            return
        if (lower, higher) in self.blocked or (higher, lower) in self.blocked:
            return
        link = self.links[lower, higher] = Link({lower: one.life, higher: other.life})
        self.send(lower, higher, link, one.hello())
        self.send(higher, lower, link, other.hello())

    def break_link(self, one: int, other: int, link: Link) -> None:
        """The connection ends; each side notices in its own time, and until then it is half open."""
        if link.broken:
            return
        link.broken = True
        link.stubborn = self._stage.rng.random() < 0.5
        for station, peer in ((self._stations[one], other), (self._stations[other], one)):
            if station.life == link.lives[station.number]:
                within_s = 0.1 if self._stage.calm else self._stage.rng.choice(NOTICED_S)
                station.at(self._stage.rng.uniform(0, within_s), station.link_down, peer, link)

    def break_links_of(self, server: int) -> None:
        for (lower, higher), link in self.links.items():
            if server in (lower, higher):
                self.break_link(lower, higher, link)

    # ---- ways

    def block(self, source: int, target: int) -> None:
        self.blocked[source, target] = None

    def heal(self) -> None:
        """The network is whole again; connections that lost something break."""
        self.blocked.clear()
        self.clogged_s.clear()
        for (lower, higher), link in self.links.items():
            if link.deaf:
                self.break_link(lower, higher, link)
