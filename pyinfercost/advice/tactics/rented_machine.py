"""Another machine for rent: a cheaper one, or a faster one of which fewer are needed; CPUs where they can serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...deployment import Deployment
from ...deployment.prices import offers
from ...errors import InputError
from ...fleets.replicas import ENGINES
from ...formats.table import FORMATS
from ...hardware import load
from ...hardware.dtypes import CORE_DTYPES
from ..facts import weight_dtype
from ..fleet_outcomes import FleetEvaluator
from ..serving_outcomes import ServedEvaluator
from ..tactic import Option, Options, Refusal
from ..traffic_case import OF_FUNCTION
from ..traffic_tactic import TrafficTactic
from .engine import TITLES, why_not_on

if TYPE_CHECKING:
    from ..._core import Hardware
    from ..case import Case
    from ..setups import Setup

_GROWTH = (1, 2, 4, 8)
_FREE = 0.85  # share of the memory that weights may take, so that caches and activations fit, too
_THREADS = (4, 16)  # of parts of a CPU that are rented
_OLD_MONTHS = 12


class RentedMachine(TrafficTactic):
    """Machines of the catalog of prices."""

    name = "rented_machine"
    screened = True
    title = "another machine"
    group = "machine"
    effort = "setting"
    buys = True

    def offered(self, setup: Setup, case: Case) -> Options:
        """Offer the machines of the case that can run the engine and hold the weights."""
        if setup.terms.get("serverless"):
            return Options((), [Refusal(text="machines", why=OF_FUNCTION)])
        on = setup.on
        price = case.terms
        found, refused = [], []
        for name in case.machines:
            if name == on.machine.id:
                continue
            try:
                machine = load(name)
            except InputError as error:  # data that a prediction needs is missing
                refused.append(Refusal(text=name, why=str(error)))
                continue
            why = _cannot(machine, setup, case)
            if why:
                refused.append(Refusal(text=name, why=why))
                continue
            for change in _changes(machine, setup, case, price):
                try:
                    rented = setup.on.replace(**change).device_price
                except InputError as error:
                    refused.append(Refusal(text=name, why=str(error)))
                    continue
                apply = "" if rented is None else f"rent {rented.text}"
                found.append(Option(text=_words(name, change), change=change, note=_note(name, price), apply=apply))
        return Options(found, refused)


def _cannot(machine: Hardware, setup: Setup, case: Case) -> str:
    """Return why a machine cannot run the engine and the dtypes of a setup; empty if it can."""
    engine = setup.on.engine
    if engine in TITLES and (why := why_not_on(engine, Deployment(hardware=machine, precision=setup.on.precision))):
        return why
    if engine in ENGINES:
        precision = setup.on.precision
        dtype = CORE_DTYPES.get(weight_dtype(case.graph) if precision == "native" else precision, "")
        form = FORMATS.get(setup.variant.quantize)
        needed = [dtype, form.dtype if form is not None and form.activation is not None else ""]
        for each in needed:
            if each not in ("", "float32") and each not in machine.matrix_flop_per_s:
                return f"it has no matrix unit for {each}"
    if machine.kind == "systolic":
        return "the model has to be compiled for it by its vendor's compiler"
    return ""


def _changes(machine: Hardware, setup: Setup, case: Case, price: str) -> list[dict[str, Any]]:
    """Return the changes that put a setup on a machine: a GPU with a layout that fits the weights, parts of a CPU."""
    change: dict[str, Any] = {"hardware": machine.id, "price": price}
    if machine.kind == "cpu":
        # A serving engine takes a whole machine; models without one may take some cores of it.
        parts = [threads for threads in _THREADS if _has_part(machine.id, threads) and setup.on.engine not in ENGINES]
        compiled = {"execution": "compiled"} if setup.on.engine not in ENGINES else {}
        layout = {"layout": None, "devices": 1}
        return [{**change, **compiled, **layout, "threads": threads} for threads in (*parts, None)]
    weights = _weight_bytes(setup, case)
    own = setup.on.rank_layout.devices // setup.on.rank_layout.data
    if not weights or setup.on.engine not in ENGINES:
        return [change]
    least = next((n for n in _GROWTH if weights / n <= _FREE * machine.memory_bytes), None)
    if least is None or least == own:
        return [change]
    return [{**change, "layout": f"tensor={least}", "devices": 1}]


def _weight_bytes(setup: Setup, case: Case) -> float:
    """Return the bytes of all weights; 0 if they are unknown."""
    evaluator = case.evaluator
    return evaluator.weight_bytes(setup) if isinstance(evaluator, (FleetEvaluator, ServedEvaluator)) else 0.0


def _has_part(device: str, threads: int) -> bool:
    """Return whether an instance has a part of a CPU with enough threads."""
    return any(each.devices < 1 and each.vcpus is not None and each.vcpus >= threads for each in offers(device=device))


def _words(name: str, change: dict[str, Any]) -> str:
    layout = None if change.get("layout") == "tensor=1" else change.get("layout")
    threads = change.get("threads")
    return name + (f", {layout}" if layout else "") + (f", {threads} threads" if threads else "")


def _note(device: str, price: str) -> str:
    """Return the age of a price that is old."""
    known = [each for each in offers(device=device) if price in each.usd_per_h]
    oldest = min((each.age_months() for each in known), default=0)
    return f"the price is {oldest} months old" if oldest > _OLD_MONTHS else ""
