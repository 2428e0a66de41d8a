"""Inference view: the module that a model in training will be served as, for capture. One file for each concern."""
