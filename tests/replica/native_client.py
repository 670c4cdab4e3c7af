"""A client of coord's own protocol in the replicas' world, seen message by message."""

from typing import TypeVar

from coord.codec import native
from coord.model.acl import Identity
from coord.model.handshake import Goodbye, Greeting, Refusal, Welcome
from coord.model.replies import Reply, WatchEvent
from coord.model.requests import Acknowledge, Request
from tests.replica.replica_world import World

T = TypeVar("T")


class NativeClient:
    """One connection; `numbers` are those of its session's writes."""

    def __init__(self, world: World, server: int, identities: tuple[Identity, ...] = (("ip", "10.0.0.1"),)) -> None:
        self.world = world
        self.server = server
        self.connection = next(world.numbers)
        self.frames: list[list[native.ServerMessage]] = []
        self.asked: dict[int, Request] = {}  # by id
        self.hung_up = ""
        self.pipeline = world.replicas[server].attach(self.connection, native, identities, "10.0.0.1:1")
        self.number = 0
        self.next_id = 1
        world.clients[server, self.connection] = self  # type: ignore[assignment]

    def greet(
        self,
        session: int = 0,
        password: bytes = b"",
        *,
        seen: int = 0,
        acked: int = 0,
        auth: tuple[tuple[str, bytes], ...] = (),
        versions: tuple[int, int] = (1, 1),
        cluster: int = 0,
        timeout_ms: int = 4000,
    ) -> "NativeClient":
        greeting = Greeting(*versions, cluster, 0, session, password, seen, timeout_ms, acked, auth, "a test")
        sent = native.decode_greeting(native.encode_greeting(greeting))
        self.world.replicas[self.server].clients.open(self.pipeline, sent)
        return self

    def send(self, *requests: Request, silent: bool = False, number: int = 0) -> None:
        """One frame of requests; writes get the next numbers, or those from `number` on."""
        if number:
            self.number = number - 1
        messages = []
        for request in requests:
            id = 0 if silent or type(request) is Acknowledge else self.next_id
            numbered = type(request) in native.WRITE_CLASSES
            self.number += numbered
            if id:
                self.asked[id] = request
                self.next_id += 1
            messages.append(native.encode_request(id, request, self.number if numbered else 0))
        self.send_bytes(native.encode_frame(messages))

    def send_bytes(self, data: bytes) -> None:
        calls, _ = native.decode_calls(data, 1 << 20)
        self.world.replicas[self.server].submit(self.pipeline, calls)

    def do(self, *requests: Request, number: int = 0) -> list[Reply | Exception]:
        """Send, let the world settle, and give the new replies or errors."""
        before = len(self.answers)
        self.send(*requests, number=number)
        self.world.settle()
        return [self.read(answer) for answer in self.answers[before:]]

    def read(self, answer: native.Answer) -> Reply | Exception:
        return native.error_of(answer) if answer.code else native.read_reply(self.asked[answer.id], answer)

    def deliver(self, data: bytes) -> None:
        payloads, consumed = native.split_frames(data, native.SERVER_FRAME_BYTES_MAX)
        assert consumed == len(data)
        assert len(payloads) == 1, "a delivery is one frame"
        self.frames += map(native.decode_server_message, payloads)

    def of(self, kind: type[T]) -> list[T]:
        return [each for frame in self.frames for each in frame if isinstance(each, kind)]

    @property
    def answers(self) -> list[native.Answer]:
        return self.of(native.Answer)

    @property
    def welcome(self) -> Welcome:
        (welcome,) = self.of(Welcome)
        return welcome

    @property
    def refusal(self) -> Refusal:
        (refusal,) = self.of(Refusal)
        return refusal

    @property
    def goodbye(self) -> Goodbye:
        (goodbye,) = self.of(Goodbye)
        return goodbye

    @property
    def events(self) -> list[WatchEvent]:
        return self.of(WatchEvent)

    def heard(self) -> list[tuple[int, int, str]]:
        """(watch, kind, path) of the events so far."""
        return [(event.watch_id, event.kind, event.path) for event in self.events]

    def again(self, server: int | None = None, **greeting: object) -> "NativeClient":
        """The same session on another connection; it goes on with its numbers."""
        welcome = self.welcome
        other = NativeClient(self.world, server or self.server)
        other.greet(welcome.session, welcome.password, **greeting)  # type: ignore[arg-type]
        other.number = self.number
        return other


def native_client(world: World, server: int = 1, **greeting: object) -> NativeClient:
    """Connected, its session open."""
    client = NativeClient(world, server).greet(**greeting)  # type: ignore[arg-type]
    world.settle()
    return client
