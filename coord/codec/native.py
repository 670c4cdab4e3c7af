"""coord's own client protocol: the one door to native_rows, native_requests, native_replies and native_answers.

The server uses decode_greeting, decode_calls and what writes replies; the client encode_greeting, encode_request,
split_frames, decode_server_message, read_reply and error_of.
"""

from coord.codec.native_answers import (
    Answer,
    ServerMessage,
    decode_server_message,
    error_of,
    failed_step_of,
    read_reply,
)
from coord.codec.native_replies import (
    encode_event,
    encode_event_of,
    encode_goodbye,
    encode_refusal,
    encode_reply,
    encode_welcome,
    event_tail,
    pack,
    restamp,
)
from coord.codec.native_requests import (
    decode_calls,
    decode_greeting,
    decode_requests,
    encode_greeting,
    encode_request,
)
from coord.codec.native_rows import (
    CLIENT_FRAME_BYTES,
    OPCODE_OF_ROW,
    PREAMBLE,
    SERVER_FRAME_BYTES_MAX,
    WRITE_CLASSES,
    encode_frame,
    split_frames,
)

__all__ = [
    "CLIENT_FRAME_BYTES", "OPCODE_OF_ROW", "PREAMBLE", "SERVER_FRAME_BYTES_MAX", "WRITE_CLASSES", "Answer",
    "ServerMessage", "decode_calls", "decode_greeting", "decode_requests", "decode_server_message", "encode_event",
    "encode_event_of", "encode_frame", "encode_goodbye", "encode_greeting", "encode_refusal", "encode_reply",
    "encode_request", "encode_welcome", "error_of", "event_tail", "failed_step_of", "pack", "read_reply", "restamp",
    "split_frames",
]  # fmt: skip
