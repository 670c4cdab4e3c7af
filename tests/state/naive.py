"""The rules once more, as simply as they can be said: plain dicts, everything copied, nothing derived is kept.

It is slow and has no quotas; the machine must agree with it on every reply and every field.
"""

from copy import deepcopy
from dataclasses import dataclass, field, replace

from coord.model.acl import OPEN_ACL
from coord.model.requests import (
    AttachSession,
    CheckCreated,
    CheckData,
    CheckExists,
    CheckVersion,
    CloseSession,
    Create,
    CreateSession,
    Delete,
    DeleteContainer,
    DeleteTree,
    Multi,
    ReapNode,
    SetAcl,
    SetData,
    Write,
)

RESERVED = ("/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config")


class Refused(Exception):
    def __init__(self, code: int) -> None:
        self.code = code


@dataclass
class Node:
    data: bytes | None
    acl: tuple
    czxid: int
    mzxid: int
    pzxid: int
    ctime: int
    mtime: int
    version: int = 0
    creations: int = 0
    aversion: int = 0
    owner: int = 0
    lifetime: int = 0


@dataclass
class NaiveMachine:
    nodes: dict[str, Node] = field(default_factory=dict)
    sessions: dict[int, tuple[bytes, int, int]] = field(default_factory=dict)
    writes: dict[int, list] = field(default_factory=dict)  # what each numbered write of a session came to
    acked: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in RESERVED:
            acl = ((1, "world", "anyone"),) if path.endswith("config") else OPEN_ACL
            self.nodes[path] = Node(b"", acl, 0, 0, 0, 0, 0)

    def children(self, path: str) -> list[str]:
        return [each for each in self.nodes if each != "/" and parent(each) == path]

    def apply(
        self, zxid: int, time: int, origin: int, session: int, request: Write, number: int = 0, acked: int = 0
    ) -> list:
        """What happened: [code], or for a multi the code of each step."""
        if session:
            if session not in self.sessions:
                return [-112]
            if self.sessions[session][2] != origin:
                return [-118]
        if not session or not number:
            return self.do(zxid, time, origin, session, request)
        writes = self.writes.setdefault(session, [])
        if acked > self.acked.get(session, 0):
            if acked > len(writes):
                return [-8]
            self.acked[session] = acked
        if number <= self.acked.get(session, 0) or number > len(writes) + 1:
            return [-8]
        if number == len(writes) + 1:
            writes.append(self.do(zxid, time, origin, session, request))
        return writes[number - 1]

    def do(self, zxid: int, time: int, origin: int, session: int, request: Write) -> list:
        if isinstance(request, Multi):
            return self.multi(zxid, time, session, request)
        try:
            return [self.one(zxid, time, origin, session, request)]
        except Refused as refused:
            return [refused.code]

    def multi(self, zxid: int, time: int, session: int, request: Multi) -> list:
        before = deepcopy(self.nodes)
        done = []
        for step in request.requests:
            try:
                done.append(self.one(zxid, time, 0, session, step))
            except Refused as refused:
                self.nodes = before
                return [0] * len(done) + [refused.code] + [-2] * (len(request.requests) - len(done) - 1)
        return done

    def one(self, zxid: int, time: int, origin: int, session: int, request: Write):
        nodes = self.nodes
        match request:
            case Create(path, data, _, kind, ttl, parents):
                above = parent(path)
                if parents and above not in nodes:
                    missing = [above]
                    while parent(missing[-1]) not in nodes:
                        missing.append(parent(missing[-1]))
                    if nodes[parent(missing[-1])].owner:
                        raise Refused(-108)
                    for each in reversed(missing):
                        self.one(zxid, time, origin, session, Create(each, b"", OPEN_ACL))
                if above not in nodes:
                    raise Refused(-101)
                if kind in (2, 3, 6):
                    path += f"{nodes[above].creations:010d}"
                if path in nodes:
                    raise Refused(-110)
                if nodes[above].owner:
                    raise Refused(-108)
                owner = session if kind in (1, 3) else 0
                lifetime = -1 if kind == 4 else ttl if kind > 4 else 0
                nodes[path] = Node(data, OPEN_ACL, zxid, zxid, zxid, time, time, owner=owner, lifetime=lifetime)
                nodes[above] = replace(nodes[above], pzxid=zxid, creations=nodes[above].creations + 1)
                return path
            case Delete(path, version):
                if path in RESERVED:
                    raise Refused(-8)
                node = self.existing(path)
                if version not in (-1, node.version):
                    raise Refused(-103)
                if self.children(path):
                    raise Refused(-111)
                self.remove(path, zxid)
            case DeleteTree(path, version):
                if path in RESERVED:
                    raise Refused(-8)
                node = self.existing(path)
                if version not in (-1, node.version):
                    raise Refused(-103)
                for each in sorted(nodes, key=len, reverse=True):
                    if each == path or each.startswith(path + "/"):
                        self.remove(each, zxid)
            case CheckExists(path, exists):
                if exists:
                    self.existing(path)
                elif path in nodes:
                    raise Refused(-110)
            case CheckCreated(path, czxid):
                if self.existing(path).czxid != czxid:
                    raise Refused(-103)
            case CheckData(path, data):
                if self.existing(path).data != data:
                    raise Refused(-103)
            case SetData(path, data, version):
                node = self.existing(path)
                if version not in (-1, node.version):
                    raise Refused(-103)
                nodes[path] = replace(node, data=data, version=node.version + 1, mzxid=zxid, mtime=time)
            case SetAcl(path, acl, version):
                node = self.existing(path)
                if version not in (-1, node.aversion):
                    raise Refused(-103)
                nodes[path] = replace(node, acl=acl, aversion=node.aversion + 1)
            case CheckVersion(path, version):
                if version not in (-1, self.existing(path).version):
                    raise Refused(-103)
            case DeleteContainer(path):
                if path in RESERVED:
                    raise Refused(-8)
                if not (node := self.existing(path)) or self.children(path):
                    raise Refused(-111)
                if not node.lifetime:
                    raise Refused(-103)
                self.remove(path, zxid)
            case ReapNode(path, mzxid, pzxid):
                node = nodes.get(path)
                if node and node.lifetime and (node.mzxid, node.pzxid) == (mzxid, pzxid) and not self.children(path):
                    self.remove(path, zxid)
            case CreateSession(number, password, timeout):
                if number in self.sessions:
                    raise Refused(-1)
                self.sessions[number] = password, timeout, origin
            case AttachSession(number, password, timeout):
                if number not in self.sessions or self.sessions[number][0] != password:
                    raise Refused(-112)
                self.sessions[number] = password, timeout, origin
            case CloseSession(number):
                number = session or number
                if number not in self.sessions:
                    raise Refused(-112)
                for path in [path for path, node in nodes.items() if node.owner == number]:
                    self.remove(path, zxid)
                del self.sessions[number]
                self.writes.pop(number, None)
                self.acked.pop(number, None)
            case _:
                raise AssertionError(request)
        return 0

    def existing(self, path: str) -> Node:
        if path not in self.nodes:
            raise Refused(-101)
        return self.nodes[path]

    def remove(self, path: str, zxid: int) -> None:
        del self.nodes[path]
        above = parent(path)
        self.nodes[above] = replace(self.nodes[above], pzxid=zxid)


def parent(path: str) -> str:
    return path[: path.rfind("/")] or "/"
