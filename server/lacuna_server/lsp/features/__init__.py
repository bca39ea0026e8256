"""One file for each method of the protocol. A handler takes a snapshot, calls the core, and translates the result."""
