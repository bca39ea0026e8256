"""The engine's own forward pass."""
