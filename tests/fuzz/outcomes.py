"""What one input led to."""

from __future__ import annotations

import re
import time
import traceback
from pathlib import Path
from typing import NamedTuple

from pyinfercost import _core

from .door import LONGEST_MESSAGE, BrokenRuleError, Door, hidden, is_bad
from .values import Value

OK, REFUSED = "accepted", "refused"
EXCEPTION, RULE, FIGURE = "exception", "rule", "figure"
MEMORY, SIGNAL, HANG = "memory", "signal", "hang"
DRAW = "draw"

REFUSALS: tuple[type[BaseException], ...] = (_core.Error,)
"""Exceptions that refuse an input."""

_HERE = str(Path(__file__).parent)
_PACKAGE = re.compile(r"pyinfercost[/\\]((?!_core)[\w/\\]+\.py)")


class Outcome(NamedTuple):
    """What one input led to.

    Attributes:
        kind: `accepted`, `refused`, or how it failed: `exception` (not the package's), `rule` (of the door's
            own), `figure` (negative, NaN or infinite), `memory`, `signal` (the process ended) or `hang`.
            `draw` is a fault of the fuzzer: the door could not draw the input.
        what: The failure in a line without values of the input. Failures of equal kind and `what` count as one fault.
        text: All that is known of a failure: a traceback, or what the process wrote before it ended.
        seconds: CPU time.
    """

    kind: str
    what: str = ""
    text: str = ""
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether it is a fault of the package."""
        return self.kind not in (OK, REFUSED)

    @property
    def fault(self) -> tuple[str, str]:
        """What failures of one fault have in common."""
        return self.kind, self.what


def outcome_of(door: Door, value: Value, limit_s: float) -> Outcome:
    """Give an input to a door in this process and return what it led to.

    Args:
        door: The door.
        value: The input.
        limit_s: CPU seconds that it may take.
    """
    begin = time.process_time()
    outcome = _tried(door, value)
    seconds = time.process_time() - begin
    if seconds > limit_s and not outcome.failed:
        outcome = Outcome(HANG, f"{door.label(value)} ended late".strip(), f"{outcome.kind} after {seconds:.1f} s")
    return outcome._replace(seconds=seconds)


def _tried(door: Door, value: Value) -> Outcome:
    try:
        bad = [(name, figure) for name, figure in door.run(value) or () if is_bad(figure)]
    except (*REFUSALS, *door.refusals) as error:
        return _refused(error)
    except BrokenRuleError as error:
        return Outcome(RULE, f"{door.label(value)} {error.rule}".strip(), _ascii(str(error))[:1000])
    except MemoryError as error:
        return Outcome(MEMORY, f"MemoryError in {_place(error)}", _trace(error))
    except Exception as error:
        return Outcome(EXCEPTION, f"{type(error).__name__} in {_place(error)}", _trace(error))
    if bad:
        return Outcome(FIGURE, f"{door.label(value)} {bad[0][0]}".strip(), ", ".join(f"{n} is {v}" for n, v in bad[:5]))
    return Outcome(OK)


def _refused(error: BaseException) -> Outcome:
    """Return the outcome of a refusal, whose message people read in a terminal."""
    message = str(error)
    if found := hidden(message):
        return Outcome(RULE, f"a message has control characters, in {_place(error)}", ascii(found) + _trace(error))
    if len(message) > LONGEST_MESSAGE:
        return Outcome(RULE, f"a message is long, in {_place(error)}", f"{len(message)} characters\n{_trace(error)}")
    return Outcome(REFUSED)


def _place(error: BaseException) -> str:
    """Return the innermost line of the package that an exception passed."""
    frames = traceback.extract_tb(error.__traceback__)
    found = [f"{match[1]}:{frame.lineno}" for frame in frames if (match := _PACKAGE.search(frame.filename))]
    if not found:  # the core has no lines: its caller and the message tell faults apart
        return f"the core, called in {Path(frames[-1].filename).name}:{frames[-1].lineno}: {_words(str(error))}"
    # Where the stack ends is chance.
    return found[0] if isinstance(error, RecursionError) else found[-1]


def _trace(error: BaseException) -> str:
    """Return the last calls of an exception in the package and what it calls, and the exception in one line."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_HERE)]
    calls = [f"  {frame.filename}:{frame.lineno} in {frame.name}: {frame.line}" for frame in frames[-6:]]
    return "\n".join([*calls, f"{type(error).__name__}: {_ascii(str(error))[:500]}"])


def _words(text: str) -> str:
    """Return the beginning of a message, up to the first value in it."""
    return re.split(r"[^A-Za-z_ ():.,;+-]", text, maxsplit=1)[0][:80].strip()


def _ascii(text: str) -> str:
    return text.encode("ascii", errors="backslashreplace").decode("ascii")


def outcome_of_end(door: Door, value: Value, kind: str, how: str, log: str) -> Outcome:
    """Return the outcome of an input whose process ended.

    Args:
        door: The door.
        value: The input.
        kind: `signal`, `memory` or `hang`.
        how: How it ended, in words.
        log: What the process wrote to stderr.
    """
    summary = re.search(r"^SUMMARY: (\w+: .+)$", log, re.MULTILINE) or re.search(
        r"^(\S+ runtime error: .+)$", log, re.M
    )
    if summary:
        where = re.sub(r"\(BuildId.*|0x[0-9a-f]+|\b\d{5,}\b", "", summary[1])
    else:
        # The innermost line of the package; for what was ended from outside, where the stack ends is chance.
        stack = log[max(0, log.rfind("Current thread")) :]
        files = re.findall(r'File "(.+?)", line (\d+)', stack)
        frames = [f"{match[1]}:{line}" for name, line in files if (match := _PACKAGE.search(name))]
        frame = frames[0 if kind == SIGNAL else -1] if frames else ""
        where = " ".join(filter(None, (door.label(value), frame)))
    return Outcome(kind, f"{how} in {where or 'the core'}", log[-6000:])
