"""One model on several machines: replicas in a Ray Serve application, with the same engine protocol."""
