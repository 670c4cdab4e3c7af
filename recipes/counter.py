"""A number that many count up and down, each time by one step in the log.

The znode has the number as decimal text, as kazoo's Counter has it; `layout="curator"` keeps it as Curator's
SharedCount and kazoo's `support_curator` do, in four bytes.
"""

import struct

import coord
from recipes.errors import RecipeError
from recipes.inside import check_path
from recipes.place import COORD, KAZOO

CURATOR = "curator"
DIGITS_MAX = 1000
"""Of what is read as a number: what is longer is none."""

NUMBER_MAX = 10 ** (DIGITS_MAX - 1)  # its sign counts as a digit


class Counter:
    """`await Counter(client, "/orders").add(1)` gives the number after it.

    Every `add` that returns has been counted once, whatever connections and servers do; one that was cancelled, or
    raised SessionLostError or CallTimeoutError, once or not at all. A counter that does not exist is `default`.
    """

    def __init__(self, client: coord.Client, path: str, *, default: int = 0, layout: str = COORD) -> None:
        if layout not in (COORD, KAZOO, CURATOR):
            raise ValueError(f"layout is one of 'coord', 'kazoo', 'curator', not {layout!r}")
        self.client = client
        self.path = check_path(path)
        self.default = _integer(default, "the default of a counter")
        self.layout = layout
        self._guess: bytes | None = None  # what the znode held when it was last seen

    def __repr__(self) -> str:
        return f"<Counter {self.path}>"

    async def get(self, *, linearizable: bool = False) -> int:
        """The number now; without `linearizable` as this client's server knows it."""
        try:
            self._guess, _ = await self.client.get(self.path, linearizable=linearizable)
        except coord.NoNodeError:
            self._guess = None
            return self.default
        return self._number(self._guess)

    async def set(self, number: int) -> None:
        """Make it this number, whatever it is."""
        value = self._value(_integer(number, "what a counter is set to"))
        while True:
            try:
                await self.client.set(self.path, value)
            except coord.NoNodeError:
                try:
                    await self.client.create(self.path, value, parents=True)
                except coord.NodeExistsError:
                    continue
            return

    async def add(self, number: int = 1) -> int:
        """Add to it; the sum."""
        _integer(number, "what is added to a counter")
        while True:
            if self._guess is None:
                await self.get()
            before = self._guess
            total = (self.default if before is None else self._number(before)) + number
            value = self._value(total)
            try:
                if before is None:
                    await self.client.create(self.path, value, parents=True)
                else:
                    async with self.client.transaction() as txn:
                        txn.check(self.path, value=before)
                        txn.set(self.path, value)
            except (coord.BadVersionError, coord.NodeExistsError, coord.NoNodeError):
                self._guess = None  # somebody was faster: there is no other way to get here
                continue
            self._guess = value
            return total

    async def allocate(self, count: int) -> range:
        """So many numbers that nobody else gets: the next ones from the counter's number on."""
        if _integer(count, "how many numbers are allocated") < 1:
            raise ValueError(f"at least one number is allocated, not {count}")
        after = await self.add(count)
        return range(after - count, after)

    def _number(self, value: bytes) -> int:
        if not value:
            return self.default  # as kazoo makes it
        try:
            if self.layout == CURATOR:
                return int(struct.unpack(">i", value)[0])
            if len(value) <= DIGITS_MAX:
                return int(value.decode("ascii"))
        except (struct.error, ValueError):
            pass
        kind = "four bytes" if self.layout == CURATOR else "a decimal number"
        raise RecipeError(f"{self.path} holds {value!r:.60}, and a counter in {self.layout}'s layout is {kind}")

    def _value(self, number: int) -> bytes:
        if self.layout != CURATOR:
            if abs(number) >= NUMBER_MAX:
                raise RecipeError(f"{self.path} would have more than {DIGITS_MAX} digits, and could not be read again")
            return b"%d" % number
        try:
            return struct.pack(">i", number)
        except struct.error:
            raise RecipeError(f"{self.path} would be {number}, and Curator's layout has 32 bits for it") from None


def _integer(number: int, what: str) -> int:
    if type(number) is not int:
        raise ValueError(f"{what} is an int, not {number!r}")
    return number
