"""Text around holes -> token ids: which sentinels, in which order, and how much of the text."""
