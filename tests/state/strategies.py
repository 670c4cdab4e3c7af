"""Requests that often meet: few paths, few sessions, few versions."""

from hypothesis import strategies as st

from coord.model.acl import OPEN_ACL
from coord.model.requests import (
    AttachSession,
    CheckCreated,
    CheckData,
    CheckExists,
    CheckVersion,
    CloseSession,
    Create,
    CreateSession,
    Delete,
    DeleteContainer,
    DeleteTree,
    Multi,
    ReapNode,
    SetAcl,
    SetData,
)
from tests.state.world import PASSWORD

SESSIONS = (1, 2, 3)
ORIGINS = (1, 2)

paths = st.sampled_from(["/a", "/b", "/a/x", "/a/y", "/b/x", "/a/x/deep", "/zookeeper/z"])
any_paths = paths | st.sampled_from(["/", "/zookeeper", "/a/n-0000000000", "/a/n-0000000001"])
data = st.sampled_from([None, b"", b"x", b"longer than that"])
versions = st.sampled_from([-1, -1, -1, 0, 1, 2])
acls = st.sampled_from([OPEN_ACL, ((31, "world", "anyone"), (1, "ip", "10.0.0.0/8"))])

creates = st.one_of(
    st.builds(Create, paths, data, st.just(OPEN_ACL), st.sampled_from([0, 0, 1, 4])),
    st.builds(Create, paths, data, st.just(OPEN_ACL), st.just(5), st.integers(1, 500)),
    st.builds(Create, st.sampled_from(["/a/n-", "/"]), data, st.just(OPEN_ACL), st.sampled_from([2, 3])),
    st.builds(
        Create,
        paths | st.sampled_from(["/a/x/deep/er", "/new/n-", "/b/p/q/r/s"]),
        data,
        st.just(OPEN_ACL),
        st.sampled_from([0, 1, 2, 3, 4]),
        st.just(-1),
        st.just(True),
    ),
)
sets = st.builds(SetData, any_paths.filter(lambda path: path != "/zookeeper/config"), data, versions)
steps = st.one_of(
    creates,
    creates,
    st.builds(Delete, any_paths, versions),
    sets,
    st.builds(CheckVersion, any_paths, versions),
    st.builds(DeleteTree, any_paths, versions),
    st.builds(SetAcl, paths, acls, versions),
    st.builds(CheckExists, any_paths, st.booleans()),
    st.builds(CheckCreated, any_paths, st.integers(0, 10)),
    st.builds(CheckData, any_paths, data),
)
multis = st.builds(Multi, st.lists(steps, max_size=6).map(tuple) | st.lists(sets, max_size=4).map(tuple))
of_clients = st.one_of(
    steps,
    steps,
    multis,
    st.builds(DeleteContainer, any_paths),
)
of_servers = st.one_of(
    st.builds(CreateSession, st.sampled_from(SESSIONS), st.just(PASSWORD), st.sampled_from([1000, 2000])),
    st.builds(AttachSession, st.sampled_from(SESSIONS), st.sampled_from([PASSWORD, PASSWORD, b"wrong"]), st.just(3000)),
    st.builds(CloseSession, st.sampled_from(SESSIONS), st.just(True)),
    st.builds(ReapNode, paths, st.integers(1, 20), st.integers(1, 20)),
)
entries = st.one_of(
    st.tuples(st.sampled_from(ORIGINS), st.sampled_from(SESSIONS), of_clients),
    st.tuples(st.just(1), st.just(1), of_clients),
    st.tuples(st.just(1), st.just(1), of_clients),
    st.tuples(st.sampled_from(ORIGINS), st.just(0), of_servers),
    st.tuples(st.just(1), st.just(1), st.just(CloseSession())),
)
"""(origin, session, request)."""

histories = st.lists(entries, min_size=1, max_size=60)

numberings = st.tuples(st.sampled_from([None, None, 1, 1, 1, 1, 0, 0, -1, -3, 2]), st.sampled_from([0, 1, 2, 2, 5, -1]))
"""How a write is numbered, and how many of those before are not acknowledged yet: see `numbers` in world.py."""
numbered_histories = st.lists(st.tuples(entries, numberings), min_size=1, max_size=60)
