"""Deliberate defects of the real code. Each must be noticed within a stated number of seeds, or the checkers are blind.

A mutant changes the code of this process through a `Patch`, which takes everything back in the end. A new one is one
function and one row of the table at the end.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from coord.codec.batch import encode_batch
from coord.model.entries import Batch, Run
from coord.model.message import message
from coord.model.replies import Change, Effect, Reply, SessionOpened
from coord.model.requests import AttachSession, CloseSession, Connect, SetData, Write
from coord.paxos import participant
from coord.paxos.acceptor import Acceptor
from coord.paxos.canvass import Election
from coord.paxos.durable import Durable
from coord.paxos.effects import SaveBallot
from coord.paxos.history import History
from coord.paxos.messages import Accept, Commit, Heartbeat, Message, Prepare, Promise
from coord.paxos.participant import Participant
from coord.paxos.progress import Progress
from coord.paxos.proposer import PREPARING, Proposer
from coord.paxos.quorum import Majority
from coord.replica.clients import Clients
from coord.replica.forwards import Forwards
from coord.replica.liveness import Liveness
from coord.replica.pipeline import Pipeline
from coord.replica.ready import Ready
from coord.replica.watches import Watches
from coord.state.machine import Machine
from coord.storage.log import Log
from coord.storage.memory import MemoryFile
from tools.simulate.runs import tell
from tools.simulate.servers import SimulatedServer


@dataclass(slots=True)
class Patch:
    """Changes of attributes and table rows, taken back by `undo` in the opposite order."""

    _undo: list[Callable[[], None]] = field(default_factory=list)

    def attribute(self, owner: object, name: str, value: object) -> None:
        old = getattr(owner, name)
        self._undo.append(lambda: setattr(owner, name, old))
        setattr(owner, name, value)

    def row(self, table: dict[Any, Any], key: object, value: object) -> None:
        old = table[key]
        self._undo.append(lambda: table.__setitem__(key, old))
        table[key] = value

    def undo(self) -> None:
        while self._undo:
            self._undo.pop()()


@message
class Mutant:
    apply: Callable[[Patch], None]
    seeds: int  # within which it must be found

    @property
    def name(self) -> str:
        return self.apply.__name__


@contextmanager
def mutated(mutant: Mutant) -> Iterator[None]:
    patch = Patch()
    mutant.apply(patch)
    try:
        yield
    finally:
        patch.undo()


def hunt(mutant: Mutant, first_seed: int = 0) -> Iterator[str]:
    """Which checker noticed it, seed after seed; empty where none did."""
    with mutated(mutant):
        for seed in range(first_seed, first_seed + mutant.seeds):
            yield tell(seed).checker


def table(counts: dict[str, Counter[str]]) -> str:
    """Mutants down, checkers across, in how many seeds each noticed each."""
    checkers = sorted({checker for row in counts.values() for checker in row if checker})
    width = max(map(len, counts))
    lines = [" " * width + "".join(f" {checker:>10.10}" for checker in checkers) + "   unnoticed"]
    for name, row in counts.items():
        cells = "".join(f" {row[checker] or '.':>10}" for checker in checkers)
        lines.append(f"{name:<{width}}{cells}   {row['']} of {row.total()}")
    return "\n".join(lines)


# ---- what is durable


def skip_the_sync_of_the_log(patch: Patch) -> None:
    def sync(self: MemoryFile) -> None:
        if not self._name.startswith("log/"):
            good(self)

    good = MemoryFile.sync
    patch.attribute(MemoryFile, "sync", sync)


def trust_what_a_killed_process_left(patch: Patch) -> None:
    """A start does not make durable what it has read: as it once was."""

    def open_log(self: Log, *arguments: Any, **named: Any) -> None:
        patch_here = Patch()
        patch_here.attribute(MemoryFile, "sync", lambda self: None)
        try:
            good(self, *arguments, **named)
        finally:
            patch_here.undo()

    good = Log.__init__
    patch.attribute(Log, "__init__", open_log)


def acknowledge_before_durable(patch: Patch) -> None:
    def store(self: SimulatedServer, ready: Ready) -> None:
        for peer, said in ready.send_when_durable:
            self.send(peer, said)
        ready.send_when_durable = []
        good(self, ready)

    good = SimulatedServer._store
    patch.attribute(SimulatedServer, "_store", store)


def count_oneself_before_durable(patch: Patch) -> None:
    """A leader that counts what it has only given to its disk (T27)."""

    def positions(self: Proposer) -> dict[int, int]:
        found = good(self)
        return {**found, self._me: self._durable.history.last}

    good = Proposer._positions
    patch.attribute(Proposer, "_positions", positions)


def tell_more_than_the_disk_holds(patch: Patch) -> None:
    """A canvass with the log as memory has it (T11)."""

    def canvass(self: Participant) -> Any:
        return replace(good(self), last=self.log.last)

    good = Participant._canvass
    patch.attribute(Participant, "_canvass", canvass)


# ---- promises and epochs


def do_not_save_the_promise(patch: Patch) -> None:
    def promise(self: Acceptor) -> None:
        history = self._durable.history
        self._reply(Promise(self.epoch, self._durable.ballot.accepted, history.last, history.ends))

    patch.attribute(Acceptor, "promise", promise)


def forget_an_older_promise(patch: Patch) -> None:
    """Whoever asks is followed, and the ballot goes back if need be."""

    def save(self: Durable, **changes: int) -> None:
        self.ballot = replace(self.ballot, **changes)
        self.output.steps.append(SaveBallot(self.ballot))

    def on_prepare(self: Participant, peer: int, said: Prepare) -> None:
        self._become_following(peer, said.epoch)

    patch.attribute(Durable, "save", save)
    patch.row(participant._TO_PARTICIPANT, Prepare, on_prepare)


def use_an_epoch_twice(patch: Patch) -> None:
    """Until somebody refuses it."""
    good = Election.epoch_above
    patch.attribute(
        Election, "epoch_above", lambda self, promised: max(1, good(self, promised) - (not self.highest_promised))
    )


def believe_every_promise(patch: Patch) -> None:
    """Each of two promises of one server gets its stream of history, and the server takes both (as it once was)."""

    def on_promise(self: Proposer, peer: int, said: Promise, now: float) -> None:
        self._unanswered.pop(peer, None)
        good(self, peer, said, now)

    good = Proposer.on_promise
    patch.attribute(Proposer, "on_promise", on_promise)
    patch.attribute(Proposer, "expects_promise", lambda self, peer, promised: False)
    patch.attribute(Acceptor, "_require_history_open", lambda self, what: None)


def forget_the_newer_history(patch: Patch) -> None:
    """A proposer goes on though a promise has shown a newer history than its own, and anyone may lead."""

    def on_promise(self: Proposer, peer: int, said: Promise, now: float) -> None:
        if self.phase == PREPARING:
            self._unanswered.pop(peer, None)
            self.progress[peer] = Progress(said, heard_s=now)
        else:
            good(self, peer, said, now)

    good = Proposer.on_promise
    patch.attribute(Proposer, "on_promise", on_promise)
    patch.attribute(Election, "won", lambda self, now, reachable: now > self.since_s + 0.1)


# ---- who counts


def count_everybody(patch: Patch) -> None:
    """Observers, too (T42)."""
    patch.attribute(Majority, "has", lambda self, servers: len(set(servers)) >= self.needed)


def count_a_replaced_disk(patch: Patch) -> None:
    """A voter that came back with an empty folder votes again under its id (T25)."""
    patch.attribute(Participant, "set_strangers", lambda self, strangers: None)


# ---- the log


def take_batches_with_a_gap(patch: Patch) -> None:
    """A leader leaves out a batch now and then, and nobody minds (T8)."""

    def append(self: Acceptor, said: Accept) -> None:
        if said.batch.last > self._durable.history.last:
            self._durable.append(said.batch)

    def append_anyhow(self: History, batch: Batch) -> None:
        good_append(self, replace(batch, previous=self.last))

    def send(self: Proposer, peer: int, said: Message) -> None:
        if not isinstance(said, Accept) or said.batch.first % 7:
            good_send(self, peer, said)

    good_append, good_send = History.append, Proposer._send
    patch.attribute(Acceptor, "_append", append)
    patch.attribute(History, "append", append_anyhow)
    patch.attribute(Proposer, "_send", send)


def write_another_batch_than_was_sent(patch: Patch) -> None:
    """A follower encodes anew what it received, and its clock gets into it: logs differ where they should be equal."""

    def append(self: Acceptor, said: Accept) -> None:
        if said.batch.first % 5 == 0:
            changed = replace(said.batch, time_ms=said.batch.time_ms + self._durable.ballot.server, encoded=b"")
            encode_batch(changed)
            said = replace(said, batch=changed)
        good(self, said)

    good = Acceptor._append
    patch.attribute(Acceptor, "_append", append)


# ---- the state


def apply_before_commit(patch: Patch) -> None:
    def on_accept(self: Acceptor, said: Accept) -> None:
        good(self, said)
        self.learn_commit(said.batch.last)

    good = Acceptor.on_accept
    patch.row(participant._TO_ACCEPTOR, Accept, on_accept)


def apply_by_ones_own_clock(patch: Patch) -> None:
    """Something that is not in the entry decides what it does (T30)."""

    def apply(
        self: Machine, zxid: int, time_ms: int, run: Run, request: Write, effects: list[Effect], number: int = 0
    ) -> Reply:
        return good(self, zxid, time_ms + next(ticks) % 2, run, request, effects, number)

    good, ticks = Machine.apply, count()
    patch.attribute(Machine, "apply", apply)


def forget_an_ephemeral(patch: Patch) -> None:
    """Its session ends, and it stays (T32)."""

    def apply(
        self: Machine, zxid: int, time_ms: int, run: Run, request: Write, effects: list[Effect], number: int = 0
    ) -> Reply:
        if isinstance(request, CloseSession):
            session = self.sessions.get(request.session or run.session)
            if session is not None and session.ephemerals:
                session.ephemerals.popitem()
        return good(self, zxid, time_ms, run, request, effects, number)

    good = Machine.apply
    patch.attribute(Machine, "apply", apply)


# ---- sessions, requests, watches


def forward_everything_again(patch: Patch) -> None:
    """Without a look at the new history, to a machine that does not notice (T33)."""
    good = Forwards.resubmit_after
    patch.attribute(Forwards, "resubmit_after", lambda self, sequence: good(self, 0))
    patch.attribute(Machine, "admit", lambda self, run: True)


def let_sessions_expire_early(patch: Patch) -> None:
    """Counted from the leader's start, or from what it heard, but not for the whole timeout (T31)."""
    good = Liveness.overdue
    patch.attribute(Liveness, "overdue", lambda self, now: good(self, now + 0.6))


