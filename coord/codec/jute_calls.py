"""ZooKeeper's operation numbers, and one request of a connection as the server carries it along."""

from coord.model.message import message
from coord.model.requests import Request

CREATE, DELETE, EXISTS, GET_DATA, SET_DATA, GET_ACL, SET_ACL, GET_CHILDREN, SYNC = range(1, 10)
PING, GET_CHILDREN_2, CHECK, MULTI, CREATE_2, RECONFIG, CHECK_WATCHES, REMOVE_WATCHES = range(11, 19)
CREATE_CONTAINER, DELETE_CONTAINER, CREATE_TTL, MULTI_READ = range(19, 23)
AUTH, SET_WATCHES, SASL, GET_EPHEMERALS, GET_ALL_CHILDREN_NUMBER, SET_WATCHES_2, ADD_WATCH, WHO_AM_I = range(100, 108)
CLOSE_SESSION = -11

MULTI_ERROR, MULTI_END = -1, -1
"""In the place of an operation number inside a multi and its answer."""


@message
class Call:
    """A request, with what its answer has to repeat. Special requests (ping, auth, re-arming) have xids below 0."""

    xid: int
    opcode: int
    request: Request
    kinds: tuple[int, ...] = ()  # of the requests inside a multi: several numbers mean a Create
