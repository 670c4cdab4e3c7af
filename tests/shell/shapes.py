"""The schema of what each command gives with --json. Scripts depend on it: add names, rename or remove none.

A shape is a type, a pattern that a text fits, a list of one shape, a dict of shapes by name, or a set of alternatives.
"""

import re

HEX = re.compile(r"0x[0-9a-f]+")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
KIND = re.compile("persistent|ephemeral|container|ttl")
PERMISSIONS = re.compile("c?d?r?w?a?")


def one_of(*shapes):
    return ("one of", shapes)


VALUE = one_of(str, {"base64": str})
STAT = {
    "czxid": HEX, "mzxid": HEX, "ctime": MOMENT, "mtime": MOMENT, "version": int, "cversion": int, "aversion": int,
    "ephemeral_owner": HEX, "data_length": int, "children_count": int, "pzxid": HEX, "kind": KIND,
    "ttl_ms": one_of(int, None),
}  # fmt: skip
READ_STAT = one_of(STAT, None)  # None: this client may not read the znode
ACL = [{"scheme": str, "id": str, "permissions": PERMISSIONS}]
ZNODE = {"path": str, "stat": STAT}
DONE = {"sentence": str, "path": str}
CHANGED = DONE | {"znodes": int}
SET = DONE | {"version": int, "zxid": HEX}
TOLD = {"heard": MOMENT, "kind": str, "path": str, "zxid": HEX, "cause": str}
MEMBER = {
    "server": int, "peer_address": str, "client_address": one_of(str, None), "role": one_of(str, None),
}  # fmt: skip
SERVER = {"address": str, "problem": one_of(str, None), "id": int, "role": str, "epoch": int, "zxid": HEX}
"""Of a server; there is more."""

CHILD = {"path": str, "name": str, "stat": READ_STAT}
BRANCH = {"path": str, "depth": int, "children": int, "descendants": one_of(int, None), "ephemeral": bool}
STEP = {"step": int, "command": str, "path": one_of(str, None), "version": one_of(int, None)}
DIFFERENCE = {"below": str, "what": str, "first": one_of(VALUE, None), "second": one_of(VALUE, None)}
QUOTA = {
    "path": str, "znodes": int, "bytes": int, "znodes_soft": one_of(int, None), "bytes_soft": one_of(int, None),
    "znodes_hard": one_of(int, None), "bytes_hard": one_of(int, None),
}  # fmt: skip
SESSION = {"session": HEX, "client": str, "server": str, "timeout_ms": int, "last_operation": str, "own": bool}
HOLDER = {
    "path": str, "session": HEX, "client": one_of(str, None), "server": one_of(str, None), "since": MOMENT,
    "value": VALUE,
}  # fmt: skip

COMMANDS_AND_SHAPES = [  # done in this order, after a tree /app was made
    ("ls /app", CHILD),
    ("ls -l /app", CHILD),
    ("ls -R /app", {"path": str, "stat": READ_STAT}),
    ("ls -s /app", one_of(CHILD, ZNODE)),
    ("get /app/a", {"path": str, "value": str, "stat": STAT}),
    ("get /app/b/c", {"path": str, "value": {"base64": str}, "stat": STAT}),
    ("get -r -s /app/a", one_of({"path": str, "value": str, "stat": STAT}, ZNODE)),
    ("get --out {tmp}/a /app/a", DONE),
    ("stat /app", ZNODE),
    ("tree /app", BRANCH),
    ("tree -d 0 /app", BRANCH),
    ("find /app", {"path": str, "stat": READ_STAT}),
    ("du /app", {"path": str, "znodes": int, "bytes": int}),
    ("count /app", {"path": str, "descendants": int}),
    ("create /z", DONE),
    ("create -c /z/c", DONE),
    ("create -t 60000 /z/t", DONE),
    ("stat /z/t", ZNODE),
    ("set /z x", SET),
    ("set -s /z y", one_of(SET, ZNODE)),
    ("edit /z", DONE | {"version": int}),
    ("txn 'create /y' 'set /y z' 'check /y' 'rm /y'", STEP),
    ("cp /z /z2", CHANGED),
    ("mv /z2 /z3", CHANGED),
    ("diff /app /z3", DIFFERENCE),
    ("export /z3 {tmp}/z3", CHANGED),
    ("rm -rf /z3", CHANGED),
    ("import {tmp}/z3", CHANGED),
    ("deleteall -f /z3", CHANGED),
    ("watch -n 1 --since 0x1 -R /", TOLD),
    ("whoami", {"session": HEX, "server": str, "identities": [[str]]}),
    ("auth digest ann:secret", {"sentence": str}),
    ("acl get /app", {"path": str, "acl": ACL}),
    ("acl get -s /app", {"path": str, "acl": ACL, "stat": STAT}),
    ("acl get -R /app", {"path": str, "acl": one_of(ACL, None)}),
    ("acl set /z world:anyone:cdrwa", CHANGED),
    ("acl set -R -s /z world:anyone:cdrwa", one_of(CHANGED, {"path": str, "acl": ACL, "stat": STAT})),
    ("quota set -n 5 /z", DONE),
    ("quota get /z", QUOTA),
    ("quota rm /z", DONE),
    ("status", {"healthy": bool, "problems": [str], "servers": [("at least", SERVER)]}),
    ("leader", MEMBER),
    ("members", MEMBER),
    ("digest", {"server": str, "zxid": HEX, "digest": HEX}),
    ("sessions", SESSION),
    ("create -e /z/e", DONE),
    ("ephemerals", {"session": HEX, "path": str}),
    ("ephemerals -a", {"session": HEX, "path": str}),
    ("who /z/e", HOLDER),
    ("sync", {"sentence": str, "zxid": HEX}),
    ("pwd", {"path": str}),
    ("history", {"number": int, "line": str}),
    ("redo 0", CHILD),
    ("connect h:1", {"sentence": str}),
    ("version", {"shell": str, "server": one_of(str, None)}),
    ("help", {"name": str, "text": str}),
    ("help acl", {"name": str, "text": str}),
]
SILENT = {"cd", "addWatch"}
"""Commands that give nothing, or wait for ever."""


def fits(value, shape):
    """Whether a value from JSON has this shape."""
    if isinstance(shape, tuple):
        word, inner = shape
        if word == "one of":
            return any(fits(value, each) for each in inner)
        assert word == "at least"
        return isinstance(value, dict) and all(fits(value.get(name), each) for name, each in inner.items())
    if isinstance(shape, dict):
        return isinstance(value, dict) and value.keys() == shape.keys() and all(
            fits(value[name], each) for name, each in shape.items()
        )  # fmt: skip
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(each, shape[0]) for each in value)
    if isinstance(shape, re.Pattern):
        return isinstance(value, str) and shape.fullmatch(value) is not None
    return value is None if shape is None else type(value) is shape
