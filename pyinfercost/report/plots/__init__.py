"""Plots of results in matplotlib.

The data of a plot is computed in modules that import no plotting library (`breakdown.py`, `memory.py`, `curves.py`, and
the roofline in `report/roofline.py`); `draw_*.py` draws it.
"""
