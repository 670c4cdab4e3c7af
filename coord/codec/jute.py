"""ZooKeeper's client protocol as a server speaks it: the one door to jute_read and jute_write."""

from coord.codec.calls import Call
from coord.codec.jute_read import decode_calls, decode_connect
from coord.codec.jute_write import (
    PING,
    PING_XID,
    encode_event,
    encode_goodbye,
    encode_pong,
    encode_refusal,
    encode_reply,
    encode_session,
    encode_welcome,
    pack,
    restamp,
)

__all__ = [
    "PING", "PING_XID", "Call", "decode_calls", "decode_connect", "encode_event", "encode_goodbye", "encode_pong",
    "encode_refusal", "encode_reply", "encode_session", "encode_welcome", "pack", "restamp",
]  # fmt: skip
