"""Engines that run elsewhere and are reached over HTTP. Needs no torch."""
