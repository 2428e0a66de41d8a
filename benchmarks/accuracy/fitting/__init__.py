"""Fits the constants of families of machines to measured rows."""
