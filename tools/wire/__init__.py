"""ZooKeeper's client protocol, written a second time and on purpose without coord's codec.

What tests and the benchmark say to a server must not pass through the code they examine: a mistake made in
both directions would cancel out.
"""