def ignore_what_the_client_has_seen(patch: Patch) -> None:
    """A lagging server lets in a client that has seen more, and without a word to the others (T36)."""

    def open_session(self: Clients, pipeline: Pipeline, connect: Connect) -> None:
        good_open(self, pipeline, replace(connect, seen_zxid=0))

    def go_on(self: Clients, pipeline: Pipeline, connect: Connect) -> None:
        session = self.brain.machine.sessions.get(connect.session)
        if session is None or session.password != connect.password:
            good_go_on(self, pipeline, connect)
            return
        attach = AttachSession(session.id, session.password, session.timeout_ms)
        self._opened(pipeline, attach, SessionOpened(session.id, session.password, session.timeout_ms))

    good_open, good_go_on = Clients.open, Clients._go_on
    patch.attribute(Clients, "open", open_session)
    patch.attribute(Clients, "_go_on", go_on)


def answer_a_sync_from_the_own_state(patch: Patch) -> None:
    """Whatever the leader has committed meanwhile (T37)."""

    def ask_barrier(self: Participant, ticket: int) -> bool:
        self._barriers.append((ticket, 0))
        return True

    patch.attribute(Participant, "ask_barrier", ask_barrier)


def apply_a_write_and_tell_of_another(patch: Patch) -> None:
    """The error of one is what its successor is told."""

    def answer(self: Clients, pipeline: Pipeline, request: Write, reply: Reply) -> None:
        if isinstance(request, SetData) and pipeline.session:
            reply, last[pipeline] = last.get(pipeline, reply), reply
        good(self, pipeline, request, reply)

    good = Clients.answer_write
    last: dict[Pipeline, Reply] = {}
    patch.attribute(Clients, "answer_write", answer)


