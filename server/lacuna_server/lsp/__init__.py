"""The language server, built on pygls. The only package that uses the protocol's types."""
