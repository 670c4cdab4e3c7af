"""What is replicated of a session. Who was heard when is not: that dies with the process."""

from dataclasses import dataclass, field
from typing import TypeAlias

from coord.state.digest import MASK, session_term
from coord.state.kept import Ledger


@dataclass(slots=True)
class Session:
    """A session outlives its connections; it ends when it is closed or expires, and its ephemerals with it."""

    id: int
    password: bytes = field(repr=False)
    timeout_ms: int
    owner: int  # the server that serves it now; a write that came by another one is refused
    ephemerals: dict[str, None] = field(default_factory=dict, repr=False)  # paths, in order of creation
    ledger: Ledger | None = None  # of a client that numbers its writes

    @property
    def applied(self) -> int:
        """The number of the last numbered write that was done, 0 for none."""
        return 0 if self.ledger is None else self.ledger.applied

    def term(self) -> int:
        """The session's part of the digest; its ephemerals count as znodes."""
        term = session_term(self.id, self.password, self.timeout_ms, self.owner)
        return term if self.ledger is None else term + self.ledger.term() & MASK


Sessions: TypeAlias = dict[int, Session]
