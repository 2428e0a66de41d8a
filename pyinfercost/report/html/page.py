"""HTML report of a profile: a single file with its own style, script and data, which loads no other resource."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from ...hardware.dtypes import CORE_DTYPES, short_dtype
from ...predict.exploration import exploration_of
from ...results import figures
from ...results.folded_layers import folded_layers
from ...results.units import quantity
from ..colors import BOUND
from ..documents import profile_document
from ..language import phases_layout
from ..layout import Note
from ..summary import heading, ledger, totals
from .about import call_of, terms_document, written_by
from .live_packs import LIVE_POLICY, fixed_words, packs_of
from .packed_texts import packed
from .parts import asset, embedded, library, policy_of, rendered, script_of
from .snippet import snippet_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...results.exploration import Exploration
    from ...results.language_profile import LanguageProfile
    from ...results.profile import Profile

PROFILE_ID = "pyinfercost-profile"
"""Id of the script element with the profile's JSON; the profile is read back from it."""

_OF_FILES = (".json", ".gguf", ".onnx", ".pt2", ".safetensors")

_CARDS = [
    {
        "key": figure.key,
        "title": figure.title[0].upper() + figure.title[1:],
        "unit": figure.unit,
        "items": figure.items,
        "per": figure.per,
        "words": figure.words,
        "group": figure.card,
        "replaces": figure.replaces,
        "machine": figures.HARDWARE in figure.needs,
        "always": figure.needs <= {figures.HARDWARE, figures.POWER},
    }
    for figure in sorted(figures.of_scope(figures.CARD), key=lambda figure: figures.HARDWARE not in figure.needs)
]
"""Figures of the catalog that the page's script shows as cards, with figures of a machine first."""

_SCRIPTS = (
    "numbers",
    "tip",
    "terms",
    "core",
    "link",
    "data",
    "setup",
    "point",
    "sentence",
    "headline",
    "chart",
    "controls",
    "curves",
    "catalog",
    "alternatives",
    "serving",
    "roofline",
    "memory",
    "layout",
    "folding",
    "tree",
    "details",
)
_OF_START = ("drop",)
"""Scripts of a page that asks for the file of a model; they stand before `main`."""


_NO_OWN_MACHINES = """const ownMachineChooser = () => ({ sync() {}, parts: null });
const watchMachineDrops = () => {};
"""
"""What takes the place of `own_machine.js` in pages that take no device files."""


def profile_page(profile: Profile, *, hint: str = "", command: str = "") -> str:
    """Return the report of a profile, which estimates other points by itself.

    Args:
        profile: The profile.
        hint: What would shorten the forward most, in words; empty shows what reduces its main effect.
        command: Command line or call that made the profile; empty states the call in Python.

    Returns:
        The HTML text. Without a machine it only shows counts.
    """
    live = None if profile.estimate is None else exploration_of({"forward": profile})
    return _page(profile, live, hint=hint, command=command)


def language_page(result: LanguageProfile, *, hint: str = "", command: str = "") -> str:
    """Return the report of both phases of a language model, which estimates other points by itself.

    Args:
        result: The profile of both phases.
        hint: What would shorten the decode step most, in words.
        command: As in `profile_page`.

    Returns:
        The HTML text. It has the JSON of the decode step.
    """
    phases = {"prefill": result.prefill, "decode": result.decode}
    live = None if result.decode.estimate is None else exploration_of(phases)
    origin = written_by(command or call_of(result.decode, model=result.model, sizes=result.sizes))
    both = snippet_of([Note(_sentence(result), ""), *phases_layout(result)])
    document = {**profile_document(result.decode), "model": result.model}
    return report_html(document, live, text=result.to_text(), hint=hint, origin=origin, both=both)


def _sentence(result: LanguageProfile) -> str:
    """Return what users of a server see of both phases."""
    estimate = result.decode.estimate
    if estimate is None:
        flops = [quantity(phase.counts.total.flops, "FLOP") for phase in (result.prefill, result.decode)]
        return f"{flops[0]} to read the prompts, and {flops[1]} for a token of each sequence."
    first, each = (quantity(result.figures[key] or 0.0, "s") for key in ("ttft_s", "tpot_s"))
    where = f"{estimate.devices} x {estimate.machine.name}" if estimate.devices > 1 else estimate.machine.name
    return f"{first} to the first token, then {each} per token, on {where}."


