"""A server whose log was damaged, in the midst of the broadcast: what leaders make of it, and how it mends itself."""

from coord.codec.batch import encode_batch
from coord.model.entries import Batch, zxid_of
from coord.paxos.effects import Ballot
from coord.paxos.history import History
from coord.paxos.mending import Mending
from coord.paxos.messages import Canvass, Fetch, Fetched, Prepare, Promise, Truncate
from coord.paxos.messages import History as Given
from coord.paxos.participant import Participant, PaxosSettings
from tests.paxos.protocol_group import ends_of, ensemble, log_of, make_participant

VOTERS = frozenset({1, 2, 3})


def damaged(log: list[Batch], suspect: int, now: float = 0.0, remains: tuple[Batch, ...] = ()) -> Participant:
    """Server 1, which can read `log` of what went up to `suspect`; it has accepted epoch 1 of server 3."""
    ballot = Ballot(1, 1001, 77, promised=1, promised_to=3, accepted=1, suspect=suspect)
    return Participant(PaxosSettings(1, VOTERS, 77), ballot, History(0, log, ends_of(log), 0), now, remains)


def test_a_server_that_cannot_tell_what_it_lost_joins_the_leader_that_it_had() -> None:
    group = ensemble(make_participant(1), make_participant(2), make_participant(3))
    group.propose(3, 2)
    group.settle()
    for other in (2, 3):
        group.cut(1, other)
    group.members[1] = damaged([], suspect=zxid_of(2, 0) - 1, now=group.now)  # more than anybody has
    for other in (2, 3):
        group.connect(1, other)
    group.settle()
    assert group.sent(Promise, 1, 3)[-1].suspect == zxid_of(2, 0) - 1  # type: ignore[attr-defined]
    assert group[3].leads
    assert group[3].epoch == 1
    assert group[1].serving
    assert (group[1].ballot.suspect, group[1].log.last) == (0, group[3].log.last)


def test_who_got_more_than_it_had_lost_claims_nothing_any_more_though_that_is_cut_off_again() -> None:
    """Two leaders in turn, each of which dies before the history is complete here."""
    batches = log_of((1, 4))
    participant = damaged(batches[:1], suspect=batches[3].last)
    longer = [*batches[:1], *log_of((1, 1), (2, 3))[1:]]
    for leader, epoch, given in ((2, 3, longer[1:]), (3, 4, [])):
        participant.connected(leader, 0.0)
        participant.receive(leader, Prepare(epoch), 0.0)
        if not given:
            participant.receive(leader, Truncate(epoch, batches[0].last), 0.0)
        for batch in given:
            participant.receive(leader, Given(epoch, batch), 0.0)
        while output := participant.take():
            if output.serial:
                participant.durable(output.serial, 0.0)
        participant.disconnected(leader, 0.0)
    assert participant.log.last == batches[0].last
    participant.connected(2, 0.0)
    output = participant.take()
    assert output is not None
    said = [message for _, message in output.send_now if isinstance(message, Canvass)][-1]
    assert (said.last, said.whole) == (batches[0].last, True)


def test_who_was_cut_by_a_leader_that_died_still_claims_and_asks_for_what_it_had() -> None:
    batches = log_of((1, 6))
    participant = damaged(batches[:3], suspect=batches[5].last, remains=(batches[5],))
    participant.connected(2, 0.0)
    participant.receive(2, Prepare(2), 0.0)
    participant.receive(2, Truncate(2, batches[1].last), 0.0)
    output = participant.take()
    participant.durable(output.serial, 0.0)
    participant.disconnected(2, 0.0)
    participant.connected(3, 1.0)
    participant.tick(1.0)
    output = participant.take()
    asked = [message for _, message in output.send_now if isinstance(message, Fetch)]
    assert asked == [Fetch(batches[4].last, batches[1].last)]
    for batch in (batches[4], batches[3], batches[2]):
        assert participant.log.last == batches[1].last
        participant.receive(3, Fetched(batch), 1.0)
    assert (participant.log.last, participant.ballot.suspect) == (batches[5].last, 0)


def test_mending_looks_at_each_batch_a_few_times_however_many_are_missing() -> None:
    batches = log_of((1, 2000))
    for batch in batches:
        encode_batch(batch)
    mending, looked = Mending(batches[-1].last, batches[-500:]), 0

    class Counted(dict[int, Batch]):
        def get(self, key: int, default: Batch | None = None) -> Batch | None:  # type: ignore[override]
            nonlocal looked
            looked += 1
            return super().get(key, default)

    mending._pieces = Counted(mending._pieces)
    for batch in reversed(batches[:-500]):
        assert mending.add(batch, after=0)
    assert mending.missing(0) == 0
    assert mending.batches(0) == batches
    assert looked < 5 * len(batches)
