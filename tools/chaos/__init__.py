"""Real processes under faults: whether every promise was kept by servers that are killed, frozen and cut off."""
