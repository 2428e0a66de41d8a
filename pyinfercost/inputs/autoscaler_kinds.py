"""The autoscalers: a class for each kind of the core. `nox -s stubs` writes their signatures."""

from .autoscalers import KINDS

globals().update({kind.__name__: kind for kind in KINDS.values()})
