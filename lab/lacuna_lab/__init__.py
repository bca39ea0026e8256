"""The laboratory: how fast, how exact, how large. It may import everything; only the command line mounts it."""
