"""Models in GGUF files, the format of llama.cpp: header, config, tokenizer and tensors."""
