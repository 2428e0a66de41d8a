"""Write the signatures of what settings declare, for type checkers and pages: `nox -s stubs`."""

from __future__ import annotations

import textwrap
from pathlib import Path

from pyinfercost.deployment.fields import OPTIONS, DeploymentFields
from pyinfercost.deployment.options import SIZES
from pyinfercost.fleets.fleet_run import FleetRun
from pyinfercost.fleets.options import FleetOptions
from pyinfercost.inputs.autoscalers import KINDS
from pyinfercost.serving.scheduler import Scheduler

PACKAGE = Path(__file__).parents[1] / "pyinfercost"
_WIDTH = 120


def stubs() -> dict[Path, str]:
    """Return the content of each file."""
    return {
        PACKAGE / "inputs" / "autoscaler_kinds.pyi": _autoscalers(),
        PACKAGE / "deployment" / "options.pyi": _options(),
        PACKAGE / "fleets" / "options.pyi": _fleet_options(),
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
    fields = {name: text.removesuffix(" | None") for name, text in DeploymentFields.__annotations__.items()}
    fields = {name: text.replace("int", "SupportsIndex") for name, text in fields.items() if name in OPTIONS}
    sizes = dict.fromkeys(SIZES, "SupportsIndex")
    head = (
        "# Written by tools/settings_stub.py from DeploymentFields.\n"
        "from collections.abc import Iterable\nfrom typing import SupportsIndex, TypedDict\n\n"
        "from ..hardware.hosts import HostLike\nfrom ..inputs.engine_settings import EngineSettingsLike\n"
        "from ..inputs.layout import LayoutLike\nfrom ..inputs.startup import StartupLike\n"
        "from ..inputs.transfer import TransferLike\nfrom .fields import HardwareLike\n"
        "from .prices import PriceLike\n\nSIZES: tuple[str, ...]\n\n"
    )
    return head + "\n".join(
        [
            _typed("DeploymentOptions(TypedDict, total=False)", fields, "{} | None"),
            _typed("SizedOptions(DeploymentOptions, total=False)", sizes, "{} | None"),
            _typed("DeploymentAxes(TypedDict, total=False)", {**fields, **sizes}, "{0} | Iterable[{0}] | None"),
        ]
    )


def _fleet_options() -> str:
    types = {name: _given(text) for name, text in FleetRun.__annotations__.items()}
    types |= {name: f"{text.removesuffix(' | None')} | None" for name, text in Scheduler.__annotations__.items()}
    fields = {name: types[name].replace("int", "SupportsIndex") for name in FleetOptions.__annotations__}
    head = (
        "# Written by tools/settings_stub.py from the fields of FleetRun and Scheduler.\n"
        "from typing import SupportsIndex, TypedDict\n\n"
        "from ..serving.lengths import LengthsLike\nfrom ..serving.objectives import SLOLike\n"
        "from .terms import TermsLike\n\n"
    )
    return head + _typed("FleetOptions(TypedDict, total=False)", fields, "{}")


def _given(declared: str) -> str:
    """Return the type of an argument, of what a class body declares."""
    return declared.removeprefix("Parsed[").partition(", ")[0] if declared.startswith("Parsed[") else declared


def _typed(head: str, types: dict[str, str], form: str) -> str:
    return "\n".join([f"class {head}:", *(f"    {name}: {form.format(text)}" for name, text in types.items()), ""])


if __name__ == "__main__":
    for path, content in stubs().items():
        path.write_text(content, encoding="utf-8")
