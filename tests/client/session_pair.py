"""A session as a pure machine, joined to a model of the servers by lists, with a clock that the test turns."""

from coord.client.calls import Call, WatchFilter, WatchState
from coord.client.session import Session
from coord.codec import native
from coord.model.requests import GetData, SetData
from tests.client.model_server import TIMEOUT_MS, ModelServer

TIMEOUT_S = TIMEOUT_MS / 1000
LIST = WatchFilter("/list", False, 0b11110, -1)


class Pair:
    """A session, the servers, and the connection between them."""

    def __init__(self, **options) -> None:
        self.server = ModelServer()
        self.session = Session(TIMEOUT_S, **options)
        self.now = 100.0

    def connect(self) -> None:
        welcome = self.server.connect(self.session.greeting(self.now))
        self.session.welcomed(welcome, self.now)

    def write(self, value: bytes = b"x") -> Call:
        return self.session.submit(SetData("/list", value), True, self.now)

    def read(self) -> Call:
        return self.session.submit(GetData("/list"), False, self.now)

    def send(self) -> None:
        while frame := self.session.take(self.now):
            self.server.receive(frame)

    def deliver(self) -> bool:
        frame = self.server.next_frame()
        if frame is None:
            return False
        self.session.receive(native.decode_server_message(frame[4:]), self.now)
        return True

    def settle(self) -> None:
        self.send()
        while self.deliver():
            pass


def answered(call: Call):
    assert call.done, f"{call} was not answered"
    assert call.error is None, call.error
    return native.read_reply(call.request, call.answer)


def events_of(watch: WatchState) -> list[int]:
    return [each.zxid for each in watch.events]
