"""Names that snippets of the documentation take for granted: `<!-- setup: NAME -->` on a page calls the function NAME."""

from __future__ import annotations

from typing import Any
