"""Engines: how each runs its kernels, and whether it forms steps of requests."""

from __future__ import annotations

from .. import _core
from .._checks import shown
from ..errors import InputError

TORCH = "torch"
"""The engine that runs a graph as it was captured."""


class DeploymentError(InputError):
    """Fields of a deployment that are out of range or contradict each other."""


def execution_of(engine: str, execution: str) -> str:
    """Return how an engine runs its kernels.

    Args:
        engine: The engine.
        execution: As asked for; empty for the engine's default.

    Raises:
        DeploymentError: The engine has no such execution.
    """
    known = executions_of(engine)
    if execution not in ("", *known):
        raise DeploymentError(
            f"execution is {shown(execution)}, and the kernels of engine {engine} are fused already; expected "
            f"{' or '.join(known)}, or none for the recorded graphs that the engine makes itself"
        )
    return execution or known[0]


def executions_of(engine: str) -> tuple[str, ...]:
    """Return the executions of an engine, its default first."""
    return tuple(_core.executions()) if engine == TORCH else ("cuda_graph", "eager")


def forms_steps(engine: str) -> bool:
    """Return whether an engine forms steps of the requests that it serves, with kernels of attention of its own."""
    return engine != TORCH and engine not in _core.compilers()
