"""Firefox by its own WebDriver BiDi: a process, its websocket, and pages with some methods of playwright's."""

from __future__ import annotations

import base64
import itertools
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

_LISTENS = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
_PREFERENCES = {
    # No connection and no page of its own.
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "browser.aboutwelcome.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "app.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "extensions.getAddons.cache.enabled": False,
}
_LIGHT, _DARK = 1, 0  # of layout.css.prefers-color-scheme.content-override
_START_S, _ANSWER_S = 120, 120
KEYS = {
    "Enter": "\ue007", "Tab": "\ue004", "Escape": "\ue00c", "Backspace": "\ue003", "ArrowLeft": "\ue012",
    "ArrowUp": "\ue013", "ArrowRight": "\ue014", "ArrowDown": "\ue015", "Home": "\ue011", "End": "\ue010",
    "Shift": "\ue008", "Control": "\ue009", "Space": " ",
}  # fmt: skip
"""Names of keys -> code points of WebDriver."""


EVENTS = ["log.entryAdded", "network.beforeRequestSent", "browsingContext.userPromptOpened"]
"""What a page tells."""


_TELL_VIOLATIONS = """() => document.addEventListener("securitypolicyviolation", (event) => {
    console.error(`the policy ${event.violatedDirective} forbids ${event.blockedURI}`);
})"""
"""What a policy forbids is in the console, but not among the events."""


class FirefoxError(Exception):
    """Firefox answers with an error, or not at all."""


class Firefox:
    """A process of Firefox without a window.

    Args:
        path: The program.
        profile: An empty folder.
        dark: Whether pages are asked for dark colors.
    """

    def __init__(self, path: str, profile: Path, *, dark: bool) -> None:
        from websockets.sync.client import connect

        scheme = {"layout.css.prefers-color-scheme.content-override": _DARK if dark else _LIGHT}
        lines = [
            f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in (_PREFERENCES | scheme).items()
        ]
        (profile / "user.js").write_text("\n".join(lines), encoding="utf-8")
        log = profile / "stderr"
        with log.open("wb") as file:
            command = [path, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0"]
            self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file)
        self._numbers = itertools.count(1)
        self._listeners: list[Callable[[str, dict[str, Any]], None]] = []
        with ExitStack() as started:
            started.callback(self._end)
            # Without pings: their thread draws from the random numbers of tests that run beside an open browser.
            address = f"{self._address(log)}/session"
            socket = connect(address, max_size=None, open_timeout=_START_S, ping_interval=None)
            self._socket = started.enter_context(socket)
            self.ask("session.new", {"capabilities": {}})
            self.ask("session.subscribe", {"events": EVENTS})
            self._started = started.pop_all()

    def _address(self, log: Path) -> str:
        end = time.monotonic() + _START_S
        while time.monotonic() < end and self._process.poll() is None:
            if found := _LISTENS.search(log.read_text(encoding="utf-8", errors="replace")):
                return found[1]
            time.sleep(0.05)
        raise FirefoxError(f"Firefox does not listen: {log.read_text(encoding='utf-8', errors='replace')[-500:]}")

    def ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the result of a command; events that come before it go to the listeners.

        Raises:
            FirefoxError: It is an error.
        """
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            try:
                message = json.loads(self._socket.recv(timeout=_ANSWER_S))
            except TimeoutError as late:
                raise FirefoxError(f"{method} has no answer after {_ANSWER_S} s") from late
            if message.get("type") == "event":
                for listener in self._listeners:
                    listener(message["method"], message["params"])
            elif message.get("id") == number:
                if message["type"] == "error":
                    raise FirefoxError(f"{method}: {message['message']}")
                result: dict[str, Any] = message["result"]
                return result

    @contextmanager
    def listening(self, listener: Callable[[str, dict[str, Any]], None]) -> Iterator[None]:
        """Call a function with each event within the context."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def page(self) -> FirefoxPage:
        """Open a tab."""
        context: str = self.ask("browsingContext.create", {"type": "tab"})["context"]
        self.ask("script.addPreloadScript", {"functionDeclaration": _TELL_VIOLATIONS, "contexts": [context]})
        return FirefoxPage(self, context)

    def close(self) -> None:
        """End the process."""
        self._started.close()

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class FirefoxKeyboard:
    """The keyboard of a page."""

    def __init__(self, page: FirefoxPage) -> None:
        self._page = page

    def press(self, keys: str) -> None:
        """Press a key, or one with others held: `Shift+Tab`."""
        *held, last = keys.split("+") if len(keys) > 1 else [keys]
        values = [KEYS.get(key, key) for key in (*held, last)]
        down = [{"type": "keyDown", "value": value} for value in values]
        up = [{"type": "keyUp", "value": value} for value in reversed(values)]
        self._page.perform([{"type": "key", "id": "keys", "actions": [*down, *up]}])


