"""What is taken off a module in training, one file for each kind, to see what would be served."""
