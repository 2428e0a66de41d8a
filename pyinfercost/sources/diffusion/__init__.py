"""Models of `diffusers` from a configuration, with the inputs of one step of their pipelines."""
