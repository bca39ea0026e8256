"""`lacuna eval`: how well a model fills holes in code it has not seen. Speaks to a model only through the engine."""
