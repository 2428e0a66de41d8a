"""Readers of exported programs, in memory and from .pt2 archives."""
