"""The language server face: pygls, and the only place that knows the protocol's types."""
