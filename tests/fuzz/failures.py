"""Files of failing inputs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from .values import Value, from_json, to_json

FOLDER = Path(__file__).parent / "failures"


class Failure(NamedTuple):
    """A failing input, with how it failed.

    Attributes:
        door: The door.
        seed: Seed of the run.
        number: Number of the input of the door.
        kind: As in `Outcome`.
        what: As in `Outcome`.
        text: As in `Outcome`.
        value: The input, shrunk.
    """

    door: str
    seed: int
    number: int
    kind: str
    what: str
    text: str
    value: Value


def write(folder: Path, failure: Failure) -> Path:
    """Write a failing input and return the file, whose name follows from the fault."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(f"{failure.kind} {failure.what}".encode(errors="surrogatepass")).hexdigest()[:10]
    path = folder / f"{failure.door}-{failure.kind}-{digest}.json"
    path.write_text(to_json(failure._asdict()), encoding="ascii")
    return path


def read(path: Path) -> Failure:
    """Return the failing input of a file."""
    return Failure(**from_json(path.read_text(encoding="ascii")))
