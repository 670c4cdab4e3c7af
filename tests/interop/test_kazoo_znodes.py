"""kazoo: znodes, their versions, sequences."""

from collections.abc import Callable

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import (
    BadVersionError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
)


def test_a_znode_is_created_read_changed_and_deleted(kazoo: KazooClient, root: str) -> None:
    path = f"{root}/a"
    assert kazoo.create(path, b"one") == path
    assert kazoo.get(path)[0] == b"one"
    assert kazoo.set(path, b"two").version == 1
    data, stat = kazoo.get(path)
    assert (data, stat.version, stat.dataLength) == (b"two", 1, 3)
    kazoo.delete(path)
    assert kazoo.exists(path) is None


def test_a_stat_tells_the_znodes_history(kazoo: KazooClient, root: str) -> None:
    path = f"{root}/a"
    kazoo.create(path, b"")
    made = kazoo.exists(path)
    assert made.czxid == made.mzxid == made.pzxid > 0
    assert made.ctime == made.mtime > 1_600_000_000_000
    kazoo.create(f"{path}/child")
    kazoo.set(path, b"new")
    kazoo.set_acls(path, kazoo.get_acls(path)[0])
    kazoo.delete(f"{path}/child")
    stat = kazoo.exists(path)
    assert (stat.version, stat.cversion, stat.aversion, stat.numChildren) == (1, 2, 1, 0)
    assert stat.czxid == made.czxid < stat.mzxid < stat.pzxid
    assert stat.ephemeralOwner == 0


def test_create_makes_missing_parents_when_asked_to(kazoo: KazooClient, root: str) -> None:
    with pytest.raises(NoNodeError):
        kazoo.create(f"{root}/a/b/c", b"")
    kazoo.create(f"{root}/a/b/c", b"deep", makepath=True)
    assert kazoo.get(f"{root}/a/b/c")[0] == b"deep"
    kazoo.ensure_path(f"{root}/a/b/d/e")
    kazoo.ensure_path(f"{root}/a/b/d/e")
    assert sorted(kazoo.get_children(f"{root}/a/b")) == ["c", "d"]


def test_create_can_return_the_stat(kazoo: KazooClient, root: str) -> None:
    path, stat = kazoo.create(f"{root}/a", b"data", include_data=True)
    assert (path, stat.dataLength, stat.version) == (f"{root}/a", 4, 0)


def test_creating_an_existing_znode_is_refused(kazoo: KazooClient, root: str) -> None:
    with pytest.raises(NodeExistsError):
        kazoo.create(root, b"")
    with pytest.raises(NodeExistsError):
        kazoo.create("/", b"")


def test_reading_changing_and_deleting_a_missing_znode_is_refused(kazoo: KazooClient, root: str) -> None:
    for call in (kazoo.get, kazoo.get_children, kazoo.delete, kazoo.get_acls, lambda path: kazoo.set(path, b"")):
        with pytest.raises(NoNodeError):
            call(f"{root}/missing")


def test_a_wrong_version_is_refused_and_changes_nothing(kazoo: KazooClient, root: str) -> None:
    kazoo.set(root, b"one")
    with pytest.raises(BadVersionError):
        kazoo.set(root, b"two", version=0)
    with pytest.raises(BadVersionError):
        kazoo.delete(root, version=0)
    assert kazoo.get(root)[0] == b"one"
    kazoo.delete(root, version=1)


def test_a_znode_with_children_is_not_deleted_but_with_recursion_it_is(kazoo: KazooClient, root: str) -> None:
    kazoo.create(f"{root}/a/b", b"", makepath=True)
    with pytest.raises(NotEmptyError):
        kazoo.delete(root)
    kazoo.delete(root, recursive=True)
    assert kazoo.exists(root) is None


def test_children_are_listed_with_their_parents_stat(kazoo: KazooClient, root: str) -> None:
    names = [f"child-{number}" for number in range(50)]
    for name in names:
        kazoo.create(f"{root}/{name}", b"")
    children, stat = kazoo.get_children(root, include_data=True)
    assert sorted(children) == sorted(names)
    assert (stat.numChildren, stat.cversion) == (50, 50)


def test_data_may_be_empty_or_binary_or_nearly_a_mebibyte(kazoo: KazooClient, root: str) -> None:
    for data in (b"", bytes(range(256)), b"x" * 1_000_000):
        kazoo.set(root, data)
        assert kazoo.get(root)[0] == data


def test_a_path_may_hold_any_letters(kazoo: KazooClient, root: str) -> None:
    names = ["größe", "日本", "with space", "a.b", "...", "-", "emoji"]
    for name in names:
        assert kazoo.create(f"{root}/{name}", name.encode()) == f"{root}/{name}"
    assert sorted(kazoo.get_children(root)) == sorted(names)


def test_the_reserved_tree_is_there(kazoo: KazooClient) -> None:
    assert "zookeeper" in kazoo.get_children("/")
    assert {"config", "quota"} <= set(kazoo.get_children("/zookeeper"))


def test_sequential_znodes_are_numbered_by_all_creations_under_the_parent(kazoo: KazooClient, root: str) -> None:
    assert kazoo.create(f"{root}/s-", b"", sequence=True) == f"{root}/s-0000000000"
    assert kazoo.create(f"{root}/t-", b"", sequence=True) == f"{root}/t-0000000001"
    kazoo.create(f"{root}/plain", b"")
    assert kazoo.create(f"{root}/s-", b"", sequence=True) == f"{root}/s-0000000003"


def test_deleting_does_not_give_a_sequence_number_back(kazoo: KazooClient, root: str) -> None:
    first = kazoo.create(f"{root}/s-", b"", sequence=True)
    kazoo.delete(first)
    assert kazoo.create(f"{root}/s-", b"", sequence=True) == f"{root}/s-0000000001"


def test_a_sequential_name_may_be_the_number_alone(kazoo: KazooClient, root: str) -> None:
    assert kazoo.create(f"{root}/", b"", sequence=True) == f"{root}/0000000000"


def test_an_ephemeral_shows_its_owner_and_has_no_children(kazoo: KazooClient, root: str) -> None:
    path = f"{root}/e"
    kazoo.create(path, b"", ephemeral=True)
    assert kazoo.exists(path).ephemeralOwner == kazoo.client_id[0]
    with pytest.raises(NoChildrenForEphemeralsError):
        kazoo.create(f"{path}/child", b"")


def test_what_one_server_acknowledged_the_others_show_after_a_sync(
    connect_kazoo: Callable[..., KazooClient], root: str
) -> None:
    clients = [connect_kazoo(server) for server in (1, 2, 3)]
    for number in range(30):
        writer, reader = clients[number % 3], clients[(number + 1) % 3]
        reader.sync(root)
        writer.sync(root)
        writer.set(root, b"%d" % number)
        assert reader.sync(root) == root
        assert reader.get(root)[0] == b"%d" % number


def test_many_asynchronous_calls_are_answered_in_order(kazoo: KazooClient, root: str) -> None:
    results = [kazoo.create_async(f"{root}/s-", b"%d" % number, sequence=True) for number in range(500)]
    paths = [result.get(timeout=15) for result in results]
    assert paths == sorted(paths)
    assert [kazoo.get(path)[0] for path in paths[::50]] == [b"%d" % number for number in range(0, 500, 50)]
