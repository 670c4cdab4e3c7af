"""What waits to be proposed, and what of it is kept decoded."""

from coord.codec.entries import decode_runs, encode_run
from coord.model.entries import Run
from coord.model.requests import Delete
from coord.paxos.messages import Forward
from coord.paxos.pending import Pending
from coord.paxos.proposer import Limits
from tests.paxos.protocol_group import Group, ensemble, make_participant


def forward_of(sequence: int, path: str = "/a") -> Forward:
    runs = encode_run(Run(1, 501, sequence, 0, 0, (), (Delete(path),)))
    return Forward(1, 1, runs, decode_runs(runs))


def three(limits: Limits) -> Group:
    return ensemble(*(make_participant(server, limits=limits) for server in (1, 2, 3)))


def test_what_is_gathered_is_in_its_order_and_read_as_it_is_encoded() -> None:
    pending = Pending()
    for sequence in range(5):
        pending.add(sequence % 2 + 1, forward_of(sequence))
    gathered = pending.gather(1 << 20)
    assert (gathered.count, gathered.origins, len(pending), pending.size_bytes) == (5, {1, 2}, 0, 0)
    assert gathered.read == decode_runs(gathered.runs)
    assert [run.sequence for run in gathered.read] == [0, 1, 2, 3, 4]


def test_a_forward_is_not_cut_and_the_rest_goes_on_waiting() -> None:
    pending = Pending()
    for sequence in range(3):
        pending.add(1, forward_of(sequence))
    one = len(forward_of(0).runs)
    assert pending.gather(one + 1).count == 2
    assert (len(pending), pending.size_bytes) == (1, one)


def test_a_batch_of_which_a_part_was_not_read_counts_as_unread() -> None:
    pending = Pending()
    pending.add(1, forward_of(1))
    pending.add(2, Forward(1, 1, forward_of(2).runs))
    gathered = pending.gather(1 << 20)
    assert not gathered.read
    assert len(decode_runs(gathered.runs)) == 2


def test_who_is_gone_has_nothing_waiting() -> None:
    pending = Pending()
    pending.add(1, forward_of(1))
    pending.add(2, forward_of(2, "/longer"))
    pending.forget(1)
    assert (len(pending), pending.size_bytes) == (1, len(forward_of(2, "/longer").runs))
    assert pending.gather(1 << 20).origins == {2}


def test_much_that_waits_is_not_kept_decoded() -> None:
    one = len(forward_of(0).runs)
    group = three(Limits(gathered_bytes=0, read_bytes_max=2 * one))
    leader = group[3]
    for sequence in range(5):
        forward = forward_of(sequence)
        assert leader.forward(1, forward.runs, forward.read)
        leader.propose(0, 0, 0, 0.0)
        group.take(3)
    batches = leader.log.after(leader.log.commit)
    assert batches is not None
    assert [len(batch.read) for batch in batches] == [1, 1, 1, 0, 0]
    group.settle()
    assert leader.log.commit == batches[-1].last
