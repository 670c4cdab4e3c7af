"""A claim that came to nothing in time takes back what it made, and not what its client had claimed before."""

import pytest
import trio

import coord
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes.claim import claim, release


@pytest.mark.parametrize("held", [True, False])
async def test_a_claim_that_timed_out_takes_back_its_own_znode_alone(held, ensemble, virtual_clock):
    async with ensemble.client(call_timeout=0.5, session_timeout=20) as client, trio.open_nursery() as nursery:
        await client.create("/x")
        token = await claim(client, "/x/one") if held else 0
        ensemble.isolate(client)

        async def heal() -> None:
            await trio.sleep(3)
            ensemble.heal()

        nursery.start_soon(heal)
        with pytest.raises(coord.CallTimeoutError):
            await claim(client, "/x/one")
        stat = await client.exists("/x/one")
        assert (stat.czxid if stat else 0) == token
        await release(client, "/x/one", token)
        assert await client.children("/x") == []
