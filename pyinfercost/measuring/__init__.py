"""Measurements on this machine: constants of a hardware file, latency and energy of models. Calls need torch."""
