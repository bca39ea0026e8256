"""Lacuna's language server, HTTP server and command line. Uses the engine only through its public API."""
