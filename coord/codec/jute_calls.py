"""One request of a connection, as the server carries it along until it is answered."""

from coord.model.message import message
from coord.model.requests import Request


@message
class Call:
    """A request, with what its answer has to repeat. Special requests (ping, auth, re-arming) have xids below 0."""

    xid: int
    opcode: int
    request: Request
    kinds: tuple[int, ...] = ()  # of the requests inside a multi: several numbers mean a Create
