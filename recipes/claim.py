"""An ephemeral znode of a name that is known beforehand: whoever makes it has what it stands for.

Taking and giving back are not stopped by a cancellation, so that nothing is left behind: while no server can be reached
that takes as long as the session's timeout at most. What is given back is what was taken, and no later znode of the
same name.
"""

from contextlib import suppress

import anyio.lowlevel

import coord
from recipes.inside import parent_of
from recipes.place import insist
from recipes.shielded import shielded


async def claim(client: coord.Client, path: str, value: bytes = b"") -> int:
    """Make the znode; the zxid that made it, its token. Raises NodeExistsError if it is somebody's."""
    await anyio.lowlevel.checkpoint_if_cancelled()
    seen_zxid = client.session.seen_zxid

    async def make() -> int:
        try:
            return await _make(client, path, value)
        except coord.CallTimeoutError:
            await insist(client, lambda: _give_back_ours(client, path, seen_zxid))
            raise

    return await shielded(make)


async def _make(client: coord.Client, path: str, value: bytes) -> int:
    while True:
        async with client.pipeline(keep_errors=True) as pipe:
            made, seen = pipe.create(path, value, ephemeral=True), pipe.stat(path)
        try:
            made.result()
            stat = seen.result()
            if stat.ephemeral_owner == client.session.id:
                return stat.czxid  # else it was deleted by hand and made by another in between: ask again
        except coord.NoNodeError:
            await ensure_container(client, parent_of(path))


async def ensure_container(client: coord.Client, path: str) -> None:
    """A znode that goes by itself some time after the last child of it."""
    with suppress(coord.NodeExistsError):
        await client.create(path, container=True, parents=True)


async def _give_back_ours(client: coord.Client, path: str, seen_zxid: int) -> None:
    """A claim came to nothing within `call_timeout`, and may have been made all the same.

    What this client had been told of before is another claim of its own, which is held.
    """
    stat = await client.exists(path)
    if stat is not None and stat.ephemeral_owner == client.session.id and stat.czxid > seen_zxid:
        with suppress(coord.NoNodeError, coord.BadVersionError):
            await _delete(client, path, stat.czxid)


async def release(client: coord.Client, path: str, token: int) -> None:
    """Give back what was taken with this token. Returns when it is gone, or the session."""

    async def once() -> None:
        with suppress(coord.NoNodeError, coord.BadVersionError):
            await _delete(client, path, token)

    await shielded(lambda: insist(client, once))


async def _delete(client: coord.Client, path: str, token: int) -> None:
    async with client.transaction() as txn:
        txn.check(path, created=token)
        txn.delete(path)
