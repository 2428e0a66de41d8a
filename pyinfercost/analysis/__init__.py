"""From a Graph to results: counts, estimates, profiles, sweeps. Arranges arguments; the core does the arithmetic."""
