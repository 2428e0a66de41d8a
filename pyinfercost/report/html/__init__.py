"""HTML report of a profile, as one page that needs no network."""
