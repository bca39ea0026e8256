"""One model on several machines: replicas as a Ray Serve application, behind the same engine protocol."""
