"""A seeded ensemble of real replicas in one thread, and everything that may happen to it."""
