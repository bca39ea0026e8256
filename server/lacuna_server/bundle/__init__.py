"""Bundles: Lacuna for a machine without a network, in one file with checksums of all its content."""
