"""A machine's whole state as one number, computed without the code that keeps its digest, walks it or restores it.

It covers what the digest leaves out: who has forwarded what (so that nothing is applied twice), which server is who,
which ephemerals a session knows, and in which order children are listed.
"""

from coord.state.machine import Machine


def fingerprint(machine: Machine) -> int:
    """Equal for equal states, in one process: Python's own hash is the quickest look at so many fields."""
    sessions = [
        (session.id, session.password, session.timeout_ms, session.owner, tuple(sorted(session.ephemerals)))
        for session in sorted(machine.sessions.values(), key=lambda session: session.id)
    ]
    nodes = machine.tree.nodes
    znodes = [(path, nodes[path].image(), tuple(nodes[path].children or ())) for path in sorted(nodes)]
    origins, servers = sorted(machine.origins.items()), sorted(machine.servers.items())
    return hash((machine.zxid, machine.time_ms, tuple(origins), tuple(servers), tuple(sessions), tuple(znodes)))
