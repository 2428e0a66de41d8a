"""How many examples hypothesis draws for a law that needs another number than most."""

from __future__ import annotations

from hypothesis import settings


def examples(most: int) -> int:
    """Return the number of examples of a law: `most` in `nox -s tests_slow`, and by default a quarter of them."""
    return -(-most * settings().max_examples // 100)
