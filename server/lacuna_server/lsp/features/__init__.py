"""One file for each method of the protocol. A handler takes a snapshot first, asks the core, and translates."""
