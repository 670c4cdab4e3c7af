"""kazoo: who may do what."""

from collections.abc import Callable

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError, InvalidACLError, NoAuthError
from kazoo.security import (
    CREATOR_ALL_ACL,
    OPEN_ACL_UNSAFE,
    READ_ACL_UNSAFE,
    make_acl,
    make_digest_acl,
    make_digest_acl_credential,
)

SUPER_CREDENTIALS = "super:admin"  # the fixtures start the servers with its digest


@pytest.fixture
def stranger(connect_kazoo: Callable[..., KazooClient], root: str) -> KazooClient:
    client = connect_kazoo(2)
    client.sync(root)
    return client


@pytest.fixture
def ann(connect_kazoo: Callable[..., KazooClient], root: str) -> KazooClient:
    client = connect_kazoo(1, auth_data=[("digest", "ann:secret")])
    client.sync(root)
    return client


def test_without_an_acl_a_znode_is_open_to_all(kazoo: KazooClient, root: str) -> None:
    kazoo.create(f"{root}/a", b"")
    assert kazoo.get_acls(f"{root}/a")[0] == OPEN_ACL_UNSAFE


def test_an_acl_is_returned_as_it_was_set_and_counts_in_aversion(kazoo: KazooClient, root: str) -> None:
    acl = [*OPEN_ACL_UNSAFE, make_digest_acl("bob", "pw", read=True), make_acl("ip", "10.0.0.0/8", write=True)]
    assert kazoo.set_acls(root, acl).aversion == 1
    found, stat = kazoo.get_acls(root)
    assert sorted(found) == sorted(acl)
    assert (stat.aversion, stat.version) == (1, 0)


def test_a_read_only_znode_refuses_writes(kazoo: KazooClient, root: str) -> None:
    kazoo.create(f"{root}/a", b"data", acl=READ_ACL_UNSAFE)
    assert kazoo.get(f"{root}/a")[0] == b"data"
    for call in (
        lambda: kazoo.set(f"{root}/a", b""),
        lambda: kazoo.create(f"{root}/a/b", b""),
        lambda: kazoo.set_acls(f"{root}/a", OPEN_ACL_UNSAFE),
    ):
        with pytest.raises(NoAuthError):
            call()


def test_deleting_is_a_right_on_the_parent(kazoo: KazooClient, root: str) -> None:
    kazoo.create(f"{root}/readonly", b"", acl=READ_ACL_UNSAFE)
    kazoo.delete(f"{root}/readonly")
    kazoo.create(f"{root}/parent/child", b"", makepath=True)
    kazoo.set_acls(f"{root}/parent", READ_ACL_UNSAFE)
    with pytest.raises(NoAuthError):
        kazoo.delete(f"{root}/parent/child")
    with pytest.raises(NoAuthError):
        kazoo.delete(f"{root}/parent/missing")


def test_a_creator_only_znode_is_closed_to_strangers(
    ann: KazooClient, stranger: KazooClient, root: str, is_coord: bool
) -> None:
    path = f"{root}/anns"
    ann.create(path, b"secret", acl=CREATOR_ALL_ACL)
    stranger.sync(root)
    for call in (
        lambda: stranger.get(path),
        lambda: stranger.get_children(path),
        lambda: stranger.get_acls(path),
        lambda: stranger.set(path, b""),
    ):
        with pytest.raises(NoAuthError):
            call()
    if is_coord:  # ZooKeeper 3.8 lets anyone ask whether a znode exists; its later versions check READ
        with pytest.raises(NoAuthError):
            stranger.exists(path)
    stranger.add_auth("digest", "ann:wrong")
    with pytest.raises(NoAuthError):
        stranger.get(path)
    stranger.add_auth("digest", "ann:secret")
    assert stranger.get(path)[0] == b"secret"


def test_auth_in_an_acl_becomes_the_digest_of_the_creator(ann: KazooClient, root: str) -> None:
    ann.create(f"{root}/anns", b"", acl=CREATOR_ALL_ACL)
    (entry,) = ann.get_acls(f"{root}/anns")[0]
    assert (entry.perms, entry.id.scheme, entry.id.id) == (31, "digest", make_digest_acl_credential("ann", "secret"))


def test_auth_in_an_acl_without_an_identity_is_refused(kazoo: KazooClient, root: str) -> None:
    with pytest.raises(InvalidACLError):
        kazoo.create(f"{root}/a", b"", acl=CREATOR_ALL_ACL)


def test_digests_are_masked_for_those_who_may_read_but_not_administer(
    kazoo: KazooClient, ann: KazooClient, root: str
) -> None:
    path = f"{root}/a"
    acl = [make_digest_acl("ann", "secret", all=True), *READ_ACL_UNSAFE]
    kazoo.create(path, b"", acl=acl)
    digests = [entry.id.id for entry in kazoo.get_acls(path)[0] if entry.id.scheme == "digest"]
    assert digests == ["ann:x"]
    ann.sync(root)
    digests = [entry.id.id for entry in ann.get_acls(path)[0] if entry.id.scheme == "digest"]
    assert digests == [make_digest_acl_credential("ann", "secret")]


def test_an_address_grants_rights(kazoo: KazooClient, root: str) -> None:
    kazoo.create(f"{root}/here", b"", acl=[make_acl("ip", "127.0.0.0/8", all=True)])
    kazoo.set(f"{root}/here", b"yes")
    kazoo.create(f"{root}/elsewhere", b"", acl=[make_acl("ip", "10.1.2.3", all=True)])
    with pytest.raises(NoAuthError):
        kazoo.get(f"{root}/elsewhere")


@pytest.mark.parametrize(
    "entry",
    [
        make_acl("nonsense", "x", all=True),
        make_acl("world", "someone", all=True),
        make_acl("digest", "no-colon", all=True),
        make_acl("ip", "300.1.2.3", all=True),
    ],
    ids=lambda entry: f"{entry.id.scheme}:{entry.id.id}",
)
def test_a_bad_acl_entry_is_refused(kazoo: KazooClient, root: str, entry: object) -> None:
    with pytest.raises(InvalidACLError):
        kazoo.create(f"{root}/a", b"", acl=[entry])
    with pytest.raises(InvalidACLError):
        kazoo.set_acls(root, [entry])


def test_an_unknown_scheme_fails_to_authenticate(connect_kazoo: Callable[..., KazooClient]) -> None:
    client = connect_kazoo(1)
    with pytest.raises(AuthFailedError):
        client.add_auth("nonsense", "a:b")


def test_the_super_user_passes_every_acl(
    ann: KazooClient, connect_kazoo: Callable[..., KazooClient], root: str
) -> None:
    ann.create(f"{root}/anns", b"secret", acl=CREATOR_ALL_ACL)
    client = connect_kazoo(3, auth_data=[("digest", SUPER_CREDENTIALS)])
    client.sync(root)
    assert client.get(f"{root}/anns")[0] == b"secret"
    client.set(f"{root}/anns", b"")
    client.delete(f"{root}/anns")


def test_a_part_of_a_transaction_without_rights_undoes_it(kazoo: KazooClient, root: str) -> None:
    kazoo.create(f"{root}/closed", b"", acl=READ_ACL_UNSAFE)
    transaction = kazoo.transaction()
    transaction.create(f"{root}/a", b"")
    transaction.set_data(f"{root}/closed", b"")
    results = transaction.commit()
    assert type(results[1]) is NoAuthError
    assert kazoo.exists(f"{root}/a") is None
