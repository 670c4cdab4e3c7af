"""Which sets of servers may decide. Arithmetic only.

Any two quorums have a server in common; that is all the protocol asks of them.
"""

from collections.abc import Iterable, Mapping


class Majority:
    """More than half of the voters."""

    __slots__ = ("needed", "voters")

    def __init__(self, voters: Iterable[int]) -> None:
        self.voters = frozenset(voters)
        self.needed = len(self.voters) // 2 + 1
        assert self.voters, "an ensemble has at least one voter"

    def has(self, servers: Iterable[int]) -> bool:
        """Whether `servers` hold a quorum; those that do not vote are not counted (T42)."""
        return len(self.voters.intersection(servers)) >= self.needed

    def reached(self, positions: Mapping[int, int]) -> int:
        """The highest position that a quorum has reached; voters without a position stand at 0."""
        return sorted([positions.get(voter, 0) for voter in self.voters])[-self.needed]

    def __repr__(self) -> str:
        return f"<Majority {self.needed} of {sorted(self.voters)}>"
