"""`coord serve --admin` as a process: real HTTP, and what is said where it cannot be."""

import http.client
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

import coord
from tools.ensembles import CoordSoftware, Ensemble
from tools.ensembles.ports import HOST, free_ports
from tools.wire.client import RawClient

TOKEN = "a-token-of-the-tests"
ROOT = Path(coord.__file__).parents[1]


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(HOST, port, timeout=20)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_a_server_answers_over_http_and_stops_though_a_client_stays(tmp_path):
    (port,) = free_ports(1)
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    options = ("--admin", f"{HOST}:{port}", "--admin-token-file", str(token))
    with Ensemble(CoordSoftware(options), tmp_path / "ensemble", servers=1) as ensemble:
        ensemble.start_all()
        ensemble.wait_serving()
        assert ask(port, "/readyz") == (200, "ok\n")
        with RawClient(ensemble.members[1].client_port) as client:
            client.create("/written")
        status, text = ask(port, "/metrics")
        values = {each.name: each for each in text_string_to_metric_families(text)}
        assert status == 200
        assert values["coord_ready"].samples[0].value == 1
        assert values["coord_disk_free_bytes"].samples[0].value > 0
        assert values["process_resident_memory_bytes"].samples[0].value > 1 << 20
        assert sum(each.value for each in values["coord_fsync_duration_seconds"].samples) > 0
        assert ask(port, "/metrics", Host="evil.example")[0] == 403
        assert ask(port, "/commands/srst", "POST")[0] == 401
        assert ask(port, "/commands/srst", "POST", Authorization=f"Bearer {TOKEN}")[0] == 200
        kept = http.client.HTTPConnection(HOST, port, timeout=20)
        kept.request("GET", "/healthz")
        assert kept.getresponse().read() == b"ok\n"
        assert ensemble.stop(1) == 0
        kept.close()
        assert TOKEN not in ensemble.log_text(1)


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


WITHOUT = "import sys; sys.modules['{}'] = None; from coord.cli.main import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize(
    ("command", "library"), [("serve", "starlette"), ("serve", "prometheus_client"), ("up", "hypercorn")]
)
def test_without_the_extra_admin_is_refused_in_a_sentence_before_anything_starts(tmp_path, command, library):
    data = tmp_path / "data"
    (port,) = free_ports(1)
    given = ["--client", f"{HOST}:{port}"] if command == "serve" else ["--base-port", str(port)]
    ended = run(WITHOUT.format(library), command, "--data", str(data), "--admin", f"{HOST}:1", *given)
    assert ended.returncode == 2
    assert ended.stderr == (
        f"coord {command}: admin {HOST}:1 needs the Python package {library}, which is not installed; "
        "install coord[admin], or leave --admin out\n"
    )
    assert not data.exists()


def test_nothing_but_the_admin_needs_the_extra():
    code = """
import sys
for name in ("starlette", "hypercorn", "prometheus_client", "h11", "h2", "wsproto"):
    sys.modules[name] = None
import coord, recipes, coord.cli.serve, coord.cli.up, coord.cli.shell, coord.cli.status, coord.testing, coord.embedding
print(coord.connect, coord.embedded, coord.testing.ensemble)
"""
    ended = run(code)
    assert (ended.returncode, ended.stderr) == (0, "")
