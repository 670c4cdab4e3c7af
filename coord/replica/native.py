"""The clients of coord's own protocol: their greeting, their requests, and what only they can ask.

What this adds to clients.py: writes have numbers, and a run holds consecutive ones only; every reply waits for its
turn; nobody waits for the reply to what has the id 0.
"""

from collections.abc import Callable, Sequence
from typing import Any

from coord.codec.calls import Call
from coord.codec.native import encode_event_of, event_tail
from coord.model.errors import AuthFailedError, BadArgumentsError, CoordError, NoWatcherError, WatchWindowLostError
from coord.model.handshake import (
    AUTH_FAILED,
    BUSY,
    MALFORMED,
    OTHER_CLUSTER,
    VERSION,
    VERSION_UNKNOWN,
    Greeting,
    Refusal,
)
from coord.model.paths import check_path
from coord.model.replies import Failed, PageReply, Reply
from coord.model.requests import (
    Acknowledge,
    AtLeast,
    Authenticate,
    ChildrenPage,
    Ping,
    Refused,
    Sync,
    Unwatch,
    Watch,
    Write,
)
from coord.replica import limits
from coord.replica.answers import ANSWERS, DONE, answer, too_many
from coord.replica.auth import authenticate, joined
from coord.replica.brain import CLIENT_WRITES, Brain, Desk
from coord.replica.native_watches import KINDS, NativeWatch, told_of
from coord.replica.pipeline import Due, Pipeline

LOOKED_AT_COSTS_BYTES = 16
"""Looking at a change for one watch, or at a child for a page, takes the time of sending so much."""


def judge(brain: Brain, pipeline: Pipeline, greeting: Greeting) -> Refusal | None:
    """Why this client cannot come in, whatever its session. It is authenticated here, before there is one."""
    if not greeting.version_min <= VERSION <= greeting.version_max:
        return Refusal(
            VERSION_UNKNOWN,
            f"the client speaks the versions {greeting.version_min} to {greeting.version_max}, this server {VERSION}",
        )
    cluster = brain.participant.ballot.cluster
    if greeting.cluster and cluster and greeting.cluster != cluster:
        return Refusal(OTHER_CLUSTER, f"the client wants the cluster {greeting.cluster:#x}, this is {cluster:#x}")
    try:
        for scheme, credentials in greeting.auth:
            _prove(brain, pipeline, Authenticate(scheme, credentials))
    except AuthFailedError as error:
        return Refusal(AUTH_FAILED, str(error))
    return None


def _prove(brain: Brain, pipeline: Pipeline, request: Authenticate) -> None:
    granted = authenticate(request, pipeline.identities, brain.settings.super_digest)
    pipeline.identities = joined(pipeline.identities, granted)


def submit(desk: Desk, pipeline: Pipeline, calls: Sequence[Call]) -> None:
    """Requests of one client, in order: writes are forwarded in runs, the rest waits for its turn."""
    brain, waiting = desk.brain, pipeline.waiting
    writes: list[Write] = []
    at_once: list[type] = []  # the kinds of those that are answered here and now
    following = 0  # the number that goes on with `writes`
    for call in calls:
        request = call.request
        kind = type(request)
        if kind in CLIENT_WRITES:
            if call.number != following:
                _forward(desk, pipeline, writes, following)
                writes = []
                following = call.number
            writes.append(request)  # type: ignore[arg-type]
            waiting.append(call)
            following += 1
            continue
        if kind in _AT_ONCE:
            _forward(desk, pipeline, writes, following)  # what stands before it is sent as it was before
            writes = []
            _AT_ONCE[kind](desk, pipeline, call)
        elif waiting or pipeline.stalled:
            waiting.append(call)
            pipeline.waiting_since_s.append(brain.now)
        else:
            at_once.append(kind)
            ends = NATIVE_ANSWERS[kind](brain, pipeline, call)
            if pipeline.out_bytes > limits.OUT_BYTES_MAX:
                pipeline.stalled = True
            if ends:
                desk.hang_up(pipeline, ends, BUSY)
        if pipeline.gone or pipeline.ending:
            break
    if not pipeline.gone:
        _forward(desk, pipeline, writes, following)
    if at_once:
        desk.latencies.answered.append((brain.now, at_once))


def _forward(desk: Desk, pipeline: Pipeline, writes: list[Write], following: int) -> None:
    """Send consecutive writes on their way, if there are any: those up to the number before `following`."""
    if writes:
        desk.forward(pipeline, pipeline.session, tuple(writes), following - len(writes))
        pipeline.number_max = max(pipeline.number_max, following - 1)


# ---- what is looked at when it comes, and not only in its turn


def _acknowledge(desk: Desk, pipeline: Pipeline, call: Call) -> None:
    number = call.request.number  # type: ignore[union-attr]
    if number > pipeline.number_max:
        why = f"the client acknowledges write {number}, and the last one it has sent is {pipeline.number_max}"
        desk.hang_up(pipeline, why, MALFORMED)
    elif number > pipeline.acked:
        pipeline.acked = number


def _authenticate(desk: Desk, pipeline: Pipeline, call: Call) -> None:
    request = call.request
    assert isinstance(request, Authenticate)
    try:
        _prove(desk.brain, pipeline, request)
    except AuthFailedError as error:
        _reply_in_turn(desk, pipeline, call, Failed(error))
    else:
        _reply_in_turn(desk, pipeline, call, DONE)


