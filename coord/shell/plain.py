"""Values as JSON: what every command gives to programs. Pure.

The names are those of the fields. Zxids and sessions are texts such as "0x10000000006" (a JSON number may lose digits),
moments are texts in UTC, and a value is a text, or {"base64": ...} where it is not UTF-8.
"""

import base64
import dataclasses
import json
import re
from enum import Enum
from typing import Any

from coord.client.events import Event
from coord.model.acl import Acl
from coord.model.stat import Stat
from coord.shell.acls import shown_permissions
from coord.shell.health import ServerStatus
from coord.shell.kinds import kind_of
from coord.shell.units import moment
from coord.shell.values import AccessList, Branch, Done, Hex, ListedAccess, Moment, Told, Value

_HEX = frozenset(("czxid", "mzxid", "pzxid", "ephemeral_owner", "zxid"))
_MOMENTS = frozenset(("ctime", "mtime"))
_CONTROLS = re.compile("[\x7f-\x9f]")
_HIDDEN = {Value: ("raw",), Branch: ("name",), ServerStatus: ("digests", "lags_ms")}


def as_json(value: Any) -> str:
    """One line."""
    return json_line(plain(value))


def json_line(value: Any) -> str:
    """Letters of all languages as they are; what does things to a terminal is escaped, also what JSON lets be."""
    text = json.dumps(value, ensure_ascii=False)
    if not text.isprintable():
        text = _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return text.encode("utf-8", "backslashreplace").decode()  # bytes that are no text: JSON writes them as \udcff too


def plain(value: Any) -> Any:
    """What json can write."""
    if isinstance(value, Moment):
        return moment(value)
    if isinstance(value, Hex):
        return str(value)
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bytes):
        return _text_or_base64(value)
    if isinstance(value, AccessList):
        return {"path": value.path, "acl": _acl(value.acl)} | ({"stat": plain(value.stat)} if value.stat else {})
    if isinstance(value, ListedAccess):
        return {"path": value.path, "acl": None if value.acl is None else _acl(value.acl)}
    if isinstance(value, Told):
        return {"heard": moment(value.heard)} | plain(value.event)
    if isinstance(value, Done):
        return {name: each for name, each in _fields(value).items() if each is not None}
    if isinstance(value, Stat):
        fields = {name: _of_stat(name, getattr(value, name)) for name in value.__dataclass_fields__}
        del fields["lifetime_ms"]
        return fields | {"kind": kind_of(value), "ttl_ms": value.lifetime_ms if value.lifetime_ms > 0 else None}
    if isinstance(value, Event):
        return {name: _of_stat(name, getattr(value, name)) for name in value.__dataclass_fields__}
    if dataclasses.is_dataclass(value):
        return _fields(value)
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def _acl(acl: Acl) -> list[dict[str, str]]:
    return [{"scheme": scheme, "id": id, "permissions": shown_permissions(bits)} for bits, scheme, id in acl]


def _fields(value: Any) -> dict[str, Any]:
    hidden = _HIDDEN.get(type(value), ())
    return {
        each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value) if each.name not in hidden
    }


def _of_stat(name: str, value: Any) -> Any:
    if name in _HEX:
        return f"{value:#x}"
    return moment(value) if name in _MOMENTS else plain(value)


def _text_or_base64(value: bytes) -> str | dict[str, str]:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
