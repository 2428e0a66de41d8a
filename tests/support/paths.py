"""Paths in the repository and next to it."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
DOCS = ROOT / "docs"
SHARED = ROOT.parent / "shared"
"""Published measurements next to the repository. Tests that need them are skipped if they are absent."""
CONFIGS = TESTS / "support" / "configs"
"""Hugging Face and diffusers configurations of the models that tests build."""
