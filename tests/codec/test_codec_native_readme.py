"""The worked example in coord/codec/README.md is what the codec writes and reads."""

import re
from pathlib import Path

from coord.codec import native
from coord.codec.calls import Call
from coord.codec.native_rows import OTHERS, STEPS, WRITES
from coord.model.acl import OPEN_ACL
from coord.model.errors import NoNodeError
from coord.model.handshake import Greeting, Welcome
from coord.model.replies import Created, Done, Failed, WatchEvent
from coord.model.requests import Acknowledge, Create, GetData, Watch
from coord.model.stat import Stat

README = (Path(__file__).parents[2] / "coord/codec/README.md").read_text(encoding="utf-8")
EXAMPLE = [bytes.fromhex(each) for each in re.findall(r"```hex\n(.*?)```", README, re.DOTALL)]

GREETING = Greeting(1, 1, 0, 0, 0, b"", 0, 10_000, 0, (("digest", b"ann:pw"),), "docs")
WELCOME = Welcome(1, 7, 0, 2, 0x200000000000003, bytes(range(16)), 10_000, 0x10000000005, 0, 1_048_575)
REQUESTS = [
    (0, Acknowledge(1), 0),
    (3, Create("/a", b"hi", OPEN_ACL), 2),
    (4, Watch(1, "/a", False, 2 + 4 + 8, -1, 0), 0),
    (5, GetData("/b"), 0),
]
AT = 0x10000000006
STAT = Stat(AT, AT, 1_700_000_000_000, 1_700_000_000_000, 0, 0, 0, 0, 2, 0, AT)


def test_the_greeting_and_the_welcome() -> None:
    sent, answered = EXAMPLE[:2]
    assert sent == native.PREAMBLE + native.encode_frame([native.encode_greeting(GREETING)])
    (payload,), _ = native.split_frames(sent[4:], 1000)
    assert native.decode_greeting(payload) == GREETING
    assert answered == native.pack([native.encode_welcome(WELCOME)])
    (payload,), _ = native.split_frames(answered, 1000)
    assert native.decode_server_message(payload) == [WELCOME]


def test_the_requests() -> None:
    assert EXAMPLE[2] == native.encode_frame([native.encode_request(*each) for each in REQUESTS])
    calls, _ = native.decode_calls(EXAMPLE[2], 1000)
    assert [(call.xid, call.request, call.number) for call in calls] == REQUESTS


def test_the_replies() -> None:
    event = WatchEvent(1, AT + 1, 3, "/a", 0)
    error = Failed(NoNodeError("/b does not exist"))
    created, armed, failed = [
        native.encode_reply(Call(id, 0, request), AT, reply)
        for (id, request, _), reply in zip(REQUESTS[1:], (Created("/a", STAT), Done(), error), strict=True)
    ]
    assert EXAMPLE[3] == native.pack([created, armed, failed, native.encode_event(event)])
    (payload,), _ = native.split_frames(EXAMPLE[3], 1000)
    first, second, third, fourth = native.decode_server_message(payload)
    assert isinstance(first, native.Answer)
    assert native.read_reply(REQUESTS[1][1], first) == Created("/a", STAT)
    assert second == native.Answer(4, AT, 0, [])
    assert third == native.Answer(5, AT, -101, ["/b does not exist"])
    assert fourth == event


def test_every_row_stands_in_the_table() -> None:
    table = README[README.index("| row | request |") : README.index("Rows 1 to 16")]
    named = {int(row) for first in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) for row in first.split(",")}
    assert named == WRITES.keys() | STEPS.keys() | OTHERS.keys()
