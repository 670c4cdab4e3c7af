"""What the client's clock is to do at a certain time, or when the session is lost, unless it is called off before.

A task that sleeps costs about 150 us to start and to cancel; a block that most often ends before its time sets an
alarm instead.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

NOTHING_S = 1e-6
"""Less than this is no time: added to a clock's time it may be lost in rounding, and a sleep would not end."""


class Alarms:
    """Those that are set. `changed` is called when one is the earliest of all."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._set: dict[object, tuple[float, Callable[[], object]]] = {}
        self.looked_for_s = math.inf
        """When the clock looks at them again."""
        self._over = False

    @contextmanager
    def set(self, at_s: float, act: Callable[[], object]) -> Iterator[None]:
        """While the block runs: `act()` at this time; at once when all is over."""
        if self._over:
            act()
            yield
            return
        key = object()
        self._set[key] = at_s, act
        if at_s < self.looked_for_s:
            self.looked_for_s = at_s
            self._changed()
        try:
            yield
        finally:
            self._set.pop(key, None)

    def ring(self, now: float) -> None:
        """Do what is due. What is called off meanwhile is looked for all the same: so the clock is woken seldom."""
        if now + NOTHING_S < self.looked_for_s:
            return
        for key, (at_s, act) in list(self._set.items()):
            if at_s <= now + NOTHING_S and self._set.pop(key, None) is not None:
                act()
        self.looked_for_s = min((at_s for at_s, _ in self._set.values()), default=math.inf)

    def end(self) -> None:
        """The clock stops: do all that is set, and at once what is set from now on."""
        self._over = True
        self.ring(math.inf)
