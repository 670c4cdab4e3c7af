"""What a server answers by itself: reads from its own state, and its own watches.

One function a request, with its row in ANSWERS. Each queues its answer (and `set_watches` events before it) in the
pipeline; one that returns a reason wants the connection ended after that.
"""

from collections.abc import Callable
from typing import Any

from coord.codec import jute
from coord.codec.calls import Call
from coord.model.errors import ERRORS, CoordError, MarshallingError, NoNodeError, NoWatcherError, TooLargeError
from coord.model.replies import (
    CHILDREN_CHANGED,
    DATA_CHANGED,
    NODE_CREATED,
    NODE_DELETED,
    CountReply,
    Done,
    Event,
    Failed,
    Reply,
)
from coord.model.requests import (
    AddWatch,
    CheckWatches,
    CountDescendants,
    Exists,
    GetAcl,
    GetChildren,
    GetData,
    GetEphemerals,
    MultiRead,
    Refused,
    RemoveWatches,
    SetWatches,
    WhoAmI,
)
from coord.replica.brain import Brain
from coord.replica.limits import WATCHES_BYTES_MAX
from coord.replica.pipeline import Pipeline
from coord.replica.watches import WATCH_KINDS

COUNTED_COSTS_BYTES = 64
"""Counting a znode takes the time of sending so much: who has much counted must let others have their turn, too."""
DONE = Done()


def answer(brain: Brain, pipeline: Pipeline, call: Call, reply: Reply) -> None:
    codec = pipeline.codec
    frame = codec.encode_reply(call, brain.machine.zxid, reply)
    if len(frame) > brain.settings.answer_bytes_max and codec is not jute:
        frame = codec.encode_reply(call, brain.machine.zxid, _too_large(brain, call, len(frame)))
    pipeline.out.append(frame)
    pipeline.out_bytes += len(frame)


def _too_large(brain: Brain, call: Call, size_bytes: int) -> Failed:
    """Else the client would be hung up on for not reading it, come again, and ask again."""
    what, limit = type(call.request).__name__, brain.settings.answer_bytes_max
    path = getattr(call.request, "path", "")
    return Failed(
        TooLargeError(
            f"the answer to {what} {path} takes {size_bytes} bytes, and this server's reply_bytes_max has room for "
            f"{limit}; read children in pages"
        )
    )


def too_many(brain: Brain, pipeline: Pipeline) -> str | None:
    """Why the connection is to end, if its watches take more than one connection's may."""
    if brain.watches.bytes_of(pipeline) + brain.native_watches.bytes_of(pipeline) > WATCHES_BYTES_MAX:
        return f"its watches take more than {WATCHES_BYTES_MAX >> 20} MiB; watch fewer paths, or use a recursive watch"
    return None


def read(brain: Brain, pipeline: Pipeline, call: Call) -> None:
    machine = brain.machine
    reply = machine.read(pipeline.identities, pipeline.session, call.request)  # type: ignore[arg-type]
    answer(brain, pipeline, call, reply)


def count(brain: Brain, pipeline: Pipeline, call: Call) -> None:
    machine = brain.machine
    reply = machine.read(pipeline.identities, pipeline.session, call.request)  # type: ignore[arg-type]
    answer(brain, pipeline, call, reply)
    if type(reply) is CountReply:
        pipeline.out_bytes += reply.count * COUNTED_COSTS_BYTES


def get_data(brain: Brain, pipeline: Pipeline, call: Call) -> str | None:
    machine, request = brain.machine, call.request
    assert type(request) is GetData
    reply = machine.read(pipeline.identities, pipeline.session, request)
    frame = pipeline.codec.encode_reply(call, machine.zxid, reply)
    pipeline.out.append(frame)
    pipeline.out_bytes += len(frame)
    if request.watch and type(reply) is not Failed:
        brain.watches.watch_data(request.path, pipeline)
        return too_many(brain, pipeline)
    return None


def exists(brain: Brain, pipeline: Pipeline, call: Call) -> str | None:
    machine, request = brain.machine, call.request
    assert type(request) is Exists
    reply = machine.read(pipeline.identities, pipeline.session, request)
    answer(brain, pipeline, call, reply)
    # The watch of one who waits for a znode to appear is set although the answer is an error.
    if request.watch and (type(reply) is not Failed or type(reply.error) is NoNodeError):
        brain.watches.watch_data(request.path, pipeline)
        return too_many(brain, pipeline)
    return None


def get_children(brain: Brain, pipeline: Pipeline, call: Call) -> str | None:
    machine, request = brain.machine, call.request
    assert type(request) is GetChildren
    reply = machine.read(pipeline.identities, pipeline.session, request)
    answer(brain, pipeline, call, reply)
    if request.watch and type(reply) is not Failed:
        brain.watches.watch_children(request.path, pipeline)
        return too_many(brain, pipeline)
    return None


