"""Hugging Face models from a config alone: the class, its inputs, and its KV cache."""
