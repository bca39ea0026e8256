"""Benchmarks: decoding speed on this machine, and the cost of a keystroke."""
