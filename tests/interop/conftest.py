"""Real foreign clients against real servers.

The expectations hold for coord and for ZooKeeper 3.8: COORD_TEST_SERVER=zookeeper runs the same tests against
the original, which is how they were checked. COORD_TEST_LOGS=DIR keeps the servers' logs and data there.
"""

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from tools.ensembles import CoordSoftware, Ensemble, Software, ZooKeeperSoftware
from tools.wire.client import RawClient

SESSION_TIMEOUT_MIN_MS = 1_000
SUPER_PASSWORD = "super:admin"
_SUPER_DIGEST = "super:xQJmxLMiHGwaqBvst5y6rkB6HQs="  # user:base64(sha1("super:admin"))


def _software() -> Software:
    name = os.environ.get("COORD_TEST_SERVER", "coord")
    match name:
        case "coord":
            return CoordSoftware(
                options=(
                    *("--session-timeout-min-ms", str(SESSION_TIMEOUT_MIN_MS)),
                    *("--reap-interval-s", "0.2", "--container-never-used-s", "300"),
                    *(
                        "--handshake-timeout-s",
                        "3",
                        "--frame-timeout-s",
                        "3",
                        "--reply-timeout-s",
                        "3",
                        "--reply-timeout-s",
                        "3",
                    ),
                    *("--super-digest", _SUPER_DIGEST, "--words", "*", "--log-level", "debug"),
                )
            )
        case "zookeeper":
            return ZooKeeperSoftware(
                tick_ms=SESSION_TIMEOUT_MIN_MS // 2,
                properties=(
                    "znode.container.checkIntervalMs=200",
                    f"zookeeper.DigestAuthenticationProvider.superDigest={_SUPER_DIGEST}",
                ),
                jvm=("-Xmx256m", "-XX:TieredStopAtLevel=1"),
            )
    raise pytest.UsageError(f"COORD_TEST_SERVER is {name!r}; it may be coord or zookeeper")


@pytest.fixture(scope="session")
def software() -> Software:
    software = _software()
    if (sentence := software.missing()) is not None:
        pytest.skip(sentence)
    return software


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """Where ensembles put what they keep; removed at the end unless COORD_TEST_LOGS names a place."""
    if (kept := os.environ.get("COORD_TEST_LOGS")) is not None:
        yield Path(tempfile.mkdtemp(prefix="interop-", dir=kept))
        return
    with tempfile.TemporaryDirectory(prefix="coord-interop-") as name:
        yield Path(name)


@pytest.fixture(scope="session")
def ensemble(software: Software, folder: Path) -> Iterator[Ensemble]:
    """Three servers that all tests share: none may break them."""
    with Ensemble(software, folder / "shared") as ensemble:
        ensemble.start_all()
        ensemble.wait_serving()
        yield ensemble


@pytest.fixture
def own_ensemble(software: Software, folder: Path, request: pytest.FixtureRequest) -> Iterator[Ensemble]:
    """Three servers for one test to break."""
    with Ensemble(software, folder / request.node.name) as ensemble:
        ensemble.start_all()
        ensemble.wait_serving()
        yield ensemble


@pytest.fixture
def is_coord(software: Software) -> bool:
    return software.name == "coord"


_ROOTS = itertools.count(1)


@pytest.fixture
def root(ensemble: Ensemble) -> str:
    """A fresh znode for one test."""
    path = f"/test-{os.getpid()}-{next(_ROOTS)}"
    with RawClient(ensemble.members[1].client_port) as client:
        client.create(path)
        client.close_session()
    return path


@pytest.fixture
def connect_raw(ensemble: Ensemble) -> Iterator[Callable[..., RawClient]]:
    """Makes raw connections to a server of the shared ensemble (by default the first); closes them at the end."""
    clients: list[RawClient] = []

    def connect(server: int = 1, **options: object) -> RawClient:
        client = RawClient(ensemble.members[server].client_port, **options)  # type: ignore[arg-type]
        clients.append(client)
        return client

    yield connect
    for client in clients:
        client.stream.close()


@pytest.fixture
def raw(connect_raw: Callable[..., RawClient], root: str) -> RawClient:
    """A raw connection that has seen the test's `root`."""
    client = connect_raw()
    client.sync(root)
    return client


@pytest.fixture
def connect_kazoo(ensemble: Ensemble) -> Iterator[Callable[..., KazooClient]]:
    """Makes started kazoo clients, of the whole shared ensemble or of one server; stops them at the end."""
    clients: list[KazooClient] = []

    def connect(server: int | None = None, **options: object) -> KazooClient:
        hosts = ensemble.hosts(None if server is None else [server])
        client = KazooClient(hosts, **{"timeout": 10.0, **options})
        clients.append(client)
        client.start(timeout=15)
        return client

    yield connect
    for client in clients:
        client.stop()
        client.close()


@pytest.fixture
def kazoo(connect_kazoo: Callable[..., KazooClient], root: str) -> KazooClient:
    """A kazoo client that has seen the test's `root`."""
    client = connect_kazoo()
    client.sync(root)
    return client
