"""The parts of a sweep: its points as a grid, what to compute as data, running it, results in memory and on disk."""
