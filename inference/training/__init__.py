"""The pipeline that builds the bundled model: corpus, tokenizer, training, export. Not part of the wheel."""
