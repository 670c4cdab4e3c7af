"""kazoo: several writes in one transaction, all or none."""

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError, RolledBackError, RuntimeInconsistency


def test_a_transaction_does_all_its_parts_at_one_zxid(kazoo: KazooClient, root: str) -> None:
    kazoo.create(f"{root}/old", b"")
    transaction = kazoo.transaction()
    transaction.check(root, version=0)
    transaction.create(f"{root}/a", b"data")
    transaction.set_data(root, b"changed")
    transaction.delete(f"{root}/old")
    results = transaction.commit()
    assert results[0] is True
    assert results[1] == f"{root}/a"
    assert results[2].version == 1
    assert results[3] is True
    assert kazoo.get_children(root) == ["a"]
    zxids = {kazoo.exists(f"{root}/a").czxid, kazoo.exists(root).mzxid, kazoo.exists(root).pzxid}
    assert len(zxids) == 1


def test_a_part_sees_what_the_parts_before_it_did(kazoo: KazooClient, root: str) -> None:
    transaction = kazoo.transaction()
    transaction.create(f"{root}/a", b"")
    transaction.create(f"{root}/a/b", b"")
    transaction.set_data(f"{root}/a/b", b"1", version=0)
    transaction.check(f"{root}/a/b", version=1)
    transaction.delete(f"{root}/a/b", version=1)
    results = transaction.commit()
    assert not any(isinstance(result, Exception) for result in results)
    assert kazoo.get_children(f"{root}/a") == []


def test_a_failing_part_undoes_all_and_tells_which_failed(kazoo: KazooClient, root: str) -> None:
    before = kazoo.exists(root)
    transaction = kazoo.transaction()
    transaction.create(f"{root}/a", b"")
    transaction.set_data(root, b"never")
    transaction.delete(f"{root}/missing")
    transaction.create(f"{root}/b", b"")
    results = transaction.commit()
    assert [type(result) for result in results] == [
        RolledBackError,
        RolledBackError,
        NoNodeError,
        RuntimeInconsistency,
    ]
    assert kazoo.exists(root) == before


def test_a_failing_check_stops_the_transaction(kazoo: KazooClient, root: str) -> None:
    transaction = kazoo.transaction()
    transaction.check(root, version=7)
    transaction.set_data(root, b"never")
    results = transaction.commit()
    assert [type(result) for result in results] == [BadVersionError, RuntimeInconsistency]
    assert kazoo.get(root)[0] == b""


def test_a_transaction_may_make_ephemeral_and_sequential_znodes(kazoo: KazooClient, root: str) -> None:
    transaction = kazoo.transaction()
    transaction.create(f"{root}/s-", b"", sequence=True)
    transaction.create(f"{root}/e-", b"", ephemeral=True, sequence=True)
    assert transaction.commit() == [f"{root}/s-0000000000", f"{root}/e-0000000001"]
    assert kazoo.exists(f"{root}/e-0000000001").ephemeralOwner == kazoo.client_id[0]


def test_a_sequence_number_taken_by_a_failed_transaction_is_given_again(kazoo: KazooClient, root: str) -> None:
    transaction = kazoo.transaction()
    transaction.create(f"{root}/s-", b"", sequence=True)
    transaction.create(root, b"")
    assert [type(result) for result in transaction.commit()] == [RolledBackError, NodeExistsError]
    assert kazoo.create(f"{root}/s-", b"", sequence=True) == f"{root}/s-0000000000"


def test_an_empty_transaction_is_legal(kazoo: KazooClient) -> None:
    assert kazoo.transaction().commit() == []