def exploration_page(exploration: Exploration, *, hint: str = "") -> str:
    """Return the page of an exploration.

    Args:
        exploration: The exploration.
        hint: As in `profile_page`.

    Returns:
        The HTML text.
    """
    if exploration.profile is None:
        return report_html(None, exploration, origin=written_by(exploration.command), explores=True)
    return _page(exploration.profile, exploration, hint=hint, command=exploration.command, explores=True)


def _page(profile: Profile, live: Exploration | None, *, hint: str, command: str, explores: bool = False) -> str:
    origin = written_by(command or call_of(profile))
    text = _as_lines(profile)
    return report_html(profile_document(profile), live, text=text, hint=hint, origin=origin, explores=explores)


def report_html(
    document: Mapping[str, Any] | None,
    live: Exploration | None = None,
    *,
    text: str = "",
    hint: str = "",
    origin: str = "",
    both: str = "",
    explores: bool = False,
) -> str:
    """Return the report of a profile's JSON document.

    Args:
        document: JSON object of a profile; None for a page that asks for the file of a model.
        live: What other points are estimated from; None for a page of the one point.
        text: Figures as plain text, for browsers without scripts.
        hint: What would shorten the forward most, in words.
        origin: When and by what the page is written.
        both: Figures of both phases of a language model, as HTML.
        explores: Whether the page also takes device files of its reader; reports are smaller without.

    Returns:
        The HTML text. Content from the model is escaped, and the page's content security policy allows its own script
        only and no network access.
    """
    title = "any model" if document is None else title_of(document["model"] if live is None else live.model)
    script = _script(start=document is None, explores=explores)
    policy = policy_of(script, runs="" if live is None or live.fixed else LIVE_POLICY)
    return rendered(
        "report.html",
        title=title,
        is_empty=document is None,
        policy=policy,
        style=_colors() + asset("base.css") + asset("chart.css") + asset("style.css"),
        script=script,
        text=text,
        origin=origin,
        both=both,
        profile=packed(_compact(None if document is None else _folded(document))),
        figures=embedded(
            _compact(
                {
                    "title": title,
                    "cards": _CARDS,
                    "groups": list(figures.GROUPS),
                    "hint": hint,
                    "fixed": fixed_words(live),
                    **terms_document(),
                }
            )
        ),
        packs=packs_of(live, explores=explores),
    )


def title_of(model: str) -> str:
    """Return the name of a model without folders: of a spec or a file with a path, the last part and the phase."""
    name, mark, phase = model.partition("#")
    scheme, _, place = name.partition(":")
    is_path = scheme.isidentifier() and "/" in place.partition("/")[2]  # an id of a hub has one
    if not is_path and not name.endswith(_OF_FILES):
        return model or "(unnamed graph)"
    parts = name.rsplit("/", 2)
    return f"{'/'.join(parts[-2:]) if parts[-1] == 'config.json' else parts[-1]}{mark}{phase}"


def _folded(document: Mapping[str, Any]) -> dict[str, Any]:
    return {**document, "layers": folded_layers(document["layers"])}


def _as_lines(profile: Profile) -> str:
    """Return the figures of the whole model as lines of text."""
    lines = [*heading(profile), *totals(profile), ("ledger", ledger(profile.counts))]
    return "\n".join(f"{name:14}{text}" for name, text in lines)


def _compact(document: Any) -> str:
    return json.dumps(document, separators=(",", ":"), allow_nan=False)


def _colors() -> str:
    """Return the colors of bounds as CSS variables; they suit light and dark pages."""
    return ":root { " + " ".join(f"--{name}: {color};" for name, color in BOUND.items()) + " }\n"


@cache
def _script(*, start: bool, explores: bool) -> str:
    names = json.dumps({name: short_dtype(name) for name in CORE_DTYPES.values()})
    parts = [
        library("uplot"),
        f"const SHORT_DTYPES = {names};\n",
        script_of([*_SCRIPTS, *(_OF_START if start else ())]),
    ]
    parts += [library("toml"), script_of(["own_machine"])] if explores else [_NO_OWN_MACHINES]
    return "".join(["(async () => {\n", *parts, script_of(["main"]), "})();\n"])
