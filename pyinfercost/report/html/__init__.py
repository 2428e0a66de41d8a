"""The report of a profile as one HTML page that needs no network."""
