"""Advice: which changes of a deployment, a server or a fleet cost less, alone and together."""
