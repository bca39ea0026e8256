"""The faces of Lacuna: language server and command line. Knows the engine only through its border."""
