"""Model sources: every way a model becomes a Graph, from torch modules to files and specs."""
