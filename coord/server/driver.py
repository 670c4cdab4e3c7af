"""The one place where what the replica decides becomes an effect.

Inputs are fed as they come; then one pump takes the output and performs it, in the order of its fields. Everyone who
was ready in one turn of the event loop has fed before the pump runs, so that a turn's requests share a batch, a
write and a send ("feed, feed, feed, pump once"). Whoever feeds as the last of a turn pumps at once; else the pump's own
task does in the next turn.
"""

import time
from collections.abc import Callable
from itertools import groupby
from operator import itemgetter
from typing import Protocol

import trio

from coord.codec.peer import encode
from coord.model.histogram import Histogram
from coord.paxos.durable import FetchRequest, StreamRequest
from coord.paxos.messages import Message
from coord.paxos.participant import LEADING
from coord.replica.pipeline import Pipeline
from coord.replica.ready import Ready
from coord.replica.replica import Replica
from coord.server.log_lines import EventLog
from coord.server.turn import Turn
from coord.storage.writer import Writer

LONG_PUMP_S = 0.02
"""After so long the pump lets the other tasks run before it goes on."""

STOPPED_S = 0.3
"""A tick so late shows that this process did not run: it cannot judge who was silent meanwhile."""

STOPPED_AGAIN_S = 5.0
"""So long that does not count again: who never gets to run must still find out that the leader is gone."""


_RECEIVER = itemgetter(0)


def wall_ms() -> int:
    """Unix time in milliseconds, for the timestamps of znodes only: timeouts never depend on it."""
    return time.time_ns() // 1_000_000


class Link(Protocol):
    """A connected peer, as the driver uses it."""

    def send(self, frame: bytes) -> None: ...
    def hang_up(self, why: str) -> None: ...
    @property
    def bytes_waiting(self) -> int:
        """What it has not taken yet."""


class Client(Protocol):
    """A connected client, as the driver uses it."""

    def deliver(self, frames: bytes) -> None: ...
    def hang_up(self, why: str) -> None: ...


