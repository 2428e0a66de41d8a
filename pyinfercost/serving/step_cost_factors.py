"""Factors of a server's step costs, as a measurement of it said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from .._checks import Range, number, read_json, shown
from ..errors import InputError

if TYPE_CHECKING:
    from .step_tables import StepCosts, Table

_FACTOR = Range(1e-3, 1e3)
_SECONDS = Range(0.0, 1e3, "s", zero=True)


class CalibrationError(InputError):
    """Measurements of a server that are missing, out of range, or not reached by any correction."""


@dataclass(frozen=True, kw_only=True)
class StepCostFactors:
    """Factors of a server's step costs, which apply to its other loads, and approximately to its other layouts.

    Attributes:
        decode: Times of the device in steps that decode alone, and of attention of sequences that decode.
        prefill: Times of the device in steps that read prompts.
        host: Times of the host.
        client_s: Seconds from a client to the queue of the engine and back, in the time to the first token.
    """

    decode: float = 1.0
    prefill: float = 1.0
    host: float = 1.0
    client_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("decode", "prefill", "host"):
            self.__dict__[name] = number(getattr(self, name), name, _FACTOR, CalibrationError)
        self.__dict__["client_s"] = number(self.client_s, "client_s", _SECONDS, CalibrationError)

    def of(self, costs: StepCosts) -> StepCosts:
        """Return corrected step costs, for `serve`, `closed_form` and `Servers`."""

        def scaled(table: Table, factor: float) -> Table:
            return replace(table, seconds=table.seconds * factor)

        return replace(
            costs,
            tokens=scaled(costs.tokens, self.prefill),
            prefill=scaled(costs.prefill, self.prefill),
            recorded=scaled(costs.recorded, self.decode),
            outputs=scaled(costs.outputs, self.decode),
            decode=scaled(costs.decode, self.decode),
            drafts=None if costs.drafts is None else scaled(costs.drafts, self.decode),
            host_step_s=costs.host_step_s * self.host,
            host_sequence_s=costs.host_sequence_s * self.host,
            host_prefill_s=costs.host_prefill_s * self.host,
            client_s=costs.client_s + self.client_s,
        )

    def to_dict(self) -> dict[str, float]:
        """Return the correction as JSON values, which `from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> StepCostFactors:
        """Return the correction that `to_dict` described; missing keys take their defaults.

        Raises:
            CalibrationError: The document has other keys, or a value is out of range.
        """
        names = [field.name for field in fields(cls)]
        given: object = document
        if not isinstance(given, Mapping) or not set(given) <= set(names):
            raise CalibrationError(f"the correction is {shown(document)}; expected an object with {', '.join(names)}")
        return cls(**document)

    @classmethod
    def read(cls, path: str | PathLike[str]) -> StepCostFactors:
        """Return the correction of a JSON file.

        Raises:
            CalibrationError: The file is no JSON, or no correction.
            MissingFileError: There is no such file.
            FileAccessError: It cannot be read.
        """
        return cls.from_dict(read_json(path, CalibrationError))
