"""Showing results: tables, JSON, CSV, Markdown. Formats what the results hold; knows shares and units, no more."""
