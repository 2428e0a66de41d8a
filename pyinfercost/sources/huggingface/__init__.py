"""Hugging Face models from a config alone: the class, its inputs, and its KV cache."""

from .loading import LoadedModel, load_hf
from .sizes import SpecError, checked_sizes

__all__ = ["LoadedModel", "SpecError", "checked_sizes", "load_hf"]
