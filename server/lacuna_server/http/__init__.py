"""The HTTP server: the endpoints of several dialects over one engine. Knows nothing of editors."""
