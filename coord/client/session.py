"""A session as its client sees it: what is to be sent, what an answer means, how long it is proved alive. Pure.

No I/O and no clock: `now` is passed in, frames come out of `take`, messages go into `receive`. The rules of this file:

- **Order.** Calls are sent in the order in which they were made, and answered in that order. On a new connection the
  watches are armed first, each from where it has got to; then everything unanswered is said again, in its order.
- **Once.** A write gets its number when it is first sent, and keeps it. The session's state, replicated among the
  servers, answers a number that it knows with the first answer.
- **Honest.** The session is proved alive until `deadline_s`: its timeout, counted from when the last answered request
  that went to the leader was *sent*: a write, a sync, a ping. No server counts from an earlier moment. The answer to a
  read proves nothing: a server that is cut off from the leader, which counts, gives it all the same. At the deadline
  the session is lost, whatever a server may say later.
- **Forgotten.** A call that nobody waits for any more is not sent if it was not. A write that was sent is said again
  on a new connection like any other, for its number must not be missing; its answer is dropped.
"""

import math
from collections import deque
from collections.abc import Sequence

from coord.client.calls import (
    EVENTS_MAX,
    ArmCall,
    Call,
    SessionState,
    StateWaiter,
    UnwaitedCall,
    Waitable,
    WatchFilter,
    WatchState,
)
from coord.client.saved import SavedSession
from coord.codec import native
from coord.model.errors import (
    BadArgumentsError,
    CallTimeoutError,
    CoordError,
    RequestTooLargeError,
    SessionExpiredError,
    SessionLostError,
    SessionMovedError,
    UnacknowledgedError,
)
from coord.model.handshake import FEATURES, MALFORMED, SESSION_UNKNOWN, VERSION, Goodbye, Greeting, Refusal, Welcome
from coord.model.replies import WatchEvent
from coord.model.requests import Acknowledge, Multi, Ping, Request, Sync, Unwatch, Watch

CONNECTED, SUSPENDED, LOST = SessionState

FRAME_BYTES = 64 << 10
"""So much is packed into one frame, if the server takes it; a longer message stands alone in its own."""

BESIDE_BYTES = 64
"""What may stand beside a request in its frame: an acknowledgement, a sync."""

WRITES_WEIGHT_MAX = 500
"""Writes in flight, those with a long answer counting more: the servers keep twice as many answers for a session."""

REQUEST_BYTES_MAX = (1 << 20) - BESIDE_BYTES
"""Longer requests are refused here; a server may have said in its welcome that it takes less, and would hang up."""

PINGS_A_TIMEOUT = 3

PROVING = frozenset((Sync, Ping))
"""What is answered only when the leader has heard of the session after it was sent; so are writes."""


class ProtocolError(Exception):
    """The server says what it may not, or that this connection is of no more use. It is left for another."""


