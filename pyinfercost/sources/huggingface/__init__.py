"""Hugging Face models from a config only: class, inputs, and KV cache."""
