"""Predicted against measured latency: `python -m benchmarks.accuracy --measured DIR`.

From the bottom: `measured.py` reads tables, `tables/` turns their rows into cases (a graph with sizes, and the measured
seconds), `predict.py` and `roofline.py` compute seconds for cases on machines, `figures.py` computes their errors, and
`report.py` prints these. `captures.py` stores the graphs of whole models on disk. Reading and predicting are
independent of each other, so that constants can be fitted with the same cases: `predict(cases, machines)` with modified
machines.
"""
