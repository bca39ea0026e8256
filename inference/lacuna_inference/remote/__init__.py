"""Engines on other servers, used over HTTP. Needs no torch."""
