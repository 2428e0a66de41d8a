"""Fit of the constants of machine families to measured rows."""
