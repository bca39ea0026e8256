"""A model behind a queue: the background thread, its scheduler, and what keeps it alive."""
