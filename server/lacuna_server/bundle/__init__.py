"""Lacuna for a machine without a network: everything in one file, every piece with its checksum."""
