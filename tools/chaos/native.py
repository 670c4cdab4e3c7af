"""coord's own client among those of a chaos run: it records what it is told, and no call fails while its session lives.

The library resends what a broken connection left unanswered, so nearly nothing here is of unknown outcome: only what
was under way when the session ended. A read that was asked on one connection and answered on another may show a later
write of its own burst, which the checker of sessions does not allow; it is recorded as lost.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import coord
from coord.client.calls import Call
from coord.client.client import Client
from coord.codec.native import Answer, error_of, failed_step_of, read_reply
from coord.model.errors import RolledBackError, RuntimeInconsistencyError
from coord.model.replies import Failed, MultiDone, Reply
from coord.model.requests import Multi, Request, Sync
from tools.check.history import CLOSED, CONNECTED, EXPIRED, WRITES, Recorder
from tools.ensembles.ports import HOST


class NativeKind:
    """A blocking client of the library. Its watches are left to its own tests: the checkers know ZooKeeper's alone."""

    watches = False

    def __init__(
        self, recorder: Recorder, name: str, ports: Sequence[int], timeout_ms: int, no_connection: type[Exception]
    ) -> None:
        self._recorder = recorder
        self._name = name
        self._ended = False
        self._welcomes = 0
        self._client = coord.connect_blocking(
            [f"{HOST}:{port}" for port in ports], session_timeout=timeout_ms / 1000, connect_timeout=10, name=name
        )
        try:
            self._client.__enter__()
        except coord.CoordError as error:
            raise no_connection(str(error)) from error
        self.session = self._client.run(self._begin)
        recorder.session(name, self.session, CONNECTED)

    async def _begin(self, client: Client) -> int:
        session: Any = client._runtime.session
        welcomed: Callable[[Any, float], None] = session.welcomed

        def counted(welcome: Any, now: float) -> None:
            self._welcomes += 1
            welcomed(welcome, now)

        session.welcomed = counted
        identifier: int = session.id
        return identifier

    def call(self, request: Request, linearizable: bool = False) -> Reply | None:
        return self._ask([request], linearizable)[0]

    def call_all(self, requests: Sequence[Request]) -> Sequence[Reply | None]:
        return self._ask(requests, False)

    def go_on(self) -> bool:
        """It connects by itself; only an ended session is the end."""
        return not self._ended

    def move(self) -> bool:
        return self.go_on()  # it moves when it has to

    def end(self) -> None:
        self.close()

    def close(self) -> None:
        """The library closes the session it leaves."""
        if not self._ended:
            self._ended = True
            self._recorder.session(self._name, self.session, CLOSED)
        with suppress(coord.CoordError):  # the session had ended, which every call has been told
            self._client.__exit__(None, None, None)

    def _ask(self, requests: Sequence[Request], linearizable: bool) -> list[Reply | None]:
        if self._ended:
            return [None] * len(requests)
        return self._client.run(self._ask_there, requests, linearizable)

    async def _ask_there(self, client: Client, requests: Sequence[Request], linearizable: bool) -> list[Reply | None]:
        """All in one go, in the client's own thread; the replies, None for what nobody will know."""
        runtime, recorder, welcomes = client._runtime, self._recorder, self._welcomes
        calls: list[tuple[int, Call | None]] = []
        for request in requests:
            operation = recorder.call(self._name, self.session, request, (), linearizable)
            first = Sync("/") if linearizable else None
            try:
                call = runtime.session.submit(request, type(request) in WRITES, runtime.clock(), first)
            except coord.SessionLostError:
                calls.append((operation, None))
            else:
                calls.append((operation, call))
        runtime.kick()
        replies: list[Reply | None] = []
        for (operation, waited), request in zip(calls, requests, strict=True):
            while waited is not None and not waited.done:
                await runtime.waiting.wait(waited)
            if waited is None or waited.answer is None:
                error = None if waited is None else waited.error
                assert error is None or isinstance(error, coord.SessionLostError), f"{request} failed with {error!r}"
                recorder.lost(operation)
                self._lose()
                replies.append(None)
                continue
            reply = reply_of(request, waited.answer)
            replies.append(reply)
            if len(requests) > 1 and not waited.writes and self._welcomes != welcomes:
                recorder.lost(operation)
            else:
                recorder.returned(operation, reply, waited.answer.zxid)
        return replies

    def _lose(self) -> None:
        if not self._ended:
            self._ended = True
            self._recorder.session(self._name, self.session, EXPIRED)


def reply_of(request: Request, answer: Answer) -> Reply:
    """The reply as ZooKeeper's protocol would have it: a multi that failed tells of each of its steps."""
    if not answer.code:
        return read_reply(request, answer)
    failed = Failed(error_of(answer))
    step = failed_step_of(answer)
    if not isinstance(request, Multi) or step is None:
        return failed
    before, after = Failed(RolledBackError("taken back")), Failed(RuntimeInconsistencyError("not tried"))
    return MultiDone((*[before] * step, failed, *[after] * (len(request.requests) - step - 1)))
