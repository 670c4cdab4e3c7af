"""HTTP for operators and for Prometheus, beside a server and in its own event loop. README.md tells what it answers.

It belongs to the extra coord[admin]: nothing else of coord may import it but the command line, when it is asked for.
"""
