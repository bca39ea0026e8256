"""What share of suggestions is kept by somebody who types code that already exists."""
