"""What all servers together are to a session, in a few lines: its writes done once, its answers kept, its watches told.

The znode is a list: a write appends its value, a read gives the list. Changes take zxids 1, 2, 3 ...
"""

from dataclasses import dataclass, field

from coord.codec import native
from coord.codec.calls import Call
from coord.model.errors import BadArgumentsError
from coord.model.handshake import Greeting, Welcome
from coord.model.replies import DATA_CHANGED, DataReply, Done, Failed, Repeated, Reply, WatchEvent, Written
from coord.model.requests import Acknowledge, CloseSession, GetData, Ping, SetData, Sync, Unwatch, Watch
from coord.model.stat import Stat

TIMEOUT_MS = 9_000
SESSION = 77


@dataclass
class ModelServer:
    """Frames in, frames out. `connect` begins a new connection; what the old one had to say is gone with it."""

    done: list[bytes] = field(default_factory=list)
    zxid: int = 0
    applied: int = 0
    kept: dict[int, tuple[int, Reply]] = field(default_factory=dict)
    out: list[list[bytes]] = field(default_factory=list)  # frames' messages
    watches: dict[int, int] = field(default_factory=dict)  # id: armed at
    changes: list[int] = field(default_factory=list)  # zxids
    problems: list[str] = field(default_factory=list)

    def connect(self, greeting: Greeting) -> Welcome:
        self.out.clear()
        self.watches.clear()
        self.last_id = 0
        if greeting.seen_zxid > self.zxid:
            self.problems.append(f"it has seen {greeting.seen_zxid}, and there is {self.zxid}")
        self.forget(greeting.acked)
        return Welcome(1, 1, 0, 1, SESSION, b"s" * 16, TIMEOUT_MS, self.zxid, self.applied, (1 << 20) - 1)

    def forget(self, acked: int) -> None:
        for number in [each for each in self.kept if each <= acked]:
            del self.kept[number]

    def receive(self, frame: bytes) -> None:
        payloads, consumed = native.split_frames(frame, 1 << 20)
        assert consumed == len(frame)
        for payload in payloads:
            for call in native.decode_requests(payload):
                self.answer(call)

    def change(self, value: bytes) -> None:
        """A write of the session's or of somebody else's."""
        self.zxid += 1
        self.done.append(value)
        self.changes.append(self.zxid)
        events = [native.encode_event(WatchEvent(id, self.zxid, DATA_CHANGED, "/list", 0)) for id in self.watches]
        if events:
            self.out.append(events)

    def answer(self, call: Call) -> None:
        if call.xid:
            if call.xid != self.last_id + 1:
                self.problems.append(f"request {call.xid} came after {self.last_id}")
            self.last_id = call.xid
        request = call.request
        reply: Reply = Done()
        if type(request) is Acknowledge:
            self.forget(request.number)
            return
        if type(request) is SetData:
            reply = self.write(call.number, request)
        elif type(request) is CloseSession:
            self.applied += 1
        elif type(request) is GetData:
            reply = DataReply(b",".join(self.done), self.stat())
        elif type(request) is Watch:
            self.watches[request.watch_id] = self.zxid
            if request.since_zxid:
                for zxid in [each for each in self.changes if each > request.since_zxid]:
                    event = WatchEvent(request.watch_id, zxid, DATA_CHANGED, "/list", 0)
                    self.out.append([native.encode_event(event)])
        elif type(request) is Unwatch:
            self.watches.pop(request.watch_id, None)
        else:
            assert type(request) in (Ping, Sync, CloseSession), request
        if call.xid:
            self.out.append([native.encode_reply(call, self.zxid, reply)])

    def write(self, number: int, request: SetData) -> Reply:
        if number <= self.applied:
            if number not in self.kept:
                self.problems.append(f"write {number} came again after it was acknowledged")
                return Failed(BadArgumentsError("acknowledged"))
            zxid, reply = self.kept[number]
            return Repeated(reply, zxid)
        if number != self.applied + 1:
            self.problems.append(f"write {number} came after {self.applied}")
            return Failed(BadArgumentsError("a gap"))
        self.applied = number
        self.change(request.data or b"")
        reply = Written(self.stat())
        self.kept[number] = self.zxid, reply
        if len(self.kept) > 1000:
            self.problems.append("more than 1000 answers are kept")
        return reply

    def stat(self) -> Stat:
        return Stat(1, self.zxid, 0, 0, len(self.done), 0, 0, 0, 0, 0, 0)

    def next_frame(self) -> bytes | None:
        return native.encode_frame(self.out.pop(0)) if self.out else None
