"""Plots of profiles and sweeps, in matplotlib and as Vega-Lite specifications.

What a plot shows is computed once, in modules that know neither (`breakdown.py`, `memory.py`, `curves.py`, and the
roofline in `report/roofline.py`); `draw_*.py` draw it with matplotlib, `vega*.py` write it as specifications.
"""
