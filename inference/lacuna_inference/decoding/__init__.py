"""Decoding: from a prompt's token ids to the text of its holes."""