class FirefoxPage:
    """A tab, with methods named as those of playwright.

    Args:
        firefox: The browser.
        context: Id of the tab.
    """

    def __init__(self, firefox: Firefox, context: str) -> None:
        self._firefox, self.context = firefox, context
        self.keyboard = FirefoxKeyboard(self)

    def goto(self, address: str) -> None:
        """Open an address and wait until it is loaded."""
        params = {"context": self.context, "url": address, "wait": "complete"}
        self._firefox.ask("browsingContext.navigate", params)

    def evaluate(self, script: str, argument: Any = None) -> Any:
        """Return the value of an expression, or the result of a function of one argument; promises are awaited.

        Raises:
            FirefoxError: The script throws.
        """
        code = f"""(async () => {{
            const value = ({script});
            const result = typeof value === "function" ? await value({json.dumps(argument)}) : await value;
            return JSON.stringify(result) ?? "null";
        }})()"""
        params = {"expression": code, "target": {"context": self.context}, "awaitPromise": True}
        found = self._firefox.ask("script.evaluate", params)
        if found["type"] == "exception":
            raise FirefoxError(f"a script throws {found['exceptionDetails']['text']}")
        return json.loads(found["result"]["value"])

    def set_viewport_size(self, size: Mapping[str, int]) -> None:
        """Set `width` and `height`."""
        self._firefox.ask("browsingContext.setViewport", {"context": self.context, "viewport": dict(size)})

    def screenshot(self, *, path: Path) -> None:
        """Write a PNG of what is seen."""
        found = self._firefox.ask("browsingContext.captureScreenshot", {"context": self.context})
        path.write_bytes(base64.b64decode(found["data"]))

    def perform(self, actions: list[dict[str, Any]]) -> None:
        """Perform actions of WebDriver."""
        self._firefox.ask("input.performActions", {"context": self.context, "actions": actions})

    def close(self) -> None:
        """Close the tab."""
        self._firefox.ask("browsingContext.close", {"context": self.context})


class Firefoxes:
    """Processes for light and for dark pages, which start when they are used.

    Args:
        path: The program.
        folder: Folder of their profiles.
    """

    def __init__(self, path: str, folder: Path) -> None:
        self._path, self._folder = path, folder
        self._started: dict[bool, Firefox] = {}

    def of(self, *, dark: bool) -> Firefox:
        """Return the process for pages in light or dark colors."""
        if dark not in self._started:
            profile = self._folder / ("dark" if dark else "light")
            profile.mkdir()
            self._started[dark] = Firefox(self._path, profile, dark=dark)
        return self._started[dark]

    def close(self) -> None:
        """End all."""
        for firefox in self._started.values():
            firefox.close()


def told_by(event: str, params: Mapping[str, Any], context: str) -> str | None:
    """Return an event of a tab as the text of what the page told or asked for; None for those of others."""
    source = params.get("source", params)
    if source.get("context") != context:
        return None
    if event == "network.beforeRequestSent":
        return f"request: {params['request']['url'][:200]}"
    if event == "browsingContext.userPromptOpened":
        return f"dialog: {params['message']}"
    if params["type"] == "console":
        return f"console {params['method']}: {params['text']}"
    return f"error: {params['text']}"
