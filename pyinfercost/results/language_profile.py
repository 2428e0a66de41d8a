"""Language profiles: both phases of a model that reads prompts and generates, at one point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..report.render import render
from .declared import declared, fact
from .figures import WithFigures
from .result import Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core import Quantity
    from .kv_cache import KVCache
    from .memory_use import MemoryUse
    from .profile import Profile


@declared
class LanguageProfile(WithFigures, Result):
    """The cost of a language model that reads a batch of prompts and then generates, on an idle server.

    Figures are also attributes: `result.ttft_s`, `result.tpot_s`, `result.tokens_per_s`. Those that need a machine, a
    price or its power are None without one. `print(result)` shows both phases in one table; the profile of a phase has
    its module tree.
    """

    model: str = fact("Name of the model.")
    precision: str = fact("Dtype of the run.")
    sizes: Mapping[str, int] = fact(
        "`batch`, `prompt` (tokens of each prompt) and `context` (tokens in the cache before the decode step)."
    )
    figures: Mapping[str, float | Quantity | None] = fact("Figures by key, in the order of reports.")
    kv_cache: KVCache | None = fact("Keys, values and states after the decode step; None for a model without them.")
    memory: MemoryUse | None = fact(
        "Memory of the decode step on one device, and the sequences of this context that fit with a prefill; None "
        "without hardware."
    )
    prefill: Profile = fact("Profile of the forward that reads the prompts, with logits for their last tokens.")
    decode: Profile = fact("Profile of the forward that generates one token of each sequence.")
    engine_command: str = fact(
        "Command line of the serving engine that starts this deployment; empty without one.", default=""
    )

    def __repr__(self) -> str:
        return f"<LanguageProfile {render(self, 'line')}>"

    def to_text(self, *, depth: int | None = None, width: int = 100) -> str:
        """Return the tables as plain text.

        Args:
            depth: Modules below this depth are collapsed in the table of modules; None picks a moderate depth.
            width: Width of a line in characters.

        Returns:
            The text.
        """
        text: str = render(self, "text", depth=depth, width=width)
        return text

    def to_html(self, *, hint: str = "", command: str = "") -> str:
        """Return a report as one HTML page, like `Profile.to_html`, with both phases.

        It begins with the decode step, whose JSON it includes, and has the figures of both phases as a table. With a
        machine it estimates both on any machine, in any precision, execution and open size.

        Args:
            hint: What would shorten the decode step most, for the first sentence.
            command: Command that made the profile, which the page states; empty states the call in Python.

        Returns:
            The HTML text.
        """
        page: str = render(self, "html", hint=hint, command=command)
        return page

    def to_markdown(self, *, depth: int | None = None) -> str:
        """Return the tables as Markdown.

        Args:
            depth: As in `to_text`.

        Returns:
            The Markdown text.
        """
        text: str = render(self, "markdown", depth=depth)
        return text
