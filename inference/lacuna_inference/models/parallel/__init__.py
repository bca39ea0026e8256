"""One model over several devices: a process for each shard."""
