"""Advice that is applied for real: models, the changes that a setup asks for, and times taken in turns."""
