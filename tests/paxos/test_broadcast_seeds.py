"""Whole ensembles under faults, one a seed; and deliberate defects, each of which must turn them red."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from coord.model.entries import Batch
from coord.paxos import participant
from coord.paxos.acceptor import Acceptor
from coord.paxos.canvass import Election
from coord.paxos.history import History
from coord.paxos.messages import Accept, Message, Promise
from coord.paxos.progress import Progress
from coord.paxos.proposer import PREPARING, Proposer
from coord.paxos.quorum import Majority
from coord.replica.forwards import Forwards
from coord.replica.ready import Ready
from coord.state.machine import Machine
from tools.simulate.runs import tell
from tools.simulate.situations import SEEDS_ENOUGH, missing
from tools.simulate.world import SimulatedServer, World

_situations: Counter[str] = Counter()
_seeds_run: list[int] = []


def test_whatever_happens_the_ensemble_keeps_its_word_and_comes_together_again(broadcast_seed: int) -> None:
    story = tell(broadcast_seed)
    if story.report:
        pytest.fail(story.report)
    _situations.update(story.situations)
    _seeds_run.append(broadcast_seed)


def test_the_seeds_have_met_all_that_they_are_meant_to_meet() -> None:
    if len(_seeds_run) < SEEDS_ENOUGH:
        pytest.skip(f"only {len(_seeds_run)} seeds were run; {SEEDS_ENOUGH} are needed to meet everything")
    assert missing(_situations, len(_seeds_run)) == []


def test_the_same_seed_tells_the_same_story() -> None:
    first, second = World(7), World(7)
    first.run()
    second.run()
    assert (first.trace, first.events) == (second.trace, second.events)


# ---- deliberate defects


def acknowledge_before_durable(patch: pytest.MonkeyPatch) -> None:
    def store(self: SimulatedServer, ready: Ready) -> None:
        for peer, message in ready.send_when_durable:
            self.send(peer, message)
        ready.send_when_durable = []
        good(self, ready)

    good = SimulatedServer._store
    patch.setattr(SimulatedServer, "_store", store)


def do_not_save_the_promise(patch: pytest.MonkeyPatch) -> None:
    def promise(self: Acceptor) -> None:
        history = self._durable.history
        self._reply(Promise(self.epoch, self._durable.ballot.accepted, history.last, history.ends))

    patch.setattr(Acceptor, "promise", promise)


def count_everybody(patch: pytest.MonkeyPatch) -> None:
    """Observers, too (T42)."""
    patch.setattr(Majority, "has", lambda self, servers: len(set(servers)) >= self.needed)


def take_batches_with_a_gap(patch: pytest.MonkeyPatch) -> None:
    """A leader leaves out a batch now and then, and nobody minds (T8)."""

    def append(self: Acceptor, message: Accept) -> None:
        if message.batch.last > self._durable.history.last:
            self._durable.append(message.batch)

    def append_anyhow(self: History, batch: Batch) -> None:
        good_append(self, replace(batch, previous=self.last))

    def send(self: Proposer, peer: int, message: Message) -> None:
        if not isinstance(message, Accept) or message.batch.first % 7:
            good_send(self, peer, message)

    good_append, good_send = History.append, Proposer._send
    patch.setattr(Acceptor, "_append", append)
    patch.setattr(History, "append", append_anyhow)
    patch.setattr(Proposer, "_send", send)


def apply_before_commit(patch: pytest.MonkeyPatch) -> None:
    def on_accept(self: Acceptor, message: Accept) -> None:
        good(self, message)
        self.learn_commit(message.batch.last)

    good = Acceptor.on_accept
    patch.setitem(participant._TO_ACCEPTOR, Accept, on_accept)


def forward_everything_again(patch: pytest.MonkeyPatch) -> None:
    """Without a look at the new history, to a machine that does not notice."""
    good = Forwards.resubmit_after
    patch.setattr(Forwards, "resubmit_after", lambda self, sequence: good(self, 0))
    patch.setattr(Machine, "admit", lambda self, run: True)


def use_an_epoch_twice(patch: pytest.MonkeyPatch) -> None:
    """Until somebody refuses it."""
    good = Election.epoch_above
    patch.setattr(
        Election, "epoch_above", lambda self, promised: max(1, good(self, promised) - (not self.highest_promised))
    )


def believe_every_promise(patch: pytest.MonkeyPatch) -> None:
    """Each of two promises of one server gets its stream of history, and the server takes both (as it once was)."""

    def on_promise(self: Proposer, peer: int, message: Promise, now: float) -> None:
        self._unanswered.pop(peer, None)
        good(self, peer, message, now)

    good = Proposer.on_promise
    patch.setattr(Proposer, "on_promise", on_promise)
    patch.setattr(Proposer, "expects_promise", lambda self, peer, promised: False)
    patch.setattr(Acceptor, "_require_history_open", lambda self, what: None)


def forget_the_newer_history(patch: pytest.MonkeyPatch) -> None:
    """A proposer goes on though a promise has shown a newer history than its own, and anyone may lead."""

    def on_promise(self: Proposer, peer: int, message: Promise, now: float) -> None:
        if self.phase == PREPARING:
            self._unanswered.pop(peer, None)
            self.progress[peer] = Progress(message, heard_s=now)
        else:
            good(self, peer, message, now)

    good = Proposer.on_promise
    patch.setattr(Proposer, "on_promise", on_promise)
    patch.setattr(Election, "won", lambda self, now, reachable: now > self.since_s + 0.1)


DEFECTS: list[tuple[Callable[[pytest.MonkeyPatch], None], int]] = [
    (acknowledge_before_durable, 5),
    (do_not_save_the_promise, 5),
    (count_everybody, 40),
    (take_batches_with_a_gap, 5),
    (apply_before_commit, 5),
    (forward_everything_again, 20),
    (use_an_epoch_twice, 10),
    (believe_every_promise, 20),
    (forget_the_newer_history, 30),
]
"""Each with the number of seeds within which it must be found."""


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as context:
        yield context


@pytest.mark.parametrize(("defect", "seeds"), DEFECTS, ids=[defect.__name__ for defect, _ in DEFECTS])
def test_a_deliberate_defect_is_found(
    defect: Callable[[pytest.MonkeyPatch], None], seeds: int, patch: pytest.MonkeyPatch
) -> None:
    defect(patch)
    for seed in range(seeds):
        try:
            World(seed).run()
        except Exception:
            return
    pytest.fail(f"{seeds} seeds did not notice")
