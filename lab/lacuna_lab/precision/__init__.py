"""`lacuna precision`: what a dtype costs in accuracy. The same text, the same prompts, a reference and its rivals."""
