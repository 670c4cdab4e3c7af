"""Bytes to values and back: the log's entries, the peers' frames, ZooKeeper's protocol, the four-letter words."""
