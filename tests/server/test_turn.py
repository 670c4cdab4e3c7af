import trio
import trio.testing

from coord.server.turn import RECOUNT_EVERY, Turn


async def test_whoever_runs_last_in_a_turn_finds_nobody_else_ready() -> None:
    turn, found = Turn(), []
    go = trio.Event()

    async def wait() -> None:
        await go.wait()
        found.append(turn.tasks_ready)

    with turn.watched():
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked(0.01)
            go.set()
    assert found == [2, 1, 0]


async def test_the_count_is_right_again_after_a_pause_or_after_many_turns() -> None:
    turn = Turn()
    with turn.watched():
        for _ in range(2):
            await trio.lowlevel.checkpoint()
        assert turn.tasks_ready == 0
        turn.tasks_ready = 77  # as if tasks had been taken out of the loop by others
        for _ in range(RECOUNT_EVERY + 1):
            await trio.lowlevel.checkpoint()
        assert turn.tasks_ready == 0
        turn.tasks_ready = 77
        await trio.sleep(0.001)
        assert turn.tasks_ready == 0
