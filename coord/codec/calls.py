"""One request of a connection, as the server carries it along until it is answered, whatever its protocol."""

from coord.model.message import message
from coord.model.requests import Request


@message
class Call:
    """A request, with what its answer has to repeat.

    ZooKeeper's special requests (ping, auth, re-arming) have xids below 0; in coord's own protocol nobody waits for the
    answer to xid 0.
    """

    xid: int
    opcode: int  # or row
    request: Request
    kinds: tuple[int, ...] = ()  # of the requests inside a multi: several numbers mean a Create
    number: int = 0  # of a write in its session, in coord's own protocol
