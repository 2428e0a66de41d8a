"""Monitoring: sinks for cost records."""
