"""Models of `diffusers` from a configuration, and what one step of their pipelines gives them."""
