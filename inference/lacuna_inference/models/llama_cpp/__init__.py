"""llama.cpp as a forward: GGUF files as they are, on every device and of every architecture that it knows."""
