"""Formats of weights, and their application to a graph.

- `table.py`: the formats. `products.py` finds the products with weights, `stored_weights.py` stores their weights, and
  `kernels.py` inserts the kernels of serving engines for them.
- `checkpoints.py`: stores the weights of a graph in the formats of a checkpoint.
"""
