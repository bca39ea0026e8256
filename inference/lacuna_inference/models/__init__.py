"""Models behind the `Forward` protocol. The only package that imports transformers."""
