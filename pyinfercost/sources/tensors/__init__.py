"""Tensor subclasses and packed weights as the plain tensors that lie in memory."""
