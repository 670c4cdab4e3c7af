"""The shell's reading commands on a state of the past: a client whose answers come from a machine that stands still."""

from typing import TypeVar, cast

from coord.client.client import Client
from coord.client.operations import Operation, Operations
from coord.client.runtime import Runtime
from coord.model.acl import SUPER_SCHEME
from coord.model.replies import AclReply, DataReply, ExistsReply, Failed, PageReply, Reply, Stat
from coord.model.requests import Read, Request
from coord.shell import access, reading
from coord.shell.errors import ShellError
from coord.shell.grammar import Commands
from coord.shell.state import Shell
from coord.state.machine import Machine
from coord.state.znode import Znode

T = TypeVar("T")

PAST_COMMANDS = Commands(
    {
        "look": (reading.ls, reading.get, reading.stat, reading.tree, reading.find, reading.du, reading.count),
        "access and limits": (access.acl_get, access.quota_get),
    }
)
"""Commands of the shell that only read what was; `-w`, which waits for changes, is refused."""


class PastRuntime:
    """What a client asks is answered at once. Whoever has the files may read all that is in them."""

    def __init__(self, machine: Machine) -> None:
        self.operations = Operations("")
        self._machine = machine

    async def run(self, operation: Operation[T], first: Request | None = None) -> T:
        assert not operation.writes, "the past is not changed"
        reply = self._machine.read(((SUPER_SCHEME, ""),), 0, cast(Read, operation.request))
        if isinstance(reply, Failed):
            raise reply.error
        return operation.read(_settled(reply))


def past_shell(machine: Machine) -> Shell:
    """A shell on the tree of a machine, for `PAST_COMMANDS`: they use of a client no more than `run` of its runtime."""
    return Shell(Client(cast(Runtime, PastRuntime(machine)), ""), "", read_only=True)


def refuse_waiting(words: list[str]) -> None:
    """Raises ShellError where a command is asked to wait for a change."""
    found, rest = PAST_COMMANDS.find(words)
    if found.parse(rest).get("watch"):
        raise ShellError(f"{found.name}: nothing changes in the past; leave out --watch")


def _settled(reply: Reply) -> Reply:
    """With stats as a client gets them."""
    if isinstance(reply, ExistsReply | DataReply | AclReply):
        reply.stat = _frozen(reply.stat)
    elif isinstance(reply, PageReply):
        reply.children = [(name, stat and _frozen(stat), data) for name, stat, data in reply.children]
        reply.stat = _frozen(reply.stat)
    return reply


def _frozen(stat: Stat) -> Stat:
    return stat.frozen() if isinstance(stat, Znode) else stat
