"""The lab: measures speed, quality, precision and memory. It may import everything; only the command line mounts it."""
