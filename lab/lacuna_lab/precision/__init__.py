"""`lacuna precision`: what a dtype costs in accuracy, compared with a reference on the same text and prompts."""