class Driver:
    """Owns the replica; everything else feeds it through here."""

    def __init__(self, replica: Replica, writer: Writer, log: EventLog, wall_ms: Callable[[], int] = wall_ms) -> None:
        self.replica = replica
        self.turn = Turn()
        self.wall_ms = wall_ms
        self.links: dict[int, Link] = {}
        self.clients: dict[int, Client] = {}
        self.stream: Callable[[StreamRequest], None] = _nobody_streams
        self.fetch: Callable[[FetchRequest], None] = _nobody_streams
        self.now_s = trio.lowlevel.current_clock().current_time  # trio.current_time(), by two calls less
        self.started_s = self.now_s()
        self.due_s = self.started_s  # when the next tick is, or was, to come
        self.leading_since_s: float | None = None  # when this server began to lead; None while another does, or none
        self.wrote = False  # a pump has waited for the disk: more may have come meanwhile. Reset by who looks
        self.delays = Histogram()  # of ticks: how late the loop came to them
        self._writer = writer
        self._log = log
        self._pumped: trio.Event | None = None
        self._parked: trio.lowlevel.Task | None = None
        self._fed = True
        self._pumping = False  # within _pump
        self._failure: Exception | None = None  # of a pump: nothing is taken or performed any more
        self._last_message: Message | None = None  # an Accept goes to every follower: it is encoded once
        self._last_frame = b""

    # ---- feeding

    def feed(self) -> None:
        """Something was put into the replica: have the pump run in the next turn."""
        self._fed = True
        if self._parked is not None:
            task, self._parked = self._parked, None
            trio.lowlevel.reschedule(task)

    def feed_at_last(self) -> None:
        """The same; and if nobody else is to run in this turn, the pump runs now: a turn more costs a write 30 us.

        To be called where the caller has nothing left to do but wait.
        """
        pump_is_ready = self._parked is None
        if self.turn.tasks_ready > pump_is_ready:
            self.feed()
            return
        try:
            self._pump()
        except Exception:  # the pump's own task has to end by it, and not a reader
            self.feed()
        else:
            if self._fed:
                self.feed()

    def submitted(self, pipeline: Pipeline, client: Client) -> None:
        """Requests of a client were put into the replica. Answer what waits for nobody at once, and leave the rest to
        the pump: it costs a read or a ping as much as all else together.

        To be called where the caller has nothing left to do but wait.
        """
        if self._failure is not None:
            return  # what the failure has left half done is shown to nobody
        clients = self.replica.clients
        frames = clients.take_answers(pipeline)
        if frames is None:
            self.feed_at_last()
            return
        if frames:
            client.deliver(frames)
        if clients.latencies.answered:
            clients.latencies.delivered(clients.latencies.take_answered(), self.now_s())

    def answered_ping(self, pipeline: Pipeline, client: Client) -> bool:
        """A PING came alone: whether it could be answered without all that."""
        if self._failure is not None:
            return False
        frame = self.replica.clients.answer_ping(pipeline)
        if frame is None:
            return False
        client.deliver(frame)
        return True

    # ---- running

    async def run_pump(self) -> None:
        with self.turn.watched():
            while True:
                while self._fed:
                    self._pump()
                    if self._fed:  # others get their turn in between
                        await trio.lowlevel.checkpoint()
                await self._wait_fed()

    async def wait_pumped(self) -> None:
        """Until the pump has run once more."""
        if self._pumped is None:
            self._pumped = trio.Event()
        await self._pumped.wait()

    async def run_ticks(self, interval_s: float) -> None:
        """Let the replica know that time passes."""
        due = self.due_s = self.now_s()
        excused_until_s = 0.0
        while True:
            now = self.now_s()
            self.delays.note(now - due)
            if now - due > STOPPED_S and now > excused_until_s:
                self.replica.was_stopped(now)
                excused_until_s = now + STOPPED_AGAIN_S
            self.replica.tick(self.now_s(), self.wall_ms())
            self._stamp_log()
            self._note_leadership(now)
            due = self.due_s = max(due + interval_s, self.now_s())
            self.feed_at_last()
            await trio.sleep_until(due)

    def _stamp_log(self) -> None:
        """Each line tells how far the disk is: after a restart that is known before anything is applied."""
        participant = self.replica.participant
        self._log.epoch, self._log.zxid = participant.epoch, participant.log.durable

    def _note_leadership(self, now: float) -> None:
        if self.replica.participant.role != LEADING:
            self.leading_since_s = None
        elif self.leading_since_s is None and self.replica.participant.leads:
            self.leading_since_s = now

    async def _wait_fed(self) -> None:
        self._parked = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, raise_cancel: object) -> trio.lowlevel.Abort:
        self._parked = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _pump(self) -> None:
        """Take and perform until there is nothing, or for LONG_PUMP_S.

        Afterwards `_fed` tells whether there is more: if it took too long, or if what was performed has fed the replica
        itself (a client whose answers have left gets its next ones).
        """
        if self._failure is not None:
            raise self._failure
        self._fed = False
        self._pumping = True
        try:
            done = self._take_and_perform()
        except Exception as failure:
            self._failure = failure
            raise
        self._pumping = False
        if not done:
            self._fed = True
        elif self._pumped is not None:
            self._pumped.set()
            self._pumped = None

    def _take_and_perform(self) -> bool:
        """Whether there is nothing more."""
        replica = self.replica
        began = now = self.now_s()
        while (ready := replica.take(now, self.wall_ms())) is not None:
            self._perform(ready)
            if ready.last:
                break
            now = self.now_s()
            if now - began > LONG_PUMP_S:
                return False
        return True

    # ---- performing

    def _perform(self, ready: Ready) -> None:
        """Do what the replica decided. The order of these lines is the order of durability."""
        links = self.links
        for peer, said in groupby(ready.send_now, _RECEIVER):
            link = links.get(peer)
            if link is not None:
                link.send(b"".join([self._encode(message) for _, message in said]))
        if ready.serial:
            self._store(ready)
        for request in ready.stream:
            self.stream(request)
        for fetch in ready.fetches:
            self.fetch(fetch)
        for peer, why in ready.break_peers:
            if peer in links:
                links[peer].hang_up(why)
        clients = self.clients
        for connection, frames in ready.deliver:
            client = clients.get(connection)
            if client is not None:
                client.deliver(frames)
        for connection, why in ready.hang_up:
            client = clients.get(connection)
            if client is not None:
                client.hang_up(why)
        if ready.answered:
            self.replica.clients.latencies.delivered(ready.answered, self.now_s())
        if ready.notes:
            self._stamp_log()
            for note in ready.notes:
                self._log.info(note)

    def _store(self, ready: Ready) -> None:
        # To the links as they are now: a peer that reconnects meanwhile is told anew, not what was meant for before.
        later = [(self.links[peer], message) for peer, message in ready.send_when_durable if peer in self.links]
        serial = ready.serial

        def when_durable() -> None:
            for link, message in later:
                link.send(self._encode(message))
            self.replica.durable(serial, self.now_s())
            if self._pumping:
                self.wrote = True  # and the pump goes on by itself
            else:
                self.feed()

        self._writer.submit(ready.steps, when_durable)

    def _encode(self, message: Message) -> bytes:
        if message is not self._last_message:
            self._last_message, self._last_frame = message, encode(message)
        return self._last_frame


def _nobody_streams(request: StreamRequest | FetchRequest) -> None:
    raise AssertionError("the driver was not given anyone to stream")
