"""What to ask the engine and what to show of its answer. Pure: no protocol, no editor, no model."""
