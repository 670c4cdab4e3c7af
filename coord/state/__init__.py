"""What the servers agree on: a deterministic machine of znodes, sessions and quotas. No epoch, no quorum, no clock."""
