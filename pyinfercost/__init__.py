"""Inference cost of PyTorch models, before anyone pays for it: FLOPs, bytes, memory, latency, energy and money.

`__init__.pyi` lists the public names: functions, their inputs, and the modules of all others, such as `results`. A name
is imported when it is first used, so `import pyinfercost` imports neither torch nor numpy nor rich nor matplotlib.
"""

from ._interrupts import is_command, stop_at_once

if is_command():
    stop_at_once()

from typing import Any

try:
    from . import _core as _core
except ImportError as error:
    raise ImportError(
        f"pyinfercost cannot load its compiled core, pyinfercost._core ({error}). In a source tree, build it with "
        "`pip install -e .` (needs a C++20 compiler; CMake is fetched). If a wheel is installed, leave the root of the "
        "source tree: the folder `pyinfercost` there hides the installed package.",
        name="pyinfercost._core",
    ) from error

from ._lazy import lazy_exports
from .results.sinks import register_sink_opener

__getattr__, __dir__ = lazy_exports(__spec__, needs={"torch": "torch"})


def _open_sink(value: Any) -> Any:
    from .monitor.sinks import open_sink

    return open_sink(value)


# `monitor` defines the sinks, and rooms next to it write records to them: the package connects the two.
register_sink_opener(_open_sink)
