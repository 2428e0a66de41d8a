"""Speculative decoding: a small head drafts tokens that one step of the model verifies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...deployment.engine_flags import flag_of
from ...inputs.engine_settings import EngineSettings
from ..tactic import Option, Options, Refusal
from ..traffic_case import is_of_traffic
from ..traffic_tactic import TrafficTactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_DRAFTS = (0, 1, 2, 3, 5, 7)
_ENGINES = ("vllm", "sglang", "trtllm")


class Speculation(TrafficTactic):
    """Drafts by a head of one layer, as of EAGLE or MTP."""

    name = "speculation"
    screened = True
    title = "speculative decoding"
    group = "speculation"
    effort = "build"
    published = "speculation"

    def offered(self, setup: Setup, case: Case) -> Options:
        """Offer other numbers of drafts. Their acceptance is the setup's, the given one, or assumed."""
        on = setup.on
        if on.engine not in _ENGINES:
            return Options((), [Refusal(text="drafts", why=f"engine {on.engine} decodes no tokens")])
        own = on.settings
        given = case.acceptance if is_of_traffic(case) else None
        known = own.draft_tokens > 0 or given is not None
        acceptance = own.acceptance if own.draft_tokens or given is None else given
        note = (
            ""
            if known
            else f"{EngineSettings.acceptance:g} of the drafts are assumed to be accepted: "
            "measure it, and pass acceptance"
        )
        found = []
        for drafts in _DRAFTS:
            if drafts == own.draft_tokens:
                continue
            accepted = acceptance if drafts else EngineSettings.acceptance
            text = str(own.replace(draft_tokens=drafts, acceptance=accepted))
            found.append(
                Option(
                    text=f"{drafts} drafts a step" if drafts > 1 else "one draft a step" if drafts else "no drafts",
                    change={"serving": text},
                    effort="" if drafts else "setting",
                    apply=flag_of(on.engine, "draft_tokens", str(drafts)),
                    note=note if drafts else "",
                    in_plan=known or not drafts,  # a plan rests on nothing that is assumed
                )
            )
        return Options(found)
