"""The tools' own copy of ZooKeeper's encoding, against bytes made by kazoo."""

import pytest

from tools.wire import jute
from tools.wire.jute import Op, Reader, Stat

OPEN = "0000001f 00000005 776f726c64 00000006 616e796f6e65"


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (
            jute.connect_request(10_000),
            "0000002d 00000000 0000000000000000 00002710 0000000000000000 00000010" + "00" * 16 + "00",
        ),
        (
            jute.request(1, Op.CREATE, jute.create("/a", b"x", flags=1)),
            f"00000032 00000001 00000001 00000002 2f61 00000001 78 00000001 {OPEN} 00000001",
        ),
        (
            jute.request(
                3,
                Op.MULTI,
                jute.multi((Op.CHECK, jute.path_and_version("/a")), (Op.DELETE, jute.path_and_version("/a"))),
            ),
            "00000037 00000003 0000000e 0000000d 00 ffffffff 00000002 2f61 ffffffff"
            "00000002 00 ffffffff 00000002 2f61 ffffffff ffffffff 01 ffffffff",
        ),
        (jute.request(2, Op.EXISTS, jute.path_and_watch("/a", True)), "0000000f 00000002 00000003 00000002 2f61 01"),
        (jute.request(jute.PING_XID, Op.PING), "00000008 fffffffe 0000000b"),
        (
            jute.request(jute.AUTH_XID, Op.AUTH, jute.auth("digest", b"u:p")),
            "0000001d fffffffc 00000064 00000000 00000006 646967657374 00000003 753a70",
        ),
        (jute.request(5, Op.CLOSE_SESSION), "00000008 00000005 fffffff5"),
    ],
    ids=["connect", "create", "multi", "exists", "ping", "auth", "close"],
)
def test_requests_have_the_bytes_that_clients_send(made: bytes, expected: str) -> None:
    assert made == bytes.fromhex(expected)


def test_an_old_clients_connect_request_lacks_the_last_byte() -> None:
    assert jute.connect_request(10_000, read_only=None) == b"\x00\x00\x00\x2c" + jute.connect_request(10_000)[4:-1]


def test_the_reader_takes_each_kind_of_field() -> None:
    stat = Stat(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
    fields = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
    reader = Reader(
        jute.int32(-7)
        + jute.int64(-8)
        + jute.boolean(True)
        + jute.buffer(None)
        + jute.string("ä")
        + jute.strings(["a", ""])
        + jute.acl_list(jute.OPEN_ACL)
        + jute.STAT.pack(*fields)
    )
    assert (reader.int32(), reader.int64(), reader.boolean(), reader.buffer()) == (-7, -8, True, None)
    assert (reader.string(), reader.strings()) == ("ä", ["a", ""])
    assert reader.acl() == list(jute.OPEN_ACL)
    assert reader.stat() == stat
    reader.end()


def test_the_reader_refuses_too_few_and_too_many_bytes() -> None:
    with pytest.raises(AssertionError, match="too early"):
        Reader(b"\x00\x00").int32()
    with pytest.raises(AssertionError, match="too many"):
        Reader(b"\x00").end()
