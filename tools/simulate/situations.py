"""What must be met by many seeds together, so that the simulation is known to test what it is said to test."""

from collections.abc import Mapping

SEEDS_ENOUGH = 300
"""Fewer seeds need not meet everything."""

HAS_TO_OCCUR = (
    "a container or TTL znode was reaped",
    "a crash took steps that were not durable",
    "a disk had rotted, and entries were lost",
    "a disk had rotted, and nothing was lost",
    "a disk was too slow for its server to go on as it was",
    "a follower committed by itself",
    "a frame was cut off in the middle",
    "a higher epoch was prepared after a refusal",
    "a leader stepped down",
    "a leader was given up for its silence",
    "a leader was superseded",
    "a log was mended with what other servers had",
    "a log was truncated while a snapshot was being taken",
    "a log was truncated",
    "a lost batch was given back",
    "a promise told of entries that cannot be shown",
    "a promise was refused",
    "a proposer withdrew",
    "a server died between two operations of its disk",
    "a server died while it received a snapshot",
    "a server died while its log was cut",
    "a server found that it had not run",
    "a server stopped because its disk failed",
    "a server stopped between deciding and telling",
    "a session expired",
    "a session was closed",
    "a session was refused",
    "a session went on at another connection",
    "a snapshot began in the middle of another",
    "a snapshot was installed",
    "a snapshot was taken",
    "a spare was sent at a tick what it was spared",
    "a spare was sent later what it was spared",
    "a spare was sent what it was spared when another was lost",
    "a start was cut short",
    "a state was replaced by a snapshot",
    "a sync was answered",
    "a voter lost its disk",
    "a watch fired",
    "a write was acknowledged",
    "an ensemble began near the limits",
    "an image was cut between two operations",
    "an image was read back",
    "history was sent from memory",
    "history was streamed from disk",
    "hung up: no leader was found",
    "hung up: the client is ahead of the server",
    "requests were forwarded again",
    "the counter rolled over",
    "what a broken connection still held arrived",
)
"""Every kind of fault has to occur as well: the seeds count those that are known and did not happen with 0."""


def missing(situations: Mapping[str, int], seeds: int) -> list[str]:
    """What should have occurred in so many seeds, and did not."""
    if seeds < SEEDS_ENOUGH:
        return []
    never = [situation for situation, times in situations.items() if times == 0 and situation not in HAS_TO_OCCUR]
    return [situation for situation in HAS_TO_OCCUR if not situations.get(situation)] + never


NOTED = {
    "is used up": "the counter rolled over",
    "requests again": "requests were forwarded again",
    "no quorum has answered": "a leader stepped down",
    "has a newer history": "a proposer withdrew",
    "follows server": "a leader heard of a later one",
    "preparing one above it": "a higher epoch was prepared after a refusal",
    "was silent for too long": "a leader was given up for its silence",
    "does not keep up": "a disk was too slow for its server to go on as it was",
    "from the leader's snapshot": "a state was replaced by a snapshot",
}
"""What a replica's note tells, by words in it."""

HUNG_UP = {
    "the client has see": "the client is ahead of the server",
    "no leader has been": "no leader was found",
    "the session 0x": "its session expired or moved",
    "this server took a": "the server took a snapshot",
    "the client has rec": "the client has reconnected",
    "the client has clo": "the client closed its session",
}
"""Why a client is hung up on, by how the sentence begins."""
