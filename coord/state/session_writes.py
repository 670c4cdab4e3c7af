"""The writes that open, move and end sessions, and the one that remembers a server."""

from hmac import compare_digest

from coord.model.entries import Run
from coord.model.errors import SessionExpiredError, SystemError_
from coord.model.paths import parent_of
from coord.model.replies import (
    SESSION_CLOSED,
    SESSION_EXPIRED,
    Done,
    Effect,
    SessionEnded,
    SessionMoved,
    SessionOpened,
)
from coord.model.requests import AttachSession, CloseSession, CreateSession, RegisterServer
from coord.state.operation import State, remove
from coord.state.sessions import Session


def create_session(state: State, run: Run, request: CreateSession, effects: list[Effect]) -> SessionOpened:
    if request.session in state.sessions:
        raise SystemError_(f"session {request.session:#x} exists already; draw another identifier")
    session = Session(request.session, request.password, request.timeout_ms, run.origin)
    state.add_session(session)
    effects.append(SessionMoved(session.id, run.origin))
    return SessionOpened(session.id, session.password, session.timeout_ms)


def attach_session(state: State, run: Run, request: AttachSession, effects: list[Effect]) -> SessionOpened:
    session = state.sessions.get(request.session)
    if session is None:
        raise SessionExpiredError(f"session {request.session:#x} does not exist any more; open a new one")
    if not compare_digest(session.password, request.password):
        raise SessionExpiredError(f"session {request.session:#x} has another password; open a new session")
    effects.append(SessionMoved(session.id, run.origin))
    state.move_session(session, request.timeout_ms, run.origin)
    return SessionOpened(session.id, session.password, session.timeout_ms, session.applied)


def close_session(state: State, run: Run, request: CloseSession, effects: list[Effect]) -> Done:
    """Delete the session's ephemerals, in path order, and then the session."""
    number = run.session or request.session  # a client can end its own session only
    session = state.sessions.get(number)
    if session is None:
        raise SessionExpiredError(f"session {number:#x} does not exist any more")
    nodes = state.tree.nodes
    cause = SESSION_EXPIRED if request.expired else SESSION_CLOSED
    for path in sorted(session.ephemerals):
        parent_path = parent_of(path)
        remove(state, path, parent_path, nodes[parent_path], nodes[path], cause, effects)
    state.remove_session(session)
    effects.append(SessionEnded(number, request.expired))
    return Done()


def register_server(state: State, run: Run, request: RegisterServer, effects: list[Effect]) -> Done:
    state.servers[request.server] = request.identity, request.description
    return Done()
