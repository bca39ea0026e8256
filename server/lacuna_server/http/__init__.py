"""The model over HTTP: the endpoints of several dialects over one engine. Knows nothing of editors."""
