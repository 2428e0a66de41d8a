"""Write the signatures of settings that the core declares, for type checkers and pages: `nox -s stubs`."""

from __future__ import annotations

import textwrap
from pathlib import Path

from pyinfercost.inputs.autoscalers import KINDS

PATH = Path(__file__).parents[1] / "pyinfercost" / "inputs" / "autoscaler_kinds.pyi"
_WIDTH = 120


def stub() -> str:
    """Return the content of the file."""
    classes = []
    for kind in KINDS.values():
        first, *rest = (kind.__doc__ or "").partition("\n\nAttributes:")[0].split("\n\n")
        lines = [f'    """{first}', ""]
        for paragraph in rest:
            lines += [*textwrap.wrap(paragraph, _WIDTH, initial_indent="    ", subsequent_indent="    "), ""]
        lines.append("    Attributes:")
        for each in kind.fields:
            text = f"{each.name}: {each.text}"
            lines += textwrap.wrap(text, _WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 12)
        lines += ['    """', ""]
        lines += [f"    {each.name}: {each.annotation(given=False)}" for each in kind.fields]
        lines += ["", "    def __init__(", "        self,", "        *,"]
        for each in kind.fields:
            lines.append(f"        {each.name}: {each.annotation(given=True)} = {_default(each.default)},")
        lines.append("    ) -> None: ...")
        classes.append("\n".join([f"class {kind.__name__}(Autoscaler):", *lines, ""]))
    head = (
        "# Written by tools/settings_stub.py from csrc/simulate/fleet.\n"
        "from collections.abc import Mapping, Sequence\n\nfrom .autoscalers import Autoscaler\n\n"
    )
    return head + "\n".join(classes)


def _default(value: object) -> str:
    text = repr(value).replace("'", '"')
    return "..." if isinstance(value, tuple) else text


if __name__ == "__main__":
    PATH.write_text(stub(), encoding="utf-8")
