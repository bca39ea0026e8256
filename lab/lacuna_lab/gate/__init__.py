"""How likely suggestions are right: answers at typed places of files, and the gate's coefficients fitted to them."""
