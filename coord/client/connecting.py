"""`connect`: from addresses to a client whose session is open, and to the end of both."""

import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress

import anyio

from coord.client.addresses import check_namespace, parse_addresses
from coord.client.client import Client
from coord.client.connection import Connection
from coord.client.dialing import AnyioDialer, Dialer
from coord.client.groups import unwrapped
from coord.client.operations import Operations
from coord.client.runtime import Runtime
from coord.client.saved import SavedSession
from coord.client.session import CONNECTED, LOST, REQUEST_BYTES_MAX, Session
from coord.client.waiting import waiting
from coord.model.errors import BadArgumentsError, ClientClosedError, CoordError
from coord.model.requests import CloseSession, Request, Sync

CLOSE_S = 2.0
"""So long a client that leaves waits until the servers have ended its session; if they do not, it expires."""

Auth = Iterable[tuple[str, bytes | str]]


@asynccontextmanager
async def connect(
    addresses: str | Iterable[str],
    *,
    namespace: str = "",
    session_timeout: float = 10.0,
    auth: Auth = (),
    session: SavedSession | None = None,
    call_timeout: float = 60.0,
    connect_timeout: float = 30.0,
    request_bytes_max: int = REQUEST_BYTES_MAX,
    name: str = "",
    rng: random.Random | None = None,
    dialer: Dialer | None = None,
) -> AsyncIterator[Client]:
    """A client of the servers at these addresses, as `async with coord.connect("h1:2181,h2:2181/app") as client`.

    `addresses`: "host:port,host:port/namespace", with `coord://` before it if you like; "[::1]:2181" and "unix:/path"
    too; or a list of single addresses. They are tried in a random order, and names looked up anew each time.
    `namespace`: put before every path; it is not created. `session_timeout`: seconds of silence after which the servers
    end the session; they may grant less or more. `auth`: pairs (scheme, credentials), such as ("digest", "ann:secret").
    `session`: one that was saved, to go on with. `call_timeout`: seconds after which a call raises CallTimeoutError.
    `connect_timeout`: seconds within which a server has to be found at the beginning. `request_bytes_max`: longer
    requests raise RequestTooLargeError, as do those above the server's `frame_bytes_max`. `name`: for the
    operator. `rng` and `dialer`: for tests; chance, and a network of their own.

    Raises AddressError; ConnectError if no server was found in time; AuthFailedError; SessionLostError if the saved
    session has ended. When the block is left the session is closed and its ephemeral znodes deleted, unless it was
    handed over. Nothing runs outside the block.
    """
    found, at_end = parse_addresses(addresses)
    prefix = check_namespace(namespace) or at_end
    for what, seconds in (("session_timeout", session_timeout), ("call_timeout", call_timeout)):
        if not seconds > 0:
            raise BadArgumentsError(f"{what} is a number of seconds above 0, not {seconds!r}")
    if session_timeout == math.inf:
        raise BadArgumentsError("session_timeout is finite: without an end no session would ever be known to be lost")
    credentials = [(scheme, each.encode() if isinstance(each, str) else bytes(each)) for scheme, each in auth]
    state = Session(
        session_timeout, call_timeout_s=call_timeout, saved=session, auth=credentials, client_name=name,
        request_bytes_max=request_bytes_max,
    )  # fmt: skip
    how = waiting()
    connection = Connection(state, found, dialer or AnyioDialer(), how, rng or random.Random())
    runtime = Runtime(state, connection, how, Operations(prefix))
    client = Client(runtime, prefix)
    shelters = [anyio.CancelScope(shield=True), anyio.CancelScope(shield=True)]
    with unwrapped():
        async with anyio.create_task_group() as tasks:
            # Who is cancelled still closes his session: so what carries that is not cancelled with him, but after it.
            for shelter, run in zip(shelters, (connection.run, connection.run_clock), strict=True):
                tasks.start_soon(_run_within, shelter, run)
            try:
                await _wait_open(client, connection, connect_timeout)
                yield client
            finally:
                await _leave(client, runtime)
                for shelter in shelters:
                    shelter.cancel()


async def _run_within(shelter: anyio.CancelScope, run: Callable[[], Awaitable[None]]) -> None:
    with shelter:
        await run()


async def _wait_open(client: Client, connection: Connection, patience_s: float) -> None:
    state = client._runtime.session
    with anyio.move_on_after(None if patience_s == math.inf else patience_s):
        await client.session.wait_state(CONNECTED, LOST)
    if state.lost is not None:
        raise type(state.lost)(*state.lost.args)
    if state.state is not CONNECTED:
        raise connection.failure(patience_s)


async def _leave(client: Client, runtime: Runtime) -> None:
    session, goes_on = runtime.session, client.session.handed_over
    if session.state is CONNECTED and not (goes_on and session.owes_nothing):
        last: Request = Sync("/") if goes_on else CloseSession()  # answered after all that was sent before it
        with anyio.move_on_after(CLOSE_S, shield=True), suppress(CoordError):  # it may have ended otherwise
            await runtime.finish(session.submit(last, not goes_on, runtime.clock()))
    session.lose(ClientClosedError("the client was closed: its `async with` block has been left"))
    connection = runtime.connection
    connection.flush()
