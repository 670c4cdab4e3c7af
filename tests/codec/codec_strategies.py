"""Hypothesis strategies for what the codecs carry."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from coord.model.acl import OPEN_ACL, READ_ONLY_ACL
from coord.model.entries import COUNTER_BITS, Batch, Run
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
    RegisterServer,
    SetAcl,
    SetData,
)

int32 = st.integers(-(1 << 31), (1 << 31) - 1)
int64 = st.integers(-(1 << 63), (1 << 63) - 1)
unsigned = st.integers(0, (1 << 63) - 1)
text = st.text(max_size=300)
raw = st.binary(max_size=300)
maybe_raw = st.none() | raw
acls = st.sampled_from([None, OPEN_ACL, READ_ONLY_ACL, ()]) | st.lists(st.tuples(int32, text, text), max_size=3).map(
    tuple
)
identities = st.lists(st.tuples(text, text), max_size=3).map(tuple)

inner_writes = st.one_of(
    st.builds(Create, text, maybe_raw, acls, int32, int64, st.booleans()),
    st.builds(Delete, text, int32),
    st.builds(SetData, text, maybe_raw, int32),
    st.builds(CheckVersion, text, int32),
    st.builds(SetAcl, text, acls, int32),
    st.builds(DeleteTree, text, int32),
    st.builds(CheckExists, text, st.booleans()),
    st.builds(CheckCreated, text, int64),
    st.builds(CheckData, text, maybe_raw),
)
alike = st.one_of(
    st.lists(st.builds(Create, text, maybe_raw, acls, int32, int64, st.booleans()), max_size=4),
    st.lists(st.builds(Delete, text, int32), max_size=4),
    st.lists(st.builds(SetData, text, maybe_raw, int32), max_size=4),
).map(tuple)
writes = st.one_of(
    inner_writes,
    st.builds(Multi, alike | st.lists(inner_writes, max_size=4).map(tuple)),
    st.builds(DeleteContainer, text),
    st.builds(CloseSession, int64, st.booleans()),
    st.builds(CreateSession, int64, raw, int32),
    st.builds(AttachSession, int64, raw, int32),
    st.builds(ReapNode, text, unsigned, unsigned),
    st.builds(RegisterServer, unsigned, unsigned, text),
)
several_writes = alike | st.lists(writes, max_size=5).map(tuple)
runs = st.builds(Run, unsigned, unsigned, unsigned, int64, unsigned, identities, several_writes, unsigned)


@st.composite
def batches(draw: Callable[..., Any]) -> Batch:
    epoch = draw(st.integers(0, (1 << 23) - 1))
    first = epoch << COUNTER_BITS | draw(st.integers(1, (1 << 40) - 1001))
    previous = draw(st.integers(0, first - 1))
    return Batch(
        epoch,
        first,
        draw(st.integers(1, 1000)),
        previous,
        draw(int64),
        draw(st.integers(0, previous)),
        draw(st.integers(0, (1 << 64) - 1)),
        draw(st.binary(max_size=2000)),
    )