def deliver_events_late(patch: Patch) -> None:
    """One change later, behind replies that show what they tell of (T35)."""
    held: dict[int, list[tuple[object, int, str, Any]]] = {}

    def fire(self: Watches, change: Change) -> list[tuple[object, int, str, Any]]:
        now = good(self, change)
        before, held[id(self)] = held.get(id(self), []), now
        return before

    good = Watches.fire
    patch.attribute(Watches, "fire", fire)


# ---- coming to rest


def follow_without_hearing_of_commits(patch: Patch) -> None:
    """Only what the next batch says counts: the last one stays uncommitted on every follower."""

    def on_commit(self: Acceptor, said: Commit) -> None:
        if not self.serving:
            good(self, said)

    good = Acceptor.on_commit
    patch.row(participant._TO_ACCEPTOR, Commit, on_commit)
    patch.row(participant._TO_ACCEPTOR, Heartbeat, answer_only)


def answer_only(acceptor: Acceptor, said: Heartbeat) -> None:
    acceptor.on_heartbeat(replace(said, commit=0))


def never_answer_a_sync(patch: Patch) -> None:
    patch.attribute(Clients, "barrier_passed", lambda self, ticket, zxid: None)


def never_invite_a_latecomer(patch: Patch) -> None:
    """Who was not there when a leader prepared is left alone until the next one."""
    patch.attribute(Proposer, "invite", lambda self, peer: None)


