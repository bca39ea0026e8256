"""What the model has read: KV caches with their tokens and logits, one pool for all documents."""
