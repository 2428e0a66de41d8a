"""Plots: `ic.plots.plot_roofline(profile)`.

Profiles are given as they are, as their JSON object, or as the path of a file with that. Drawing needs matplotlib (`pip
install 'pyinfercost[plot]'`), which is imported when something is drawn.
"""

from .report.colors import BOUND, MEMORY
from .report.plots.draw_breakdown import plot_breakdown
from .report.plots.draw_fleets import plot_fleet_timeline, plot_front, plot_money
from .report.plots.draw_memory import plot_memory
from .report.plots.draw_roofline import plot_roofline
from .report.plots.draw_serving import plot_latencies, plot_rates, plot_timeline
from .report.plots.draw_sweep import plot_sweep

__all__ = [
    "BOUND",
    "MEMORY",
    "plot_breakdown",
    "plot_fleet_timeline",
    "plot_front",
    "plot_latencies",
    "plot_memory",
    "plot_money",
    "plot_rates",
    "plot_roofline",
    "plot_sweep",
    "plot_timeline",
]
