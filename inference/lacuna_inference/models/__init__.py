"""Weights -> step(tokens). The only place that imports transformers."""
