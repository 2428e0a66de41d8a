"""Capture of a torch module by running it once on meta tensors."""
