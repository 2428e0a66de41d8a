"""Predictions for one point: counts, estimates, profiles, comparisons, limits and budgets."""
