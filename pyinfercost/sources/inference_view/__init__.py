"""Inference view of a module in training: the module that will be served, for capture."""
