"""Token ids -> token ids: prefix reuse, choice of the next token, and when to stop."""
