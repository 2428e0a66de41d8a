"""Builders and captures of library models; these modules run in separate processes."""
