"""Result types and their documents. Nothing here computes or renders."""
