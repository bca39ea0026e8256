"""Models as Python packages, pure data, for those who reach a package index only."""
