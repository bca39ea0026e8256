"""A model behind a queue: the background thread, its scheduler and its health checks."""
