"""Published architectures in terms of the own forward."""
