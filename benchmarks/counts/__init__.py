"""What each counter says of models and modules whose work is known."""
