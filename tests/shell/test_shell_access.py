"""Commands about access, limits, sessions and servers."""

import pytest

import coord
import coord.shell
from coord.shell.errors import ShellError, UsageError
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from tests.shell.desk import Desk, app, open_desk

# ---- access and limits


async def test_acl_set_and_get_and_who_i_am(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        assert await desk.text("acl get /app") == "'world,'anyone\n: cdrwa"
        await desk.text("addauth digest ann:secret")
        assert ["digest", "ann"] in (await desk.json("whoami"))[0]["identities"]
        await desk.text("setAcl /app/a auth::cdrwa,world:anyone:r")
        assert (await desk.json("getAcl /app/a"))[0]["acl"] == [
            {"scheme": "digest", "id": "ann:7RJfAeIvrl4zdj6sS2fXrQHDvHM=", "permissions": "cdrwa"},
            {"scheme": "world", "id": "anyone", "permissions": "r"},
        ]
        async with ensemble.client() as other:
            with pytest.raises(coord.NoAuthError):
                await Desk(other).text("set /app/a x")
        done = await desk.json("acl set -R /app/b world:anyone:ra")
        assert done[0]["znodes"] == 2
        assert (await desk.shell.client.get_acl("/app/b/c"))[0] == ((17, "world", "anyone"),)
        with pytest.raises(UsageError, match="no entry of an ACL"):
            await desk.text("acl set /app/a world:anyone")


async def test_quotas_are_set_one_by_one_and_taken_away(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        with pytest.raises(ShellError, match="/app has no quota"):
            await desk.text("listquota /app")
        await desk.text("setquota -n 10 /app")
        await desk.text("setquota -N 4 /app")
        assert await desk.json("quota get /app") == [
            {"path": "/app", "znodes": 4, "bytes": 13, "znodes_soft": 10, "bytes_soft": None, "znodes_hard": 4,
             "bytes_hard": None}
        ]  # fmt: skip
        with pytest.raises(coord.QuotaExceededError):
            await desk.text("create /app/more")
        await desk.text("delquota -N /app")
        await desk.text("create /app/more")
        assert await desk.text("delquota /app") == "the quota of /app was taken away"


async def test_acls_of_a_subtree_are_shown_a_line_a_znode(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        await desk.text("acl set /app/a world:anyone:r")
        assert await desk.lines("getAcl -R /app") == [
            "/app  world:anyone:cdrwa", "/app/a  world:anyone:r", "/app/b  world:anyone:cdrwa",
            "/app/b/c  world:anyone:cdrwa",
        ]  # fmt: skip
        await desk.text("acl set /app/b ip:10.9.9.9:cdrwa")
        assert (await desk.lines("acl get -R /app"))[2:] == ["/app/b  may not be read"]
        rows = await desk.json("acl get -R /app")
        assert [row["acl"] for row in rows[1:]] == [
            [{"scheme": "world", "id": "anyone", "permissions": "r"}], None,
        ]  # fmt: skip


async def test_an_acl_that_shuts_the_shell_out_is_set_everywhere_below_all_the_same(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        for number in range(3):
            await desk.text(f"create /app/b/{number}")
        done = await desk.text("acl set -R /app ip:10.9.9.9:cdrwa")
        assert done == "the ACL of /app and of 6 znodes below it was set"
        for path in ("/app", "/app/a", "/app/b", "/app/b/c", "/app/b/2"):
            with pytest.raises(coord.NoAuthError):
                await desk.shell.client.get(path)


async def test_at_the_prompt_it_is_asked_before_the_shell_shuts_itself_out(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        asked = desk.says(False)
        with pytest.raises(ShellError, match="nothing was done"):
            await desk.text("acl set /app world:anyone:r")
        assert asked == ["world:anyone:r lets nobody that this shell is change the ACL again. Set it?"]
        await desk.text("auth digest ann:secret")
        for line in ("/app/a auth::cdrwa", "/app/a digest:ann:hash=:cdrwa", "-f /app world:anyone:r"):
            await desk.text(f"acl set {line}")
        assert len(asked) == 1


async def test_an_acl_is_not_set_below_a_znode_whose_acl_has_another_version(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        with pytest.raises(coord.BadVersionError):
            await desk.text("acl set -R -v 7 /app world:anyone:r")
        assert (await desk.shell.client.exists("/app/a")).aversion == 0


async def test_an_acl_that_may_not_be_set_everywhere_says_how_far_it_came(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        await desk.text("acl set /app/a world:anyone:cdrw")
        with pytest.raises(ShellError, match="the ACLs of 2 of 3 znodes below /app were set"):
            await desk.text("acl set -R /app world:anyone:cdrwa")


# ---- the ensemble


async def test_who_finds_the_session_that_holds_a_lock_and_where_it_is(ensemble, virtual_clock):
    async with open_desk(ensemble) as desk, ensemble.client() as other:
        await desk.shell.client.create("/lock")
        with pytest.raises(ShellError, match="no session holds it"):
            await desk.text("who /lock")
        first = await other.create("/lock/x-", b"worker 7", ephemeral=True, sequential=True)
        await desk.text("create -e -s /lock/a-")
        (found,) = await desk.json("who /lock")
        assert (found["path"], found["session"], found["server"], found["value"]) == (
            first, f"{other.session.id:#x}", other.server.address, "worker 7",
        )  # fmt: skip
        rows = await desk.json(f"sessions {other.session.id:#x}")
        assert [(row["server"], row["own"]) for row in rows] == [(other.server.address, False)]
        assert {row["session"] for row in await desk.json("sessions")} == {
            f"{each.session.id:#x}" for each in (other, desk.shell.client)
        }
        with pytest.raises(ShellError, match="connected to none"):
            await desk.text("sessions 0x77")


async def test_ephemerals_of_this_session_of_one_and_of_all(ensemble, virtual_clock):
    async with open_desk(ensemble) as desk, ensemble.client() as other:
        await other.create("/theirs", ephemeral=True)
        await desk.text("create -e /mine")
        assert [row["path"] for row in await desk.json("getEphemerals")] == ["/mine"]
        assert [row["path"] for row in await desk.json("ephemerals --all")] == ["/mine", "/theirs"]
        assert [row["path"] for row in await desk.json(f"ephemerals -s {other.session.id:#x}")] == ["/theirs"]


async def test_status_and_digest_of_three_servers_one_of_them_dead(ensemble, virtual_clock):
    async with open_desk(ensemble) as desk:
        await desk.text("create /a")
        await ensemble.wait_converged()
        (status,) = await desk.json("status")
        assert (status["healthy"], status["problems"]) == (True, [])
        assert sorted(each["role"] for each in status["servers"]) == ["follower", "follower", "leader"]
        assert len({row["digest"] for row in await desk.json("digest")}) == 1
        ensemble.crash(ensemble.followers()[0])
        (status,) = await desk.json("status")
        assert any("does not answer: connection refused" in each for each in status["problems"])
        assert any("2 of 3 voters serve" in each for each in status["problems"])
        assert "! " in await desk.text("status")


async def test_members_and_the_leader(ensemble, virtual_clock):
    async with open_desk(ensemble) as desk:
        await ensemble.wait_converged()
        rows = await desk.json("members")
        assert [row["server"] for row in rows] == [1, 2, 3]
        assert sorted(row["role"] for row in rows) == ["follower", "follower", "leader"]
        (leader,) = await desk.json("leader")
        assert leader in rows
        assert leader["client_address"] in desk.shell.addresses
        assert await desk.json("config") == rows
        desk.shell.addresses = next(row["client_address"] for row in rows if row["role"] == "follower")
        assert [row["role"] for row in await desk.json("members")].count(None) == 2
        with pytest.raises(ShellError, match=r"none of the servers .* leads; status tells why"):
            await desk.text("leader")
