"""Writers that keep writing while servers are killed, and remember exactly what they were promised.

Each write makes a sequential znode under a name of its own, so that it shows whether it was applied, and how
often; each also sets the writer's own znode, whose version counts.
"""

import threading
import time
from dataclasses import dataclass, field

from tools.ensembles import Ensemble
from tools.wire import jute
from tools.wire.client import HungUpError, RawClient, RawError, SessionRefusedError
from tools.wire.jute import Op

PARENT = "/load"
SESSION_TIMEOUT_MS = 20_000
ANSWER_WITHIN_S = 15.0  # a longer silence is taken for a lost connection
CONNECTED_WITHIN_S = 1.0  # a server that does not even answer a connect request in this time may be frozen


@dataclass(slots=True)
class Ledger:
    """What one writer knows of its writes."""

    name: str
    created: dict[str, str] = field(default_factory=dict)  # the prefix asked for: the path that was answered
    unknown: list[str] = field(default_factory=list)  # prefixes whose connection was lost before the answer
    sets_done: int = 0
    sets_unknown: int = 0
    connections_lost: int = 0
    sessions_lost: int = 0
    errors: list[str] = field(default_factory=list)  # anything that should not have happened
    silence_s_max: float = 0.0  # between two answers


class Writer:
    """A thread with a raw connection to one server; it moves to another server, in the same session, if it loses it."""

    def __init__(self, ensemble: Ensemble, home: int, name: str) -> None:
        self.ledger = Ledger(name)
        self.home = home
        self._ensemble = ensemble
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._answers = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> Ledger:
        self._stopping.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), f"the writer {self.ledger.name} hangs"
        return self.ledger

    @property
    def answers(self) -> int:
        """How many writes were acknowledged so far."""
        return self._answers

    def _run(self) -> None:
        try:
            client = RawClient(
                self._ensemble.members[self.home].client_port, timeout_ms=SESSION_TIMEOUT_MS, wait_s=ANSWER_WITHIN_S
            )
            with client:
                own = f"{PARENT}/{self.ledger.name}"
                client.create(own)
            self._write(client.session, client.password, client.seen_zxid, own)
        except Exception as error:
            self.ledger.errors.append(f"{type(error).__name__}: {error}")

    def _write(self, session: int, password: bytes, seen_zxid: int, own: str) -> None:
        number = 0
        last_answer = time.monotonic()
        client: RawClient | None = None
        while not self._stopping.is_set():
            if client is None:
                client = self._reconnect(session, password, seen_zxid)
                if client is None:
                    return
            number += 1
            prefix = f"{own}/{number:06d}-"
            setting = number % 4 == 0
            try:
                if setting:
                    client.call(Op.SET_DATA, jute.set_data(own, b"%d" % number)).reader()
                    self.ledger.sets_done += 1
                else:
                    self.ledger.created[prefix] = client.create(prefix, b"%d" % number, flags=2)
            except (HungUpError, OSError):
                if setting:
                    self.ledger.sets_unknown += 1
                else:
                    self.ledger.unknown.append(prefix)
                self.ledger.connections_lost += 1
                seen_zxid = max(seen_zxid, client.seen_zxid)
                client.stream.close()
                client = None
                continue
            except RawError as error:
                self.ledger.errors.append(f"write {number}: {error}")
                return
            now = time.monotonic()
            self.ledger.silence_s_max = max(self.ledger.silence_s_max, now - last_answer)
            last_answer = now
            self._answers += 1
        if client is not None:
            client.stream.close()

    def _reconnect(self, session: int, password: bytes, seen_zxid: int) -> RawClient | None:
        """Try one server after the other, the home first, until one takes the session; None if told to stop."""
        servers = [self.home, *(id for id in self._ensemble.members if id != self.home)]
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for id in servers:
                if self._stopping.is_set():
                    return None
                try:
                    client = RawClient(
                        self._ensemble.members[id].client_port,
                        timeout_ms=SESSION_TIMEOUT_MS,
                        session=session,
                        password=password,
                        seen_zxid=seen_zxid,
                        wait_s=CONNECTED_WITHIN_S,
                    )
                    client.stream.settimeout(ANSWER_WITHIN_S)
                    return client
                except SessionRefusedError:
                    self.ledger.sessions_lost += 1
                    self.ledger.errors.append(f"server {id} does not know the session any more")
                    return None
                except (HungUpError, OSError):
                    time.sleep(0.02)
        self.ledger.errors.append("no server took the session within a minute")
        return None


def check(ledger: Ledger, names: list[str], version: int) -> None:
    """The znode's children and version are what the ledger allows: nothing lost, nothing twice."""
    own = f"{PARENT}/{ledger.name}"
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(f"{own}/{name[: name.index('-') + 1]}", []).append(f"{own}/{name}")
    for prefix, path in ledger.created.items():
        assert found.pop(prefix, []) == [path], f"{path} was acknowledged; the tree has {found.get(prefix)}"
    for prefix in ledger.unknown:
        assert len(found.pop(prefix, [])) <= 1, f"{prefix} was asked for once and is there more than once"
    assert not found, f"nobody asked for {sorted(found)[:10]}"
    assert ledger.sets_done <= version <= ledger.sets_done + ledger.sets_unknown


def tree(client: RawClient, path: str = "/") -> dict[str, tuple[bytes | None, jute.Stat]]:
    """Every znode below `path` as this server shows it. /zookeeper is left out (ZooKeeper changes it locally)."""
    if path == "/zookeeper":
        return {}
    found = {path: client.get(path)}
    for name in client.children(path):
        found.update(tree(client, f"{path.rstrip('/')}/{name}"))
    return found
