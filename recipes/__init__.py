"""Locks, elections, queues and the like, made of nothing but what `import coord` offers."""
