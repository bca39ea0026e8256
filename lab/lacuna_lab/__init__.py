"""The lab: measures speed, quality, precision and memory.

It may import any module of Lacuna. Only training and the command line, which mounts its commands, import it.
"""
