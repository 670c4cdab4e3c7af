"""Who may ask what: names, methods, tokens, bodies."""

import pytest
import trio
from admin_desk import BEARER, TOKEN, ask, open_desk

from coord.admin.guard import Guard, name_in


async def _hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost:8080", "localhost"),
        ("localhost.:80", "localhost"),
        ("[::1]:8080", "::1"),
        ("127.0.0.1:1", "127.0.0.1"),
        ("evil.example", "evil.example"),
        ("localhost:80@evil", "localhost"),
        ("[::1", "::1"),
        ("", ""),
    ],
)
def test_the_name_in_a_host_header(host, name):
    assert name_in(host) == name


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil", "", "*"]
)
async def test_a_name_that_is_not_known_is_refused_whatever_is_asked(autojump_clock, monkeypatch, host):
    async with open_desk(monkeypatch) as desk:
        for path in ("/metrics", "/healthz", "/commands/stats", "/nothing"):
            answer = await desk.ask(path, headers={"host": host})
            assert answer.status == 403
            assert "this server is not called by that name" in answer.text
            assert "evil" not in answer.text
        posted = await desk.ask("/commands/srst", method="POST", headers={"host": host, **BEARER})
        assert posted.status == 403


async def test_names_of_the_setting_and_the_own_address_are_known_too(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch, admin_hosts=frozenset(("coord1", "10.0.0.1"))) as desk:
        for host in ("coord1:8080", "COORD1", "10.0.0.1", "127.0.0.1:8080", "localhost"):
            assert (await desk.ask("/healthz", headers={"host": host})).status == 200
    async with open_desk(monkeypatch, admin_hosts=frozenset("*")) as desk:
        assert (await desk.ask("/healthz", headers={"host": "anything"})).status == 200


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS", "PUT", "DELETE", "PATCH", "CONNECT", "PROPFIND"])
async def test_other_methods_are_not_there(autojump_clock, monkeypatch, method):
    async with open_desk(monkeypatch) as desk:
        answer = await desk.ask("/commands/stats", method=method, headers={"x-secret": "echo"})
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, POST")
        assert "echo" not in answer.text


async def test_no_page_of_another_origin_may_read_an_answer(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch) as desk:
        for path in ("/metrics", "/commands", "/commands/stats", "/healthz", "/nothing"):
            answer = await desk.ask(path, headers={"origin": "http://evil.example"})
            assert not [name for name in answer.headers if name.startswith("access-control")]
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/commands", "/"])
async def test_what_reads_is_no_post(autojump_clock, monkeypatch, path):
    async with open_desk(monkeypatch) as desk:
        assert (await desk.ask(path, method="POST", headers=BEARER)).status == 405
        assert (await desk.ask(path, method="HEAD")).status == 200
        assert (
            (await desk.ask("/commands/stats", method="POST", headers=BEARER))
            .json["error"]
            .startswith("stats only reads")
        )


async def test_a_websocket_is_closed():
    said = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        said.append(message)

    await Guard(_hello, ("localhost",))({"type": "websocket"}, receive, send)
    assert said == [{"type": "websocket.close", "code": 1008}]


# ---- actions


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {TOKEN.decode()}",
        f"Bearer {TOKEN.decode()}x",
        "Bearer \xe4",
        TOKEN.decode(),
    ],
)
async def test_an_action_without_the_token_is_not_done(autojump_clock, monkeypatch, given):
    async with open_desk(monkeypatch) as desk:
        desk.consoles[1].replica.clients.received = 7
        answer = await desk.ask("/commands/stat_reset", method="POST", headers={"authorization": given})
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert desk.consoles[1].replica.clients.received == 7


async def test_without_a_token_in_the_settings_no_action_is_done(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch) as desk:
        for headers in ({}, BEARER, {"authorization": "Bearer "}):
            answer = await ask(desk.app(token=None), "/commands/srst", method="POST", headers=headers)
            assert answer.status == 403
            assert "--admin-token-file" in answer.json["error"]


async def test_an_action_is_no_get(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch) as desk:
        desk.consoles[1].replica.clients.received = 7
        for name in ("stat_reset", "srst", "crst", "snapshot", "shed"):
            answer = await desk.ask(f"/commands/{name}", headers=BEARER)
            assert (answer.status, answer.headers["allow"]) == (405, "POST")
        assert desk.consoles[1].replica.clients.received == 7


async def test_resets_reset_what_they_say(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch) as desk:
        client = await desk.ensemble.connect(1)
        await client.create("/a")
        answer = await desk.ask("/commands/srst", method="POST", headers=BEARER)
        assert (answer.status, answer.json) == (200, {"command": "stat_reset", "error": None})
        assert (await desk.ask("/commands/monitor")).json["packets_received"] == 0
        assert (await desk.ask("/commands/connections")).json["connections"][0]["packets_received"] == 1
        await desk.ask("/commands/connection_stat_reset", method="POST", headers=BEARER)
        assert (await desk.ask("/commands/connections")).json["connections"][0]["packets_received"] == 0


async def test_a_snapshot_is_taken_of_what_is_there(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch) as desk:
        client = await desk.ensemble.connect(1)
        await client.create("/a", b"x" * 1000)
        zxid = desk.consoles[1].replica.machine.zxid
        answer = await desk.ask("/commands/snapshot", method="POST", headers=BEARER)
        assert int(answer.json["last_zxid"], 16) >= zxid
        assert answer.json["snapshot_size"] > 1000
        assert (await desk.ask("/commands/last_snapshot")).json["zxid"] == answer.json["last_zxid"]


async def test_connections_are_shed_and_sessions_live_on(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch) as desk:
        clients = [await desk.ensemble.connect(1) for _ in range(5)]
        answer = await desk.ask("/commands/shed_connections", method="POST", headers=BEARER, body=b'{"percentage": 50}')
        assert answer.json["connections_shed"] == 3
        for client in clients[:3]:
            await client.wait_lost()
        assert [client.lost for client in clients] == [True, True, True, False, False]
        assert len(desk.consoles[1].replica.machine.sessions) == 5


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"nonsense",
        b'{"percentage": 0}',
        b'{"percentage": 101}',
        b'{"percentage": true}',
        b"\xff",
        b"[" * 4000,
    ],
)
async def test_wrong_parameters_are_refused_in_a_sentence(autojump_clock, monkeypatch, body):
    async with open_desk(monkeypatch) as desk:
        client = await desk.ensemble.connect(1)
        answer = await desk.ask("/commands/shed", method="POST", headers=BEARER, body=body)
        assert answer.status == 400
        assert answer.json["error"].startswith("the body must be")
        assert not client.lost


async def test_a_long_body_is_not_read_and_a_slow_one_not_waited_for(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch) as desk:
        long = await desk.ask("/commands/shed", method="POST", headers=BEARER, body=b" " * 5000)
        assert long.status == 413
        began = trio.current_time()
        slow = await desk.ask("/commands/shed", method="POST", headers=BEARER, body=None)
        assert slow.status == 408
        assert 4 < trio.current_time() - began < 10
