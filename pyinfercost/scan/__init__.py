"""Sparsity scans: zeros of weights and activations, by element, N:M group, block, row and channel."""
