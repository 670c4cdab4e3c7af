import platform
import subprocess
import sys
import textwrap

import pytest

TIMES = 50
PAGES_A_COPY = (1 << 20) // 4096

COPIES = textwrap.dedent(f"""
    import resource, sys
    from coord.server.memory import keep_what_is_freed
    if sys.argv[1] == "kept":
        keep_what_is_freed()
    value = bytes(1 << 20)
    def copy():
        held = [bytearray(value), bytearray(value), bytearray(value)]
    copy()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range({TIMES}):
        copy()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
""")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other rules")
def test_copies_of_long_values_find_the_pages_of_those_before_them() -> None:
    def missing_pages(how: str) -> int:
        return int(subprocess.run([sys.executable, "-c", COPIES, how], capture_output=True, check=True).stdout)

    assert missing_pages("kept") < PAGES_A_COPY
    assert missing_pages("as it is") > TIMES * PAGES_A_COPY  # or it is not needed any more
