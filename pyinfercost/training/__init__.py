"""Cost in the training loop: a tracker, a differentiable cost, budgets, and forms of them for training frameworks."""
