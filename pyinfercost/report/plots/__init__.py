"""Plots of profiles and sweeps, in matplotlib and as Vega-Lite specifications.

The data of a plot is computed once, in modules that import no plotting library (`breakdown.py`, `memory.py`,
`curves.py`, and the roofline in `report/roofline.py`). `draw_*.py` draws it with matplotlib, `vega*.py` writes
specifications.
"""
