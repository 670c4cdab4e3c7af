"""A disk that takes its time: each sync of one server's process is held up by strace, whatever software it is.

Only the syncs are stopped (the kernel's seccomp filter lets all other calls of the process pass untraced), and only the
thread that syncs. The process has the id that `Ensemble` knows, and strace ends with it.
"""

import shutil
import subprocess

_SYNCS = "fsync,fdatasync"


def slow_disk(delay_ms: int) -> tuple[str, ...]:
    """What goes before a server's command (`Ensemble.start`) so that each of its syncs takes so much longer."""
    filtered = ("--seccomp-bpf", "-e", f"trace={_SYNCS}", "-e", f"inject={_SYNCS}:delay_enter={delay_ms}ms")
    return ("strace", "--daemonize", "--follow-forks", "-qq", "-o", "/dev/null", *filtered)


def missing() -> str | None:
    """What is not installed or not allowed, as one sentence; None if disks can be slowed."""
    if shutil.which("strace") is None:
        return "strace, which slows a disk, is not installed; apt install strace"
    tried = subprocess.run([*slow_disk(0), "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"strace, which slows a disk, does not work here: {tried.stderr.strip()}"
    return None
