"""Deliberate defects above the broadcast (the state, sessions, requests, watches), and some that keep it from its rest.

One function each, which changes the real code through a Patch. `mutants.py` says within how many seeds each must be
noticed, and by whom.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from coord.codec.jute import Call
from coord.model.entries import Run
from coord.model.replies import Change, Effect, Event, Reply, SessionOpened
from coord.model.requests import AttachSession, CloseSession, Connect, GetData, SetData, Write
from coord.paxos import participant
from coord.paxos.acceptor import Acceptor
from coord.paxos.messages import Accept, Commit, Heartbeat
from coord.paxos.participant import Participant
from coord.paxos.proposer import Proposer
from coord.replica.answers import ANSWERS
from coord.replica.clients import Clients
from coord.replica.forwards import Forwards
from coord.replica.liveness import Liveness
from coord.replica.pipeline import Pipeline
from coord.replica.ready import Ready
from coord.replica.replica import Replica
from coord.replica.watches import Watches
from coord.state.machine import Machine
from coord.state.snapshot import Restoring
from tools.simulate.patch import Patch

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


def apply_what_is_not_committed(patch: Patch) -> None:
    """All that is in the log (T15)."""

    def apply_committed(self: Replica) -> None:
        commit = self.participant.log.commit
        self.participant.log.commit = self.participant.log.last
        try:
            good(self)
        finally:
            self.participant.log.commit = commit

    good = Replica._apply_committed
    patch.attribute(Replica, "_apply_committed", apply_committed)


def forget_in_a_snapshot_who_forwarded_what(patch: Patch) -> None:
    """Which is not in the digest: a request that comes twice would be done twice after a restart."""

    def finish(self: Restoring) -> Machine:
        machine = good(self)
        machine.origins.clear()
        return machine

    good = Restoring.finish
    patch.attribute(Restoring, "finish", finish)


# ---- sessions, requests, watches


def resend_without_deduplication(patch: Patch) -> None:
    """Without a look at the new history, to a machine that does not notice (T33)."""
    good = Forwards.resubmit_after
    patch.attribute(Forwards, "resubmit_after", lambda self, sequence: good(self, 0))
    patch.attribute(Machine, "admit", lambda self, run: True)


def let_a_session_expire_early(patch: Patch) -> None:
    """Counted from the leader's start, or from what it heard, but not for the whole timeout (T31)."""
    good = Liveness.overdue
    patch.attribute(Liveness, "overdue", lambda self, now: good(self, now + 0.6))


def ignore_the_last_zxid_seen(patch: Patch) -> None:
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


def answer_a_sync_by_what_the_leader_has_committed(patch: Patch) -> None:
    """Though a follower may have committed more, and shown it."""

    def end_round(self: Proposer) -> None:
        self._told = 0
        good(self)

    good = Proposer._end_round
    patch.attribute(Proposer, "_end_round", end_round)


def apply_a_write_and_tell_of_another(patch: Patch) -> None:
    """The error of one is what its successor is told."""

    def answer(self: Clients, pipeline: Pipeline, request: Write, reply: Reply) -> None:
        if isinstance(request, SetData) and pipeline.session:
            reply, last[pipeline] = last.get(pipeline, reply), reply
        good(self, pipeline, request, reply)

    good = Clients.answer_write
    last: dict[Pipeline, Reply] = {}
    patch.attribute(Clients, "answer_write", answer)


def swap_two_writes_of_a_session(patch: Patch) -> None:
    def forward(self: Clients, pipeline: Pipeline, session: int, requests: tuple[Write, ...], number: int = 0) -> None:
        good(self, pipeline, session, requests[::-1], number)

    good = Clients.forward
    patch.attribute(Clients, "forward", forward)


def let_a_read_overtake_its_sessions_write(patch: Patch) -> None:
    """Nobody has to wait for the leader to read (T40)."""

    def submit(self: Clients, pipeline: Pipeline, calls: Sequence[Call]) -> None:
        reads = [call for call in calls if pipeline.session and type(call.request) is GetData]
        good(self, pipeline, [call for call in calls if call not in reads])
        for call in reads:
            if not pipeline.gone:
                ANSWERS[GetData](self.brain, pipeline, call)
                self._dirty[pipeline] = None

    good = Clients.submit
    patch.attribute(Clients, "submit", submit)


def forget_a_watch(patch: Patch) -> None:
    """Of a change now and then nobody is told (T34)."""

    def fire(self: Watches, change: Change) -> list[tuple[object, int, str, Any]]:
        told = good(self, change)
        return [] if next(changes) % 5 == 0 else told

    good, changes = Watches.fire, count()
    patch.attribute(Watches, "fire", fire)


def tell_of_an_event_twice(patch: Patch) -> None:
    good = Watches.fire
    patch.attribute(Watches, "fire", lambda self, change: good(self, change) * 2)


def tell_a_wrong_zxid_with_an_event(patch: Patch) -> None:
    def deliver(self: Clients, pipeline: Pipeline, event: Event) -> None:
        good(self, pipeline, replace(event, zxid=event.zxid - 1))

    good = Clients.deliver_event
    patch.attribute(Clients, "deliver_event", deliver)


def deliver_an_event_late(patch: Patch) -> None:
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


def say_that_is_all_with_every_message(patch: Patch) -> None:
    """What is committed with it waits for the next input."""

    def take(self: Replica, now: float, wall_ms: int) -> Ready | None:
        ready = good(self, now, wall_ms)
        if ready is not None:
            ready.last = ready.last or bool(ready.send_now)
        return ready

    good = Replica.take
    patch.attribute(Replica, "take", take)
