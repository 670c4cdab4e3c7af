"""What the log looks like: one line an event, whatever the event holds.

A line is the time (UTC), the level, who speaks (server, epoch, zxid), a sentence, and fields as key=value; or the
same as one JSON object. Two promises: no event can break a line in two or forge another, and no field with
a secret's name, and no bytes of a user's, are ever shown.
"""

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

LOGGER = "coord"
SECRET_WORDS = frozenset(("auth", "credential", "credentials", "passwd", "password", "secret", "token"))
"""A field is secret if one of these is a word of its name, as in session_password."""
SECRET_NAMES = frozenset(("super_digest",))
HIDDEN = "(hidden)"


class EventLog:
    """One server's voice. Whoever drives the server keeps `epoch` and `zxid` up to date; None is not shown."""

    __slots__ = ("epoch", "logger", "server", "zxid")

    def __init__(self, server: int) -> None:
        self.server = server
        self.epoch: int | None = None
        self.zxid: int | None = None
        self.logger = logging.getLogger(LOGGER)

    def __repr__(self) -> str:
        return f"<EventLog {' '.join(f'{name}={value}' for name, value in shown(self._speaker()).items())}>"

    def debug(self, sentence: str, /, **fields: object) -> None:
        self._log(logging.DEBUG, sentence, fields)

    def info(self, sentence: str, /, **fields: object) -> None:
        self._log(logging.INFO, sentence, fields)

    def warning(self, sentence: str, /, **fields: object) -> None:
        self._log(logging.WARNING, sentence, fields)

    def error(self, sentence: str, /, **fields: object) -> None:
        self._log(logging.ERROR, sentence, fields)

    def _log(self, level: int, sentence: str, fields: Mapping[str, object]) -> None:
        if self.logger.isEnabledFor(level):
            self.logger.log(level, sentence, extra={"speaker": self._speaker(), "fields": fields})

    def _speaker(self) -> dict[str, object]:
        who = {"server": self.server, "epoch": self.epoch, "zxid": self.zxid}
        return {name: value for name, value in who.items() if value is not None}


class TextLine(logging.Formatter):
    """2026-05-01T12:00:00.000Z info server=1 epoch=3 zxid=0x30000000001 the sentence key=value"""

    def format(self, record: logging.LogRecord) -> str:
        speaker, sentence, fields = parts(record)
        words = [moment(record.created), record.levelname.lower()]
        words += [f"{name}={plain(value)}" for name, value in shown(speaker).items()]
        words.append(one_line(sentence))
        words += [f"{one_line(name)}={plain(value)}" for name, value in shown(fields).items()]
        return " ".join(words)


class JsonLine(logging.Formatter):
    """The same as one JSON object. A field with the name of one that every line has takes its place."""

    def format(self, record: logging.LogRecord) -> str:
        speaker, sentence, fields = parts(record)
        head = {"time": moment(record.created), "level": record.levelname.lower()}
        return json.dumps({**head, **shown(speaker), "event": sentence, **shown(fields)})


def configure(level: str, form: str, stream: TextIO | None = None) -> None:
    """Send this process's log, and that of the libraries it uses, to `stream` (standard error if none).

    `level` and `form` are the settings log_level and log_format.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(FORMATTERS[form]())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # other libraries speak up only when something is wrong
    logging.getLogger(LOGGER).setLevel(level.upper())
    logging.captureWarnings(True)


def parts(record: logging.LogRecord) -> tuple[Mapping[str, object], str, Mapping[str, object]]:
    """Who speaks, the sentence and its fields; a library's record has only a sentence, and perhaps a traceback."""
    fields = dict(getattr(record, "fields", {}))
    if record.name != LOGGER:
        fields["logger"] = record.name
    if record.exc_info and record.exc_info[1] is not None:
        fields["traceback"] = "".join(traceback.format_exception(record.exc_info[1]))
    return getattr(record, "speaker", {}), record.getMessage(), fields


def shown(fields: Mapping[str, object]) -> dict[str, str | int | float | bool | None]:
    """The fields in the form in which they may be seen."""
    return {name: HIDDEN if is_secret(name) else visible(name, value) for name, value in fields.items()}


def is_secret(name: str) -> bool:
    name = name.lower()
    return name in SECRET_NAMES or not SECRET_WORDS.isdisjoint(name.split("_"))


def visible(name: str, value: object) -> str | int | float | bool | None:
    """A zxid or session in hexadecimal, as ZooKeeper's tools show it; bytes, which are a user's, by their length."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"({len(value)} bytes)"
    if type(value) is int and (name.endswith("zxid") or name == "session"):
        return f"{value:#x}"
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)


def plain(value: str | int | float | bool | None) -> str:
    """A value for a line of text; in quotes if it could be taken for more than one word."""
    text = str(value)
    bare = text.isascii() and text.isprintable() and text and not set(text) & set(' "=\\')
    return text if bare else json.dumps(text)


def one_line(text: str) -> str:
    """The text with everything escaped that could end the line or move the cursor."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


FORMATTERS: dict[str, type[logging.Formatter]] = {"text": TextLine, "json": JsonLine}
