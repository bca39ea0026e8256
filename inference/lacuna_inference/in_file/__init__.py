"""What the open file says about its own holes: n-grams, drafts, and texts that may fill one whole."""
