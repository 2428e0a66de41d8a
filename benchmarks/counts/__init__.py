"""Comparison of FLOP counters on models and modules with known work."""
