"""Predicted against measured latency: `python -m benchmarks.accuracy --measured DIR`.

From the bottom: `measured.py` reads tables, `tables/` turns their rows into cases (a graph with sizes, and the measured
seconds) or calls of collectives, `predict.py`, `calls.py` and `roofline.py` compute their seconds on machines, and
`judge.py` joins these. `figures.py` and `targets.py` compute errors, and `report.py` and `page.py` print them.
`captures.py` stores the graphs of whole models on disk. Reading and predicting are independent of each other, so that
constants can be fitted with the same cases: `predict(cases, machines)` with modified machines.
"""
