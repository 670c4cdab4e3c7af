"""A server: one process of an ensemble, from its sockets and its disk to its clients."""