class Session:
    """One session over all its connections."""

    def __init__(
        self,
        timeout_s: float,
        *,
        call_timeout_s: float = math.inf,
        saved: SavedSession | None = None,
        auth: Sequence[tuple[str, bytes]] = (),
        client_name: str = "",
        request_bytes_max: int = REQUEST_BYTES_MAX,
    ) -> None:
        self.state: SessionState = SUSPENDED
        self.id = saved.id if saved else 0
        self.secret = saved.secret if saved else b""
        self.timeout_s = timeout_s  # asked for; from the first welcome on the one that was granted
        self.deadline_s = math.inf  # nothing to lose before the first welcome
        self.seen_zxid = saved.seen_zxid if saved else 0
        self.server = 0  # that serves it now
        self.cluster = 0
        self.auth = list(auth)
        self.lost: CoordError | None = None
        self.ready: list[Waitable] = []
        """Whose time has come since this list was last emptied. Whoever feeds the session wakes and empties it."""
        self.state_waiters: list[StateWaiter] = []
        self._opened = False
        self._client_name = client_name
        self._request_bytes_wanted = request_bytes_max
        self._request_bytes_max = request_bytes_max  # here and where it is connected now
        self._frame_bytes = FRAME_BYTES
        self._call_timeout_s = call_timeout_s
        self._waiting: deque[Call] = deque()  # not sent on this connection
        self._sent: deque[Call] = deque()  # and not answered
        self._flights: deque[tuple[int, float]] = deque()  # (id of the last request in a frame, when it was sent)
        self._proofs: deque[tuple[int, float]] = deque()  # (id of the first in a frame that will prove, the same)
        self._next_id = 1
        self._number = 0  # of the last write that was given one
        self._weight = 0  # of the writes that are numbered and not answered
        self._acked = 0  # all answers to writes up to here have been received
        self._acked_said = 0
        self._watches: dict[int, WatchState] = {}  # armed, or being armed, by id
        self._paused: list[WatchState] = []
        self._next_watch = 1
        self._full: list[WatchState] = []
        self._greeted_s = 0.0
        self._proving_s = 0.0  # when something was last asked that will prove the session alive
        self._heard_s = 0.0

    def __repr__(self) -> str:
        waiting = len(self._waiting) + len(self._sent)
        return (
            f"<Session {self.id:#x} {self.state}, write {self._number}, {waiting} unanswered, {self.seen_zxid:#x} seen>"
        )

    # ---- what is asked for

    def submit(self, request: Request, writes: bool, now: float, first: Request | None = None) -> Call:
        """Put a request into the line. Raises what `lost` is if there is no session any more."""
        return self._submit(Call(request, writes, now, first), now)

    def submit_unwaited(self, request: Request, now: float) -> Call:
        """Put a write into the line that is sent whether anybody waits for it or not, and has no time limit."""
        return self._submit(UnwaitedCall(request, True, now), now)

    def _submit(self, call: Call, now: float) -> Call:
        self._check_deadline(now)
        if self.lost is not None:
            raise type(self.lost)(*self.lost.args)
        self._waiting.append(call)
        return call

    def watch(self, filter: WatchFilter, since_zxid: int, now: float) -> tuple[WatchState, Call]:
        """A new watch, and the call that arms it."""
        if self.lost is not None:
            raise type(self.lost)(*self.lost.args)
        watch = WatchState(filter, since_zxid)
        return watch, self._arm(watch, now)

    def unwatch(self, watch: WatchState, now: float) -> None:
        """No more events of it; those that come all the same are dropped."""
        arming, watch.arming = watch.arming, None
        if arming is not None:
            arming.wanted = False
        if self._watches.pop(watch.id, None) is None:
            if watch in self._paused:
                self._paused.remove(watch)
            return
        if self.lost is None and (watch.armed or (arming is not None and arming.id)):
            self._waiting.append(Call(Unwatch(watch.id), False, now))
        watch.armed = False

    def taken(self, watch: WatchState, now: float) -> None:
        """Events of a paused watch were taken: once half of them are gone it goes on."""
        if watch in self._paused and len(watch.events) <= EVENTS_MAX // 2 and self.lost is None:
            self._paused.remove(watch)
            self._arm(watch, now)

    def _arm(self, watch: WatchState, now: float) -> Call:
        watch.id, self._next_watch = self._next_watch, self._next_watch + 1
        self._watches[watch.id] = watch
        watch.arming = ArmCall(_watch_request(watch), watch, now)
        self._waiting.append(watch.arming)
        return watch.arming

    # ---- connections

    def greeting(self, now: float) -> Greeting:
        """What to say first on a new connection."""
        self._greeted_s = now
        return Greeting(
            VERSION, VERSION, self.cluster, FEATURES, self.id, self.secret, self.seen_zxid,
            max(1, round(self.timeout_s * 1000)), self._acked, tuple(self.auth), self._client_name,
        )  # fmt: skip

    def welcomed(self, welcome: Welcome, now: float) -> None:
        """A server has taken the session."""
        if self.lost is not None:
            return
        if not self._opened:
            if self.id and welcome.session != self.id:
                raise ProtocolError(f"session {self.id:#x} was asked for and {welcome.session:#x} given")
            self._opened = True
            self.id, self.secret = welcome.session, welcome.password
            self._number = self._acked = welcome.applied  # of a saved session: whoever had it knows of these
        elif welcome.session == self.id and welcome.applied > self._number:
            # To try again would only take the session away from its other client, again and again.
            self.lose(
                SessionLostError(
                    f"session {self.id:#x} is gone on with by another client: it has written {welcome.applied} times, "
                    f"and this one {self._number} times"
                )
            )
            return
        elif welcome.session != self.id or not self._acked <= welcome.applied <= self._number:
            raise ProtocolError(
                f"session {self.id:#x} has numbered writes up to {self._number} and got answers up to {self._acked}; "
                f"the server gives session {welcome.session:#x} with {welcome.applied} done"
            )
        self.timeout_s = welcome.timeout_ms / 1000
        self.cluster, self.server = welcome.cluster, welcome.server
        taken_bytes = max(BESIDE_BYTES, welcome.frame_bytes_max - BESIDE_BYTES)
        self._request_bytes_max = min(self._request_bytes_wanted, taken_bytes)
        self._frame_bytes = min(FRAME_BYTES, taken_bytes)
        self._acked_said = self._acked
        self._proving_s, self._heard_s = self._greeted_s, now
        self.deadline_s = self._greeted_s + self.timeout_s
        self._line_up(now)
        self._become(CONNECTED)

    def _line_up(self, now: float) -> None:
        """On a new connection: watches, then what was sent, then what was not."""
        again = [call for call in (*self._sent, *self._waiting) if _is_said_again(call)]
        self._sent.clear()
        self._flights.clear()
        self._proofs.clear()
        self._waiting.clear()
        self._next_id = 1
        for watch in self._watches.values():
            if watch.arming is None:
                watch.arming = ArmCall(_watch_request(watch), watch, now)
            watch.arming.request, watch.arming.id = _watch_request(watch), 0
            self._waiting.append(watch.arming)
        self._waiting.extend(again)

    def refused(self, refusal: Refusal) -> None:
        """A server has not taken the session. It may still live, unless the server says that it does not."""
        if refusal.code == SESSION_UNKNOWN:
            self.lose(SessionLostError(f"session {self.id:#x} has ended: {refusal.reason}"))

    def disconnected(self) -> None:
        """The connection is gone."""
        if self.state != CONNECTED:
            return
        for watch in self._watches.values():
            if watch.armed:  # what an armed watch was to see up to here it has seen
                watch.position, watch.armed = self.seen_zxid, False
        self.server = 0
        self._become(SUSPENDED)

    def lose(self, why: CoordError) -> None:
        """The end of the session and of everything that waits."""
        if self.lost is not None:
            return
        self.lost = why
        for call in (*self._sent, *self._waiting):
            _finish(call, _another(why))
            self.ready.append(call)
        for watch in (*self._watches.values(), *self._paused):
            watch.armed, watch.arming = False, None
            watch.error = watch.error or _another(why)
            self.ready.append(watch)
        self._sent.clear()
        self._waiting.clear()
        self._become(LOST)

    def _become(self, state: SessionState) -> None:
        self.state = state
        for waiter in self.state_waiters:
            waiter.seen.append(state)
            self.ready.append(waiter)

    # ---- sending

    @property
    def has_to_send(self) -> bool:
        return bool(self._waiting) and self.state == CONNECTED

    @property
    def is_idle(self) -> bool:
        """Nothing that was sent waits for its answer."""
        return not self._sent

    @property
    def owes_nothing(self) -> bool:
        """Nothing waits to be sent or to be answered."""
        return not self._sent and not self._waiting

    def take(self, now: float) -> bytes:
        """The next frame: as many of the waiting calls as fit; nothing if there is nothing to send, or not now."""
        if self.state != CONNECTED or not self._waiting:
            return b""
        waiting, sent, encode, frame_bytes = self._waiting, self._sent, native.encode_request, self._frame_bytes
        messages: list[bytes] = []
        size_bytes, id, proving = 0, self._next_id, 0
        while waiting and size_bytes < frame_bytes:
            call = waiting[0]
            number = call.number
            if not number and not call.wanted:
                waiting.popleft()
                continue
            try:
                if not number and call.writes:
                    if self._weight and self._weight + call.weight > WRITES_WEIGHT_MAX:
                        break
                    number = self._number + 1
                encoded = encode(id, call.request, number)
                if call.first is not None:
                    encoded = encode(0, call.first, 0) + encoded
            except Exception as error:  # whatever an encoder makes of what is not of its type
                waiting.popleft()
                self._fail(call, BadArgumentsError(f"{call.first or call.request!r:.200} cannot be written: {error}"))
                continue
            if len(encoded) > self._request_bytes_max and not call.number:
                waiting.popleft()
                self._refuse_large(call, len(encoded))
                continue
            if size_bytes + len(encoded) > frame_bytes and size_bytes:
                break
            waiting.popleft()
            messages.append(encoded)
            size_bytes += len(encoded)
            call.id = id
            if not proving and (number or type(call.request) in PROVING or type(call.first) is Sync):
                proving = id
            if number and not call.number:
                call.number = self._number = number
                self._weight += call.weight
            sent.append(call)
            id += 1
        if not messages:
            return b""
        if self._acked > self._acked_said:
            self._acked_said = self._acked
            messages.insert(0, encode(0, Acknowledge(self._acked), 0))
        self._next_id = id
        self._flights.append((id - 1, now))
        if proving:
            self._proofs.append((proving, now))
            self._proving_s = now
        return native.encode_frame(messages)

    def _refuse_large(self, call: Call, size_bytes: int) -> None:
        request = call.request
        if isinstance(request, Multi):
            what = f"a transaction of {len(request.requests)} steps"
        else:
            what = f"{type(request).__name__} {getattr(request, 'path', '')}".rstrip()
        limit = self._request_bytes_max
        whose = (
            "request_bytes_max" if limit == self._request_bytes_wanted else "what the server's frame_bytes_max allows"
        )
        self._fail(call, RequestTooLargeError(f"{what} takes {size_bytes} bytes, which is above {limit}, {whose}"))

    def _fail(self, call: Call, error: CoordError) -> None:
        _finish(call, error)
        self.ready.append(call)

    # ---- receiving

    def receive(self, messages: Sequence[object], now: float) -> None:
        """All of one frame. Raises ProtocolError if the connection is to be left.

        What a frame says is taken as a whole or, if the session was found to be lost, not at all.
        """
        self._check_deadline(now)
        if self.lost is not None:
            return
        self._heard_s = now
        last_id = self._next_id - len(self._sent)  # of the oldest that is not answered
        try:
            self._take_in(messages)
        finally:
            answered = self._next_id - len(self._sent) - last_id
            if answered:
                self._on_answered(last_id + answered - 1)
            if self._full:
                self._pause_full()

    def _take_in(self, messages: Sequence[object]) -> None:
        sent, ready, answer = self._sent, self.ready, native.Answer
        for each in messages:
            if type(each) is answer:
                if not sent or sent[0].id != each.id:
                    raise ProtocolError(f"an answer to request {each.id} came where {_expected(sent)} was next")
                if each.code:
                    self._on_error(sent[0], each)
                    if self.lost is not None:
                        return
                call = sent.popleft()
                call.answer, call.done = each, True
                if each.zxid > self.seen_zxid:
                    self.seen_zxid = each.zxid
                if call.number:
                    self._acked = call.number
                    self._weight -= call.weight
                if type(call) is ArmCall:
                    self._on_armed(call)
                if call.wanted:
                    ready.append(call)
            elif type(each) is WatchEvent:
                self._on_event(each)
                self.seen_zxid = max(self.seen_zxid, each.zxid)
            elif type(each) is Goodbye:
                self._on_goodbye(each)
            else:
                raise ProtocolError(f"the server says {type(each).__name__}, which has no place here")

    def heard(self, now: float) -> None:
        """The server has said something, if only a part of a frame."""
        self._heard_s = now

    def _on_error(self, call: Call, answer: native.Answer) -> None:
        error = native.error_of(answer)
        if type(error) is SessionMovedError:  # nothing was done: it will be said again where the session is
            raise ProtocolError(f"the session has moved to another connection: {error}")
        if type(error) is UnacknowledgedError:  # nor here: the greeting says again what was received
            raise ProtocolError(f"the server keeps no more answers for the session: {error}")
        if type(error) is SessionExpiredError:
            self.lose(SessionLostError(f"session {self.id:#x} has ended: {error}"))
            return
        error.step = native.failed_step_of(answer)
        _finish(call, error)

    def _on_answered(self, last_id: int) -> None:
        """All up to `last_id`. What went to the leader proves that the session lived when it was sent."""
        flights, proofs = self._flights, self._proofs
        while flights and flights[0][0] <= last_id:
            flights.popleft()
        while proofs and proofs[0][0] <= last_id:
            self.deadline_s = max(self.deadline_s, proofs.popleft()[1] + self.timeout_s)

    def _on_armed(self, call: ArmCall) -> None:
        watch = call.watch
        if watch.arming is not call:
            return  # nobody wants it any more; an Unwatch is on its way
        watch.arming = None
        if call.error is None:
            watch.armed = True
            return
        del self._watches[watch.id]
        watch.error = call.error
        self.ready.append(watch)

    def _on_event(self, event: WatchEvent) -> None:
        watch = self._watches.get(event.watch_id)
        if watch is None:
            return
        if not watch.events:
            self.ready.append(watch)
        watch.events.append(event)
        watch.position = event.zxid
        if len(watch.events) == EVENTS_MAX:
            self._full.append(watch)

    def _on_goodbye(self, goodbye: Goodbye) -> None:
        if goodbye.code in (SESSION_UNKNOWN, MALFORMED):  # said again it would be as malformed
            self.lose(SessionLostError(f"session {self.id:#x} has ended: {goodbye.reason}"))
        raise ProtocolError(f"the server hangs up: {goodbye.reason}")

    def _pause_full(self) -> None:
        """Watches whose events nobody takes are not told more: the servers' window keeps it for them, for a while."""
        full, self._full = self._full, []
        for watch in full:
            if self._watches.pop(watch.id, None) is not watch:
                continue
            if watch.armed:  # else it is being told what it missed, and has got to the last event it was told of
                watch.position = self.seen_zxid
            watch.armed, watch.arming = False, None
            self._waiting.append(Call(Unwatch(watch.id), False, self._heard_s))
            self._paused.append(watch)

    # ---- time

    def tick(self, now: float) -> None:
        """What time brings: the session's end, calls that have waited too long, a ping."""
        self._check_deadline(now)
        if self.lost is not None:
            return
        for calls in (self._sent, self._waiting):
            for call in calls:
                if call.wanted and not call.done and type(call) is Call:
                    if now - call.started_s < self._call_timeout_s:
                        break
                    self._time_out(call)
        if self.state == CONNECTED and now - self._proving_s >= self.timeout_s / PINGS_A_TIMEOUT:
            self._proving_s = now
            self._waiting.append(Call(Ping(), False, now))

    def is_silent(self, now: float) -> bool:
        """The server owes an answer and has said nothing for so long that another is to be tried."""
        patience_s = self.timeout_s / PINGS_A_TIMEOUT
        flights = self._flights
        return self.state is CONNECTED and bool(flights) and now - max(flights[0][1], self._heard_s) >= patience_s

    def next_tick_s(self, now: float) -> float:
        """When to tick at the latest."""
        return max(now, min(self.deadline_s, now + self.timeout_s / (4 * PINGS_A_TIMEOUT)))

    def _check_deadline(self, now: float) -> None:
        if now >= self.deadline_s and self.lost is None:
            self.lose(
                SessionLostError(
                    f"session {self.id:#x} is not proved alive any more: the last request that was answered was sent "
                    f"{now - self.deadline_s + self.timeout_s:.1f} s ago, and its timeout is {self.timeout_s:g} s"
                )
            )

    def _time_out(self, call: Call) -> None:
        call.wanted = False
        call.error = CallTimeoutError(
            f"{type(call.request).__name__} {getattr(call.request, 'path', '')} was not answered within "
            f"{self._call_timeout_s:g} s" + ("; it may have happened" if call.number else "")
        )
        call.done = True
        self.ready.append(call)


def _watch_request(watch: WatchState) -> Watch:
    filter = watch.filter
    return Watch(watch.id, filter.path, filter.recursive, filter.kinds, filter.depth_max, watch.position)


def _is_said_again(call: Call) -> bool:
    """On a new connection. Watches are armed anew in another way."""
    if type(call) is ArmCall or type(call.request) in (Unwatch, Ping):
        return False
    return call.wanted or call.number > 0


def _finish(call: Call, error: CoordError) -> None:
    if not call.done:
        call.error, call.done = error, True


def _another(error: CoordError) -> CoordError:
    """One for each that raises it: a traceback belongs to one task."""
    return type(error)(*error.args)


def _expected(sent: "deque[Call]") -> str:
    return f"that to {sent[0].id}" if sent else "none"
