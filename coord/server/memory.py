"""Memory that was freed stays with the process, to be used again.

The C library (glibc) takes each block above a limit from the kernel anew and gives it back when it is freed, and what
is free at the heap's end as well. Every page of it is then found missing once more: of a value of 1 MB, which is copied
some ten times on its way, each copy costs 0.8 to 1.5 ms and not 0.05. Both limits grow with the largest block that was
ever freed, up to 32 MB. So one is freed here, at the beginning; none of its pages is touched.
"""

FREED_BYTES = 16 << 20
"""Twice as much may stay free at the heap's end."""


def keep_what_is_freed() -> None:
    """For the rest of this process. Elsewhere than on glibc it does nothing."""
    bytes(FREED_BYTES)
