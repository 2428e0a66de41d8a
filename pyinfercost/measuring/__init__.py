"""What this machine does in fact: constants of a hardware file, and models as they run. Needs torch, when called."""
