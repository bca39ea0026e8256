"""`lacuna eval`: how well a model fills holes in code that it has not seen. Uses models through the engine only."""
