"""Sweeps: grids of design points evaluated as columns, stored, filtered and ranked."""
