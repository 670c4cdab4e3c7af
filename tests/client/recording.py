"""Takes down what a client asks and is answered, for the checkers of tools/check."""

from typing import Any

from coord.client.client import Client
from coord.codec.native import Answer, read_reply
from coord.model.errors import ERRORS, CoordError
from coord.model.replies import Failed
from coord.model.requests import Sync
from tools.check.history import CONNECTED, READS, WRITES, Recorder


def record(client: Client, name: str, recorder: Recorder) -> None:
    """From now on. Watches are not recorded: their checker knows ZooKeeper's alone.

    A read that had to be asked again on another connection counts as lost: it may show a later write of its own
    session, one that was done in the meantime, which the checker of sessions does not allow.
    """
    session: Any = client._runtime.session
    submit, receive, welcomed = session.submit, session.receive, session.welcomed
    again: set[int] = set()
    numbers: dict[int, tuple[Any, int]] = {}  # by the call's identity, which the call keeps alive
    recorder.session(name, session.id, CONNECTED)

    def recorded_submit(request: Any, writes: bool, now: float, first: Any = None) -> Any:
        call = submit(request, writes, now, first)
        if type(request) in WRITES | READS | {Sync}:
            operation = recorder.call(name, session.id, request, (), type(first) is Sync)
            numbers[id(call)] = call, operation
        return call

    def recorded_receive(messages: list[Any], now: float) -> None:
        sent = list(session._sent)
        receive(messages, now)
        for call in sent:
            if call.answer is None or id(call) not in numbers:
                continue
            _, operation = numbers.pop(id(call))
            answer: Answer = call.answer
            if operation in again:
                recorder.lost(operation)
            elif answer.code:
                error = ERRORS.get(answer.code, CoordError)(str(answer.fields[0]))
                recorder.returned(operation, Failed(error), answer.zxid)
            else:
                recorder.returned(operation, read_reply(call.request, answer), answer.zxid)

    def recorded_welcome(welcome: Any, now: float) -> None:
        for call in (*session._sent, *session._waiting):
            if call.id and not call.writes and id(call) in numbers:
                again.add(numbers[id(call)][1])
        welcomed(welcome, now)

    session.submit, session.receive, session.welcomed = recorded_submit, recorded_receive, recorded_welcome
