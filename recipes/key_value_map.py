"""A dictionary of which the servers keep the entries: one znode an entry, below one path.

A key is any text. What cannot stand in a path is written as %XX, as in an address of the web, so a plain key is the
name of its znode.
"""

from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar, overload
from urllib.parse import quote, unquote

import coord
from recipes.errors import RecipeError
from recipes.inside import check_path

V = TypeVar("V")
D = TypeVar("D")

KEY_BYTES_MAX = 1000
PLAIN = " !#$&'()*+,:;<=>?@[]^`{|}\"\\"
"""Beside letters, digits and "_.-~": what stands in a name as it is."""


class KeyValueMap(Generic[V]):
    """`await map.put("key", value)`, `await map.get("key")`; `compare_and_set` and `update` for what others change too.

    Values are bytes, or with `encode` and `decode` (such as `json.dumps` and `json.loads`) what these make of them.
    Every call is one step of the servers'. Reads are those of this client's server, unless `linearizable`; what this
    client has written it reads.
    """

    @overload
    def __init__(self: "KeyValueMap[bytes]", client: coord.Client, path: str) -> None: ...

    @overload
    def __init__(
        self, client: coord.Client, path: str, *, encode: Callable[[V], bytes | str], decode: Callable[[bytes], V]
    ) -> None: ...

    def __init__(
        self,
        client: coord.Client,
        path: str,
        *,
        encode: Callable[[V], bytes | str] | None = None,
        decode: Callable[[bytes], V] | None = None,
    ) -> None:
        if (encode is None) != (decode is None):
            raise ValueError("a map has both of encode and decode, or neither: what is written has to be read")
        self.client = client
        self.path = check_path(path)
        self._encoder = encode
        self._decoder = decode

    def __repr__(self) -> str:
        return f"<KeyValueMap {self.path}>"

    # ---- one entry

    @overload
    async def get(self, key: str, *, linearizable: bool = False) -> V | None: ...

    @overload
    async def get(self, key: str, default: D, *, linearizable: bool = False) -> V | D: ...

    async def get(self, key: str, default: D | None = None, *, linearizable: bool = False) -> V | D | None:
        """The value of a key; `default` if there is none."""
        try:
            value, _ = await self.client.get(self._node(key), linearizable=linearizable)
        except coord.NoNodeError:
            return default
        return self._decode(key, value)

    async def has(self, key: str) -> bool:
        return await self.client.exists(self._node(key)) is not None

    async def put(self, key: str, value: V) -> None:
        """Give a key this value, whatever it had."""
        node, data = self._node(key), self._encode(key, value)
        while True:
            try:
                await self.client.set(node, data)
            except coord.NoNodeError:
                try:
                    await self.client.create(node, data, parents=True)
                except coord.NodeExistsError:
                    continue
            return

    async def add(self, key: str, value: V) -> bool:
        """Give a key this value if it has none; whether it was so."""
        try:
            await self.client.create(self._node(key), self._encode(key, value), parents=True)
        except coord.NodeExistsError:
            return False
        return True

    async def delete(self, key: str) -> bool:
        """Take a key out; whether it was there."""
        try:
            await self.client.delete(self._node(key))
        except coord.NoNodeError:
            return False
        return True

    async def compare_and_set(self, key: str, expected: V | None, value: V | None) -> bool:
        """Give a key another value if it has the expected one (None: if there is no such key); whether it was so.

        `value` None takes the key out. Values are compared as they are written.
        """
        node = self._node(key)
        if expected is None:
            if value is None:
                return not await self.client.exists(node, linearizable=True)
            return await self.add(key, value)
        txn = self.client.transaction()
        txn.check(node, value=self._encode(key, expected))
        if value is None:
            txn.delete(node)
        else:
            txn.set(node, self._encode(key, value))
        try:
            await txn.commit()
        except (coord.BadVersionError, coord.NoNodeError):
            return False
        return True

    async def update(self, key: str, change: Callable[[V | None], V | None]) -> V | None:
        """Give a key what `change` makes of its value; that. Called again if somebody else was faster.

        `change` gets None for a key that is not there; giving None takes the key out.
        """
        node = self._node(key)
        while True:
            try:
                data, stat = await self.client.get(node)
            except coord.NoNodeError:
                value = change(None)
                if value is None or await self.add(key, value):
                    return value
                continue
            value = change(self._decode(key, data))
            txn = self.client.transaction()
            txn.check(node, value=data)
            if value is None:
                txn.delete(node, version=stat.version)
            else:
                txn.set(node, self._encode(key, value), version=stat.version)
            try:
                await txn.commit()
            except (coord.BadVersionError, coord.NoNodeError):
                continue
            return value

    # ---- all entries

    async def keys(self) -> list[str]:
        """All keys, sorted."""
        try:
            return sorted(unquote(name) for name in await self.client.children(self.path))
        except coord.NoNodeError:
            return []

    async def items(self) -> AsyncIterator[tuple[str, V]]:
        """All entries in the order of their znodes' names, read in pages; what changes meanwhile may be missing."""
        try:
            async for child in self.client.each_child(self.path, data=True):
                if child.stat is not None:
                    key = unquote(child.name)
                    yield key, self._decode(key, child.data or b"")
        except coord.NoNodeError:
            return

    async def count(self) -> int:
        stat = await self.client.exists(self.path)
        return stat.children_count if stat is not None else 0

    async def clear(self) -> None:
        """Take all entries out, in one step."""
        try:
            await self.client.delete(self.path, recursive=True)
        except coord.NoNodeError:
            return

    # ---- keys and values as they are written

    def _node(self, key: str) -> str:
        if not isinstance(key, str) or not key:
            raise ValueError(f"a key is a text that is not empty, not {key!r}")
        try:
            name = quote(key, safe=PLAIN, encoding="utf-8")
        except UnicodeEncodeError:
            raise ValueError(f"the key {key!r:.60} has half of a surrogate pair, which is no text") from None
        if name in (".", ".."):
            name = name.replace(".", "%2E")
        if len(name) > KEY_BYTES_MAX:
            raise ValueError(f"the key {key!r:.60} takes {len(name)} bytes in a path, more than {KEY_BYTES_MAX}")
        return f"{self.path}/{name}"

    def _encode(self, key: str, value: V) -> bytes:
        encoded: object = value if self._encoder is None else self._encoder(value)
        if isinstance(encoded, str):
            encoded = encoded.encode()
        if not isinstance(encoded, bytes):
            raise ValueError(f"the value of {key!r} is bytes, not {value!r:.60}; or give the map encode and decode")
        return encoded

    def _decode(self, key: str, data: bytes) -> V:
        if self._decoder is None:
            return data  # type: ignore[return-value]
        try:
            return self._decoder(data)
        except Exception as error:
            raise RecipeError(f"the value of {key!r} in {self.path} cannot be decoded: {error}") from error
