"""Commands that answer "how fast, how exact, does it fit, what is wrong"."""
