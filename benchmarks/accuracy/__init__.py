"""Predicted against measured latency: `python -m benchmarks.accuracy --measured DIR`.

From the bottom: `measured.py` reads tables, `tables/` turns their rows into cases (a graph with sizes, and what was
measured), `predict.py` and `roofline.py` give seconds for cases on machines, `figures.py` makes errors of them and
`report.py` shows these. `captures.py` keeps the graphs of whole models on disk. Reading and predicting know nothing
of each other's inside, so that constants can be fitted with the same cases: `predict(cases, machines)` with altered
machines."""
