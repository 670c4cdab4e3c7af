import ctypes
import mmap
import re
from pathlib import Path

import pytest
import trio

from coord.server import huge_pages
from coord.server.huge_pages import BLOCK_BYTES, allowed, blocks_of, collapse, run_in_huge_pages

MAPS = """\
00400000-00600000 r-xp 00000000 fe:00 1234                               /usr/bin/python3.11
01000000-01a00000 rw-p 00000000 00:00 0                                  [heap]
7f0000100000-7f0000700000 rw-p 00000000 00:00 0 
7f0001000000-7f0001400000 rw-p 00000000 fe:00 99                         /tmp/a file
7f0001400000-7f0001800000 rw-s 00000000 00:00 0 
7f0002000000-7f00021ff000 rw-p 00000000 00:00 0 
7ffc00000000-7ffc00800000 rw-p 00000000 00:00 0                          [stack]
"""


needs_huge_pages = pytest.mark.skipif(not allowed(), reason="this kernel gives no huge pages, or must not")


class Memory:
    """Two blocks of this process's own, in small pages."""

    def __init__(self, pages: int) -> None:
        """So many pages of the first block are in use."""
        self._map = mmap.mmap(-1, 3 * BLOCK_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        held = ctypes.c_char.from_buffer(self._map)
        begin = ctypes.addressof(held)
        del held
        self.block = -(-begin // BLOCK_BYTES) * BLOCK_BYTES
        self._map.madvise(mmap.MADV_NOHUGEPAGE)
        for page in range(pages):
            self._map[self.block - begin + page * mmap.PAGESIZE] = 1
        self._map.madvise(mmap.MADV_HUGEPAGE)

    def kilobytes(self, field: str) -> int:
        """What the kernel says of the mapping that holds the block."""
        here = False
        for line in Path("/proc/self/smaps").read_text().splitlines():
            if place := re.match("([0-9a-f]+)-([0-9a-f]+) ", line):
                here = int(place[1], 16) <= self.block < int(place[2], 16)
            elif here and line.startswith(f"{field}:"):
                return int(line.split()[1])
        raise AssertionError(f"no {field} of the block")


def test_blocks_are_whole_ones_of_writable_memory_that_is_no_files():
    assert blocks_of(MAPS.splitlines()) == [
        *range(0x01000000, 0x01A00000, BLOCK_BYTES),
        *range(0x7F0000200000, 0x7F0000600000, BLOCK_BYTES),
    ]


@needs_huge_pages
def test_a_block_that_is_in_use_becomes_one_page():
    memory = Memory(BLOCK_BYTES // mmap.PAGESIZE)
    before = memory.kilobytes("AnonHugePages")
    collapse(memory.block)
    if (after := memory.kilobytes("AnonHugePages")) == before:
        pytest.skip("this kernel puts no pages together when it is asked")
    assert after - before == BLOCK_BYTES // 1024


@needs_huge_pages
def test_a_block_that_is_hardly_in_use_takes_no_memory_for_the_rest():
    memory = Memory(100)
    before = memory.kilobytes("Rss")
    collapse(memory.block)
    assert memory.kilobytes("Rss") == before
    assert memory.kilobytes("AnonHugePages") == 0


def test_a_block_that_is_gone_is_let_be():
    assert collapse(0) >= 0


@pytest.mark.parametrize(
    ("said", "may"),
    [("always [madvise] never", True), ("[always] madvise never", True), ("always madvise [never]", False)],
)
def test_an_operator_who_forbids_them_is_heard(said, may, tmp_path, monkeypatch):
    (tmp_path / "enabled").write_text(said)
    monkeypatch.setattr(huge_pages, "_ALLOWED", tmp_path / "enabled")
    assert allowed() == (may and mmap.PAGESIZE == 4096)


async def test_where_there_are_none_nothing_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(huge_pages, "_ALLOWED", tmp_path / "not there")
    await run_in_huge_pages()


async def test_what_has_been_there_for_a_while_is_put_together_once(autojump_clock, monkeypatch):
    """The first block comes late, the second stays, the third goes and comes back."""
    looks = [{2, 3}, {1, 2}, {1, 2, 3}, {1, 2, 3}, {1, 2, 3}]
    done: list[tuple[float, int]] = []

    async def note(_: object, block: int, *, abandon_on_cancel: bool) -> float:
        done.append((trio.current_time() - began, block))
        return 0.01

    monkeypatch.setattr(huge_pages, "allowed", lambda: True)
    monkeypatch.setattr(huge_pages, "_blocks", lambda: looks.pop(0) if looks else set())
    monkeypatch.setattr(trio.to_thread, "run_sync", note)
    began = trio.current_time()
    with trio.move_on_after(10 * huge_pages.LOOK_EVERY_S):
        await run_in_huge_pages()
    assert [block for _, block in done] == [2, 1, 3]
    assert [round(at / huge_pages.LOOK_EVERY_S) for at, _ in done] == [2, 3, 4]
