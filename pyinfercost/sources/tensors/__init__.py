"""Tensor subclasses and packed weights as the plain tensors in memory."""
