"""Text around a hole in, text for the hole out. Knows nothing of LSP, HTTP or editors."""

__version__ = "0.1.0"
