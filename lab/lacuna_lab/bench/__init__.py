"""Benchmarks: how fast a model decodes here, and what a key costs somebody who types."""