def elect_nobody_twice(patch: Patch) -> None:
    """Who has promised an epoch after the first does not try to lead any more."""

    def become_preparing(self: Participant) -> None:
        if self.ballot.promised < 2:
            good(self)

    good = Participant._become_preparing
    patch.attribute(Participant, "_become_preparing", become_preparing)


MUTANTS: list[Mutant] = [
    Mutant(skip_the_sync_of_the_log, 10),
    Mutant(trust_what_a_killed_process_left, 60),
    Mutant(acknowledge_before_durable, 10),
    Mutant(count_oneself_before_durable, 40),
    Mutant(tell_more_than_the_disk_holds, 40),
    Mutant(do_not_save_the_promise, 10),
    Mutant(forget_an_older_promise, 20),
    Mutant(use_an_epoch_twice, 20),
    Mutant(believe_every_promise, 40),
    Mutant(forget_the_newer_history, 40),
    Mutant(count_everybody, 40),
    Mutant(count_a_replaced_disk, 60),
    Mutant(take_batches_with_a_gap, 10),
    Mutant(write_another_batch_than_was_sent, 10),
    Mutant(apply_before_commit, 10),
    Mutant(apply_by_ones_own_clock, 5),
    Mutant(forget_an_ephemeral, 10),
    Mutant(forward_everything_again, 20),
    Mutant(let_sessions_expire_early, 30),
    Mutant(ignore_what_the_client_has_seen, 30),
    Mutant(answer_a_sync_from_the_own_state, 20),
    Mutant(apply_a_write_and_tell_of_another, 10),
    Mutant(deliver_events_late, 10),
    Mutant(follow_without_hearing_of_commits, 10),
    Mutant(never_answer_a_sync, 10),
    Mutant(never_invite_a_latecomer, 10),
    Mutant(elect_nobody_twice, 20),
]
"""Each with the number of seeds, from 0 on, within which it must be found."""
