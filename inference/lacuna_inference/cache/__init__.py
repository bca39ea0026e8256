"""Prefix caches: KV caches with their tokens and logits, in one pool for all documents."""
