"""Graph transforms: a graph in, another graph out. The model itself is not touched."""
