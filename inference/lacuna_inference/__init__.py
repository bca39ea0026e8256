"""Text around a hole in, text for the hole out. Knows nothing of LSP, HTTP or editors."""

__version__ = "0.1.0"
DISTRIBUTION = "lacuna-lsp"
"""The name that pip knows the package by. `lacuna` on the package index is somebody else's project."""
