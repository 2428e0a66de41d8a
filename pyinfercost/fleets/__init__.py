"""Fleets: autoscalers, replicas with cold starts, bills, plans."""
