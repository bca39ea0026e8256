"""How the bundled model is made: corpus, tokenizer, train, export. Not part of the wheel."""
