"""Result types and their documents. This package neither computes nor renders."""
