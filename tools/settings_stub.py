"""Write the signatures of what settings declare, for type checkers and pages: `nox -s stubs`."""

from __future__ import annotations

import textwrap
from pathlib import Path

from pyinfercost.deployment import OPTIONS, Deployment
from pyinfercost.deployment.options import SIZES
from pyinfercost.inputs.autoscalers import KINDS

PACKAGE = Path(__file__).parents[1] / "pyinfercost"
_WIDTH = 120


def stubs() -> dict[Path, str]:
    """Return the content of each file."""
    return {
        PACKAGE / "inputs" / "autoscaler_kinds.pyi": _autoscalers(),
        PACKAGE / "deployment" / "options.pyi": _options(),
    }


def _autoscalers() -> str:
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


def _options() -> str:
    """Return the types of keywords: `None` stands for a keyword that is not given."""
    fields = {name: text.removesuffix(" | None") for name, text in Deployment.__annotations__.items()}
    fields = {name: text.replace("int", "SupportsIndex") for name, text in fields.items() if name in OPTIONS}
    sizes = dict.fromkeys(SIZES, "SupportsIndex")
    head = (
        "# Written by tools/settings_stub.py from the fields of Deployment.\n"
        "from collections.abc import Iterable\nfrom typing import SupportsIndex, TypedDict\n\n"
        "from ..hardware.hosts import HostLike\nfrom ..inputs.layout import LayoutLike\n"
        "from ..inputs.serving import ServingLike\nfrom ..inputs.startup import StartupLike\n"
        "from ..inputs.transfer import TransferLike\nfrom .deployment import HardwareLike\n"
        "from .prices import PriceLike\n\nSIZES: tuple[str, ...]\n\n"
    )
    return head + "\n".join(
        [
            _typed("DeploymentOptions(TypedDict, total=False)", fields, "{} | None"),
            _typed("SizedOptions(DeploymentOptions, total=False)", sizes, "{} | None"),
            _typed("DeploymentAxes(TypedDict, total=False)", {**fields, **sizes}, "{0} | Iterable[{0}] | None"),
        ]
    )


def _typed(head: str, types: dict[str, str], form: str) -> str:
    return "\n".join([f"class {head}:", *(f"    {name}: {form.format(text)}" for name, text in types.items()), ""])


if __name__ == "__main__":
    for path, content in stubs().items():
        path.write_text(content, encoding="utf-8")
