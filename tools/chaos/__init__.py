"""Real processes under faults: who writes meanwhile, and whether every promise was kept."""
