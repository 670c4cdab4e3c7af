"""The requests of ZooKeeper's clients: without numbers; a ping and an authentication do not wait for their turn."""

from collections.abc import Sequence

from coord.codec.calls import Call
from coord.model.errors import AuthFailedError
from coord.model.handshake import AUTH_FAILED, BUSY
from coord.model.replies import Failed
from coord.model.requests import Authenticate, Ping, Sync, Write
from coord.replica import limits
from coord.replica.answers import ANSWERS, DONE
from coord.replica.auth import authenticate, joined
from coord.replica.brain import CLIENT_WRITES, Desk
from coord.replica.pipeline import Pipeline


def submit(desk: Desk, pipeline: Pipeline, calls: Sequence[Call]) -> None:
    """Requests of one client, in order: its writes become one run, a read is answered as soon as none is before it."""
    brain, waiting = desk.brain, pipeline.waiting
    writes: list[Write] = []
    at_once: list[type] = []  # the kinds of those that are answered here and now
    for call in calls:
        request = call.request
        kind = type(request)
        if kind in CLIENT_WRITES:
            writes.append(request)  # type: ignore[arg-type]
            waiting.append(call)
        elif kind is Authenticate:
            # Not queued behind requests; what stands before it is sent under the identities of before.
            if writes:
                desk.forward(pipeline, pipeline.session, tuple(writes))
                writes = []
            _authenticate(desk, pipeline, call)
            if pipeline.gone:  # it failed: nothing that follows is done any more
                break
        elif kind is Ping:
            at_once.append(kind)
            pipeline.out.append(pipeline.codec.encode_reply(call, brain.machine.zxid, DONE))
        elif kind is Sync:
            waiting.append(call)
            pipeline.waiting_since_s.append(brain.now)
            desk.syncs.add(pipeline, call)
        elif waiting or pipeline.stalled:
            waiting.append(call)
            pipeline.waiting_since_s.append(brain.now)
        else:
            at_once.append(kind)
            ends = ANSWERS[kind](brain, pipeline, call)
            if pipeline.out_bytes > limits.OUT_BYTES_MAX:
                pipeline.stalled = True
            if ends:
                desk.hang_up(pipeline, ends, BUSY)
                break
    if writes:
        desk.forward(pipeline, pipeline.session, tuple(writes))
    if at_once:
        desk.latencies.answered.append((brain.now, at_once))


def _authenticate(desk: Desk, pipeline: Pipeline, call: Call) -> None:
    request = call.request
    assert isinstance(request, Authenticate)
    try:
        granted = authenticate(request, pipeline.identities, desk.brain.settings.super_digest)
        pipeline.identities = joined(pipeline.identities, granted)
    except AuthFailedError as error:
        pipeline.out.append(pipeline.codec.encode_reply(call, 0, Failed(error)))
        desk.hang_up(pipeline, str(error), AUTH_FAILED)
        return
    pipeline.out.append(pipeline.codec.encode_reply(call, 0, DONE))