def _reply_in_turn(desk: Desk, pipeline: Pipeline, call: Call, reply: Reply) -> None:
    if pipeline.waiting:
        pipeline.waiting.append(Due(call, reply))
        pipeline.waiting_since_s.append(desk.brain.now)
    else:
        pipeline.out.append(pipeline.codec.encode_reply(call, desk.brain.machine.zxid, reply))


def _sync(desk: Desk, pipeline: Pipeline, call: Call) -> None:
    """A sync, or a ping: that is answered when the leader, which counts the session's time, has heard of it."""
    pipeline.waiting.append(call)
    pipeline.waiting_since_s.append(desk.brain.now)
    desk.syncs.add(pipeline, call)


def _at_least(desk: Desk, pipeline: Pipeline, call: Call) -> None:
    pipeline.waiting.append(call)
    pipeline.waiting_since_s.append(desk.brain.now)
    desk.syncs.wait_for(call.request.zxid, pipeline, call)  # type: ignore[union-attr]


def _refused(desk: Desk, pipeline: Pipeline, call: Call) -> None:
    """Nothing that comes after it is looked at; what came before is answered first."""
    pipeline.ending = True
    if pipeline.waiting:
        pipeline.waiting.append(call)
        pipeline.waiting_since_s.append(desk.brain.now)
    else:
        desk.hang_up(pipeline, call.request.reason, MALFORMED)  # type: ignore[union-attr]


_AT_ONCE: dict[type, Callable[[Desk, Pipeline, Call], None]] = {
    Acknowledge: _acknowledge,
    Authenticate: _authenticate,
    Sync: _sync,
    Ping: _sync,
    AtLeast: _at_least,
    Refused: _refused,
}

# ---- what only these clients can ask


def page(brain: Brain, pipeline: Pipeline, call: Call) -> None:
    request = call.request
    assert type(request) is ChildrenPage
    reply = brain.machine.read(pipeline.identities, pipeline.session, request)
    answer(brain, pipeline, call, reply)
    if type(reply) is PageReply:
        pipeline.out_bytes += reply.stat.children_count * LOOKED_AT_COSTS_BYTES


def watch(brain: Brain, pipeline: Pipeline, call: Call) -> str | None:
    """Arm a watch, after what it has missed has been told: in one breath, so nothing is missed in between."""
    request = call.request
    assert type(request) is Watch
    try:
        armed = _arm(brain, pipeline, request)
    except CoordError as error:
        answer(brain, pipeline, call, Failed(error.with_traceback(None)))
        return None
    if request.since_zxid:
        _tell_missed(brain, pipeline, armed, request.since_zxid)
    answer(brain, pipeline, call, DONE)
    return too_many(brain, pipeline)


def _arm(brain: Brain, pipeline: Pipeline, request: Watch) -> NativeWatch:
    check_path(request.path)
    if not request.kinds or request.kinds & ~KINDS:
        raise BadArgumentsError(f"{request.kinds} does not name kinds of events; give bits of {KINDS}")
    if request.depth_max < -1:
        raise BadArgumentsError(f"a watch cannot be {request.depth_max} deep; give 0 or more, or -1 for any depth")
    since, here = request.since_zxid, brain.machine.zxid
    if since > here or since < 0:
        raise BadArgumentsError(f"a watch cannot begin after zxid {since:#x}; this server stands at {here:#x}")
    if since and since < brain.window.start:
        raise WatchWindowLostError(
            f"what has changed after zxid {since:#x} is not known here any more, only what came after "
            f"{brain.window.start:#x}; read anew and watch from there"
        )
    armed = NativeWatch(pipeline, request.watch_id, request.path, request.recursive, request.kinds, request.depth_max)
    if not brain.native_watches.add(armed):
        raise BadArgumentsError(f"the number {request.watch_id} is that of another watch of this connection")
    return armed


def _tell_missed(brain: Brain, pipeline: Pipeline, armed: NativeWatch, since: int) -> None:
    missed = brain.window.after(since)
    assert missed is not None, "it was looked whether the window reaches back so far"
    may_read, identities, out = brain.machine.may_read, pipeline.identities, pipeline.out
    for zxid, change in missed:
        told = told_of(armed, change)
        if told is not None:
            kind, path, acl = told
            if may_read(identities, acl):
                message = encode_event_of(armed.id, event_tail(zxid, kind, path, change.cause))
                out.append(message)
                pipeline.out_bytes += len(message)
    pipeline.out_bytes += len(missed) * LOOKED_AT_COSTS_BYTES


def unwatch(brain: Brain, pipeline: Pipeline, call: Call) -> None:
    request = call.request
    assert type(request) is Unwatch
    if brain.native_watches.remove(pipeline, request.watch_id):
        answer(brain, pipeline, call, DONE)
    else:
        answer(brain, pipeline, call, Failed(NoWatcherError(f"there is no watch with the number {request.watch_id}")))


NATIVE_ANSWERS: dict[type, Callable[[Brain, Pipeline, Any], str | None]] = {
    **ANSWERS,
    ChildrenPage: page,
    Watch: watch,
    Unwatch: unwatch,
}
