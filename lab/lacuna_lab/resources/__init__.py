"""`lacuna resources`: estimates what a model needs without loading it, and measures what it takes."""
