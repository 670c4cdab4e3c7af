"""Asking a server with a four-letter word: one connection, four bytes, a text until the server hangs up."""

import socket
from collections.abc import Mapping

from tools.ensembles.ports import HOST


def ask(port: int, word: str, timeout_s: float = 2.0) -> str:
    """The server's answer. Raises OSError (TimeoutError included) if there is none."""
    parts: list[bytes] = []
    with socket.create_connection((HOST, port), timeout_s) as stream:
        stream.sendall(word.encode())
        while part := stream.recv(65536):
            parts.append(part)
    return b"".join(parts).decode()


def lines_by_key(text: str, separator: str = ": ") -> Mapping[str, str]:
    """The lines `key<separator>value` of an answer (`srvr`, `stat`: ": ", `mntr`: tab, `conf`: "=")."""
    pairs = (line.partition(separator) for line in text.splitlines())
    return {key.strip(): value.strip() for key, found, value in pairs if found}


def mode(port: int, timeout_s: float = 2.0) -> str | None:
    """leader, follower, observer or standalone; None while the server does not serve."""
    try:
        return lines_by_key(ask(port, "srvr", timeout_s)).get("Mode")
    except OSError:
        return None
