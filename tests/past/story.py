"""A small past with everything in it that the guide and the commands' tests tell of, at fixed times."""

from coord.model.acl import OPEN_ACL
from coord.model.requests import (
    EPHEMERAL,
    EPHEMERAL_SEQUENTIAL,
    TTL,
    AttachSession,
    CheckVersion,
    CloseSession,
    Create,
    CreateSession,
    Delete,
    Multi,
    ReapNode,
    RegisterServer,
    SetAcl,
    SetData,
)
from tests.past.scribe import Scribe, run_of
from tests.state.world import PASSWORD

NINE_MS = 1_795_510_800_000  # 2026-11-24T09:00:00Z
DEPLOY, ANN, WORKER, LOST = 0x1A1B1D24701, 0x1A1B1D24702, 0x2A1B1D24703, 0x2A1B1D24704
WHO = {
    DEPLOY: (("ip", "10.0.3.17"),),
    ANN: (("ip", "10.0.3.44"), ("digest", "ann:7RJfAeIvrl4zdj6sS2fXrQHDvHM=")),
    WORKER: (("ip", "10.0.4.1"),),
    LOST: (("ip", "10.0.4.2"),),
}
MINUTE_MS = 60_000


class Story(Scribe):
    """Three servers' history, as server 1 wrote it down."""

    def __init__(self) -> None:
        super().__init__()
        self.time_ms = NINE_MS
        for server in (1, 2, 3):
            self.write(run_of(RegisterServer(server, server * 0x101, f"10.0.0.{server}:2181")), later_ms=0)
        for session in WHO:
            self.write(run_of(CreateSession(session, PASSWORD, 10_000), origin=session >> 40))
        self.by(DEPLOY, Create("/app/config", b'{"db": "10.0.0.9"}', OPEN_ACL, parents=True))
        self.by(WORKER, Create("/locks/db/lock-", b"worker 7", OPEN_ACL, EPHEMERAL_SEQUENTIAL, parents=True))
        self.first_snapshot = self.take_snapshot()
        self.by(DEPLOY, SetData("/app/config", b'{"db": "10.0.0.8"}', 0), minutes=24 * 60)
        self.by(DEPLOY, SetData("/app/config", b"{}", 0))  # fails: it has version 1
        self.by(LOST, Create("/app/worker", b"\x00\xff", OPEN_ACL, EPHEMERAL))
        self.by(
            ANN,
            Multi(
                (
                    CheckVersion("/app/config", 1),
                    SetData("/app/config", b'{"db": "10.0.0.7"}', 1),
                    Create("/app/job", b"", OPEN_ACL, TTL, 60_000),
                )
            ),
            minutes=300,
        )
        self.by(ANN, Multi((SetData("/app/config", b"no", -1), Delete("/app/nothing"))))  # fails as a whole
        self.by(ANN, SetAcl("/app/config", ((31, "auth", ""), (1, "world", "anyone"))))
        self.second_snapshot = self.take_snapshot()
        self.write(run_of(CloseSession(LOST, True)), later_ms=MINUTE_MS)
        self.by(WORKER, CloseSession())
        job = self.machine.tree.nodes["/app/job"]
        self.write(run_of(ReapNode("/app/job", job.mzxid, job.pzxid)), later_ms=MINUTE_MS)
        self.write(run_of(AttachSession(DEPLOY, b"wrong", 10_000), origin=2), later_ms=MINUTE_MS)
        self.by(DEPLOY, SetData("/app/config", b"{}"))  # fails: it may not any more

    def by(self, session, request, *, minutes=1):
        return self.write(
            run_of(request, session=session, origin=session >> 40, identities=WHO[session]),
            later_ms=minutes * MINUTE_MS,
        )
