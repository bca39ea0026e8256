"""Published architectures, described for the engine's own forward."""
