"""Parts of all pages: templates, scripts, styles, and the policy that allows a page its own script and nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ... import _core

if TYPE_CHECKING:
    from collections.abc import Sequence

ASSETS = Path(__file__).parent / "assets"
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}

_COMMENT = re.compile(r"^[ \t]*(?:/\*.*?\*/[ \t]*|//[^\n]*)\n", re.MULTILINE | re.DOTALL)


def rendered(template: str, **values: Any) -> str:
    """Render a template with the version of the package; values are escaped unless the template says they are safe."""
    return _TEMPLATES.get_template(template).render(version=_core.__version__, **values)


def asset(name: str) -> str:
    """Return the text of a file of the pages."""
    return (ASSETS / name).read_text(encoding="utf-8")


@cache
def library(name: str) -> str:
    """Return the script of a library, which `nox -s wasm` writes, with its license."""
    return zlib.decompress((ASSETS / f"{name}.js.zz").read_bytes()).decode()


def script_of(names: Sequence[str]) -> str:
    """Return scripts of ours in their order, without comments of whole lines and without indentation.

    Args:
        names: Names of the files without their ending; their texts are of one line.
    """
    joined = "".join(asset(f"{name}.js") for name in names)
    return "\n".join(line.strip() for line in _COMMENT.sub("", joined).split("\n"))


def policy_of(script: str, *, runs: str = "", connects: str = "") -> str:
    """Return the content security policy of a page.

    Args:
        script: Its only script; empty if it has none.
        runs: What else the script may run, as sources of `script-src` and further directives.
        connects: Where it may connect to, as sources of `connect-src`.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"script-src 'sha256-{digest}'{runs}; " if script else ""
    connect = f"connect-src {connects}; " if connects else ""
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; {allowed}{connect}img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def embedded(text: str) -> str:
    """Escape JSON for a script element, so that nothing in it ends the element or starts a comment."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
