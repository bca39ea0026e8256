"""Lacuna and llama.cpp's own server on one GGUF file, in one run: the library of `lacuna bench model`."""
