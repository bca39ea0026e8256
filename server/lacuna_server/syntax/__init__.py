"""Syntax trees of texts that are being written. Pure; tree-sitter and its grammars are loaded when first needed."""
