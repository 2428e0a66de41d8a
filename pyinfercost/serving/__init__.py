"""Serving: workloads and request traces, costs of steps, and their closed form."""