def add_watch(brain: Brain, pipeline: Pipeline, call: Call) -> str | None:
    request = call.request
    assert type(request) is AddWatch
    if request.mode not in (0, 1):
        answer(brain, pipeline, call, Failed(MarshallingError(f"there is no watch mode {request.mode}; use 0 or 1")))
        return None
    brain.watches.watch_persistently(request.path, pipeline, recursive=request.mode == 1)
    answer(brain, pipeline, call, DONE)
    return too_many(brain, pipeline)


def check_watches(brain: Brain, pipeline: Pipeline, call: Call) -> None:
    request = call.request
    assert isinstance(request, CheckWatches)
    answer(brain, pipeline, call, _look_for_watch(pipeline, request, brain.watches.has))


def remove_watches(brain: Brain, pipeline: Pipeline, call: Call) -> None:
    request = call.request
    assert isinstance(request, RemoveWatches)
    answer(brain, pipeline, call, _look_for_watch(pipeline, request, brain.watches.remove))


def _look_for_watch(
    pipeline: Pipeline, request: CheckWatches | RemoveWatches, look: Callable[[str, object, int], bool]
) -> Reply:
    if request.kind not in WATCH_KINDS:
        return Failed(MarshallingError(f"there is no kind of watch {request.kind}; the kinds are 1 to 5"))
    if look(request.path, pipeline, request.kind):
        return DONE
    return Failed(NoWatcherError(f"this connection has no watch of kind {request.kind} on {request.path}"))


def set_watches(brain: Brain, pipeline: Pipeline, call: Call) -> str | None:
    """Re-arm after a reconnect: what happened meanwhile is told at once (ZOOKEEPER.md 1.5)."""
    request = call.request
    assert type(request) is SetWatches
    nodes, watches, seen = brain.machine.tree.nodes, brain.watches, request.seen_zxid
    missed: list[tuple[int, str]] = []
    for path in dict.fromkeys(request.data):
        znode = nodes.get(path)
        if znode is None:
            missed.append((NODE_DELETED, path))
        elif znode.mzxid > seen:
            missed.append((DATA_CHANGED, path))
        else:
            watches.watch_data(path, pipeline)
    for path in dict.fromkeys(request.exists):
        if path in nodes:
            missed.append((NODE_CREATED, path))
        else:
            watches.watch_data(path, pipeline)
    for path in dict.fromkeys(request.children):
        znode = nodes.get(path)
        if znode is None:
            missed.append((NODE_DELETED, path))
        elif znode.pzxid > seen:
            missed.append((CHILDREN_CHANGED, path))
        else:
            watches.watch_children(path, pipeline)
    for path in dict.fromkeys(request.persistent):
        watches.watch_persistently(path, pipeline, recursive=False)
    for path in dict.fromkeys(request.recursive):
        watches.watch_persistently(path, pipeline, recursive=True)
    for kind, path in missed:
        if _may_hear(brain, pipeline, path):
            pipeline.out.append(jute.encode_event(Event(kind, path, -1)))
    answer(brain, pipeline, call, DONE)
    return too_many(brain, pipeline)


def _may_hear(brain: Brain, pipeline: Pipeline, path: str) -> bool:
    """READ on the znode, or on the nearest that is left above it (ZooKeeper leaves this check out)."""
    machine = brain.machine
    nodes, nearest = machine.tree.nodes, "/"
    # Downwards: so a path of a million slashes costs no more than the znodes that are really there.
    at = path.find("/", 1)
    while at > 0 and path[:at] in nodes:
        nearest, at = path[:at], path.find("/", at + 1)
    return machine.may_read(pipeline.identities, nodes[path if path in nodes else nearest].acl)


def refused(brain: Brain, pipeline: Pipeline, call: Call) -> str:
    """What could be read, but not be done; for some of it the connection is to end."""
    request = call.request
    assert isinstance(request, Refused)
    if request.code:
        error = ERRORS.get(request.code, CoordError)(request.reason)
        answer(brain, pipeline, call, Failed(error))
    return request.reason if request.hang_up else ""


ANSWERS: dict[type, Callable[[Brain, Pipeline, Any], str | None]] = {
    GetData: get_data,
    Exists: exists,
    GetChildren: get_children,
    GetAcl: read,
    GetEphemerals: read,
    CountDescendants: count,
    MultiRead: read,
    WhoAmI: read,
    AddWatch: add_watch,
    CheckWatches: check_watches,
    RemoveWatches: remove_watches,
    SetWatches: set_watches,
    Refused: refused,
}
