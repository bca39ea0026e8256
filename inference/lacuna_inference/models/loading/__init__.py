"""A model's files: their location, their contents, and their tensors."""
