"""`lacuna resources`: what a model needs before it is loaded, and how that compares with what it takes."""
