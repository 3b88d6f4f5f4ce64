"""Layers the families share; only `weights` and `tokenizer` open files."""
