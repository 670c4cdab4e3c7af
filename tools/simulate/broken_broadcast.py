"""Deliberate defects of the broadcast and of the disk: one function each, which changes the real code through a Patch.

`mutants.py` says within how many seeds each must be noticed, and by whom.
"""

from dataclasses import replace
from typing import Any

from coord.codec.batch import encode_batch
from coord.model.entries import Batch, epoch_of, zxid_of
from coord.paxos import participant
from coord.paxos import proposer as proposers
from coord.paxos.acceptor import Acceptor
from coord.paxos.canvass import Election
from coord.paxos.durable import Durable
from coord.paxos.effects import Append, SaveBallot
from coord.paxos.history import History
from coord.paxos.messages import Accept, Canvass, Commit, Heartbeat, Message, Prepare, Promise
from coord.paxos.participant import Participant
from coord.paxos.progress import Progress
from coord.paxos.proposer import PREPARING, Proposer
from coord.paxos.quorum import Majority
from coord.paxos.thrift import HELD_BATCHES_MAX, HELD_BYTES_MAX, Thrift
from coord.replica.ready import Ready
from coord.storage import survey
from coord.storage.errors import StorageFailure
from coord.storage.log import Log
from coord.storage.memory import MemoryDisk, MemoryFile
from tools.simulate.patch import Patch
from tools.simulate.servers import SimulatedServer

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
        ready.send_when_durable = ()
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


def commit_before_ones_own_disk_has_it(patch: Patch) -> None:
    """A follower that takes the word that others have it for a commit."""

    def advance(self: Acceptor) -> None:
        history = self._durable.history
        history.commit = max(history.commit, min(self._with_me, history.last))

    patch.attribute(Acceptor, "advance", advance)


def promise_a_commit_before_durable(patch: Patch) -> None:
    """A leader that counts what its own disk does not hold yet among the others that have it (T27)."""

    def committed_with(self: Proposer, peer: int, progress: Progress) -> int:
        return self._durable.history.last

    patch.attribute(Proposer, "_committed_with", committed_with)


def tell_more_than_the_disk_holds(patch: Patch) -> None:
    """A canvass with the log as memory has it (T11)."""

    def canvass(self: Participant) -> Any:
        return replace(good(self), last=self.log.last)

    good = Participant._canvass
    patch.attribute(Participant, "_canvass", canvass)


def skip_the_sync_of_a_folder(patch: Patch) -> None:
    """Names are not durable, though what they stand for is (T22)."""
    patch.attribute(MemoryDisk, "sync_folder", lambda self, folder: None)


def skip_the_sync_after_a_cut(patch: Patch) -> None:
    """What was cut off comes back after a power cut, be it in the last segment or in those removed (T13)."""

    def truncate(self: Log, to: int) -> None:
        patch_here = Patch()
        patch_here.attribute(MemoryFile, "sync", lambda self: None)
        patch_here.attribute(MemoryDisk, "sync_folder", lambda self, folder: None)
        try:
            good(self, to)
        finally:
            patch_here.undo()

    good = Log.truncate
    patch.attribute(Log, "truncate", truncate)


def go_on_after_a_failed_sync(patch: Patch) -> None:
    """An error of the disk is passed over, as if the next sync would make good for it (T21)."""

    def sync(self: MemoryFile) -> None:
        try:
            good(self)
        except StorageFailure:
            return

    good = MemoryFile.sync
    patch.attribute(MemoryFile, "sync", sync)


# ---- promises and epochs


def drop_the_promise(patch: Patch) -> None:
    def promise(self: Acceptor) -> None:
        history = self._durable.history
        self._reply(Promise(self.epoch, self._durable.ballot.accepted, history.last, history.ends))

    patch.attribute(Acceptor, "promise", promise)


def accept_an_old_epoch(patch: Patch) -> None:
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


def count_an_observer(patch: Patch) -> None:
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


# ---- for checkers that others come before


def skip_a_zxid(patch: Patch) -> None:
    """An epoch begins with its second counter."""
    good = zxid_of
    patch.attribute(proposers, "zxid_of", lambda epoch, counter: good(epoch, counter + 1))


def remember_another_batch_than_is_written(patch: Patch) -> None:
    """Memory and disk of a follower differ: what it commits is not what it has acknowledged."""

    def append(self: Durable, batch: Batch) -> None:
        other = batch
        if batch.encoded and batch.first % 5 == 0:
            other = replace(batch, time_ms=batch.time_ms + self.ballot.server, encoded=b"")
            encode_batch(other)
        self.history.append(other)
        self.output.steps.append(Append(batch))

    patch.attribute(Durable, "append", append)


def commit_nothing_of_older_epochs(patch: Patch) -> None:
    """A leader waits for a batch of its own to commit what came before, and gives it to everyone meanwhile (T44)."""

    def commit_to(self: Proposer, zxid: int) -> None:
        if epoch_of(zxid) == self.epoch:
            good(self, zxid)

    good = Proposer._commit_to
    patch.attribute(Proposer, "_commit_to", commit_to)


