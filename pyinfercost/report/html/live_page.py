"""The live page of monitoring: one self-contained page that asks its server for the last hours and draws them."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from ...results.live_history import Interval
from ..colors import ALARM, FLEET, LIVE, color_variables
from ..derived import headline_of
from ..documents import as_json
from ..live_history import history_document
from .parts import asset, embedded, library, policy_of, rendered, script_of

if TYPE_CHECKING:
    from ...results.live_history import LiveHistory

DATA_ID = "pyinfercost-live-history"
"""Id of the script element with the JSON of a saved page; it is empty in a live one."""

_SCRIPTS = ("numbers", "tip", "chart", "over_time", "live_data", "live_charts", "live_main")
_COLORS = {**{use: FLEET[use] for use in ("busy", "idle", "cold", "requests")}, **LIVE, "late": ALARM}


class HtmlPage(NamedTuple):
    """A page, and the content security policy that its server should send."""

    text: str
    policy: str


@cache
def live_page() -> HtmlPage:
    """Return the page that polls `/api/history.json` of its own server; it has no data itself."""
    return _page("Live cost", "", connects="'self'")


def history_page(history: LiveHistory) -> str:
    """Return the page of the last hours as they are now: one file, which loads nothing."""
    return _page(history.title, embedded(as_json(history_document(history), indent=None)), connects="").text


@cache
def login_page() -> HtmlPage:
    """Return the page that asks for the token."""
    script = asset("login.js")
    policy = policy_of(script, connects="'self'")
    page = rendered("login.html", title="Live page: token", policy=policy, style=_style(), script=script)
    return HtmlPage(page, policy)


def _page(title: str, data: str, *, connects: str) -> HtmlPage:
    script = _script()
    policy = policy_of(script, connects=connects)
    filled = rendered(
        "live.html", title=title, policy=policy, style=_style(), data_id=DATA_ID, data=data, script=script
    )
    return HtmlPage(filled, policy)


@cache
def _style() -> str:
    return color_variables(_COLORS) + asset("base.css") + asset("chart.css") + asset("fleet.css") + asset("live.css")


@cache
def _script() -> str:
    leading = f"const PER_TOKENS = {json.dumps(headline_of(Interval).name)};\n"
    return "".join(["(() => {\n", library("uplot"), leading, script_of(_SCRIPTS), "})();\n"])