def lead_with_an_older_history(patch: Patch) -> None:
    """Who has the least is chosen, a promise that shows more is counted; and followers learn late of commits."""

    def choose(self: Election, mine: Canvass) -> bool:
        good_choose(self, mine)
        standings = {peer: said for peer, said in self.views.items() if said.voter and not said.leader}
        standings[self._me] = mine
        self.choice = min(standings, key=lambda server: (standings[server].last, server))
        return True

    def on_commit(self: Acceptor, said: Commit) -> None:
        if not self.serving:
            good_commit(self, said)

    good_choose, good_commit = Election.choose, Acceptor.on_commit
    forget_the_newer_history(patch)
    patch.attribute(Election, "choose", choose)
    patch.row(participant._TO_ACCEPTOR, Commit, on_commit)
    patch.row(participant._TO_ACCEPTOR, Heartbeat, lambda self, said: self.on_heartbeat(replace(said, commit=0)))


# ---- thrift


def count_a_spare_as_if_it_had_been_sent_everything(patch: Patch) -> None:
    """What is held back from a follower counts as durable with it."""

    def hold(self: Progress, batch: Batch) -> None:
        good(self, batch)
        self.match = batch.last

    good = Progress.hold
    patch.attribute(Progress, "hold", hold)


def tell_a_spare_of_commits_that_it_was_not_sent(patch: Patch) -> None:
    """A heartbeat, or a commit, does not wait for what is held back."""

    def heartbeat(self: Proposer) -> None:
        patch_here = Patch()
        patch_here.attribute(Proposer, "_send_all_held", lambda self: None)
        try:
            good_heartbeat(self)
        finally:
            patch_here.undo()

    def tell_commit(self: Proposer, peer: int, progress: Progress, with_peer: int) -> None:
        held, progress.held = progress.held, []
        good_tell(self, peer, progress, with_peer)
        progress.held = held

    good_heartbeat, good_tell = Proposer.heartbeat, Proposer._tell_commit
    patch.attribute(Proposer, "heartbeat", heartbeat)
    patch.attribute(Proposer, "_tell_commit", tell_commit)


def never_send_what_is_held_back(patch: Patch) -> None:
    patch.attribute(Proposer, "_send_held", lambda self, peer, progress: None)


def send_what_is_held_back_with_the_next_batch_only(patch: Patch) -> None:
    """If nobody writes any more, it never comes."""
    patch.attribute(Proposer, "_send_all_held", lambda self: None)


def send_the_newest_first_of_what_was_held_back(patch: Patch) -> None:
    good = Progress.take_held
    patch.attribute(Progress, "take_held", lambda self: good(self)[::-1])


def spare_so_many_that_no_quorum_is_left(patch: Patch) -> None:
    """Everybody without clients."""

    def spares(self: Thrift, batch: Batch, receivers: Any, *rest: Any) -> set[int]:
        return {peer for peer, progress in receivers if progress.can_wait_for(batch, HELD_BATCHES_MAX, HELD_BYTES_MAX)}

    patch.attribute(Thrift, "spares", spares)


def rely_on_whoever_follows(patch: Patch) -> None:
    """Strangers and observers too: some of the quorum is of those who do not vote."""

    def spares(self: Thrift, batch: Batch, receivers: Any, strangers: frozenset[int], *rest: Any) -> Any:
        voters, self._quorum.voters = self._quorum.voters, frozenset({self._me, *(peer for peer, _ in receivers)})
        try:
            return good(self, batch, receivers, frozenset(), *rest)
        finally:
            self._quorum.voters = voters

    good = Thrift.spares
    patch.attribute(Thrift, "spares", spares)


# ---- a damaged log


def take_rot_for_a_torn_write(patch: Patch) -> None:
    """What cannot be read at the log's end is cut off, whatever it was."""
    patch.attribute(survey, "_has_empty_sector", lambda window, start, end: True)
    patch.attribute(survey, "find_tail", lambda disk: None)


def forget_what_was_lost(patch: Patch) -> None:
    """A server on a damaged disk takes part as if its log had never gone further (PAR's Truncate)."""
    patch.attribute(Durable, "suspect", property(lambda self: 0))
    patch.attribute(Durable, "claimed", property(lambda self: self.history.durable))
    patch.attribute(Durable, "whole", property(lambda self: True))


def lead_with_a_damaged_log(patch: Patch) -> None:
    """Whoever promises counts, and a server leads though it cannot show all that it has acknowledged."""

    def on_promise(self: Proposer, peer: int, said: Promise, now: float) -> None:
        good(self, peer, replace(said, suspect=0), now)

    good = Proposer.on_promise
    patch.attribute(Proposer, "on_promise", on_promise)
    patch.attribute(Durable, "whole", property(lambda self: True))
