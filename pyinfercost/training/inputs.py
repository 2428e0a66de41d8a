"""Arguments of a forward in the batch of a training framework."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import InputError, InputTypeError
from ..sources.inputs import Inputs, parse_inputs

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_WRAPPERS = {"DataParallel", "DistributedDataParallel", "FullyShardedDataParallel"}
_HELP = "pass inputs=, an example of the model's inputs or a function from a batch to them"


class BatchInputs:
    """Find the arguments of a forward in a batch.

    A tensor is the argument. Of a tuple or list, such as `(x, y)`, the first elements are the arguments: as many as the
    forward requires, and at least one. Of a dictionary, the entries with names of arguments are.

    Args:
        model: Its forward's signature is inspected; None for a forward of one argument, or of any keywords.
        given: The caller's setting: None, a function from a batch to the arguments, or an example of them. Arguments
            are a tensor, a tuple or a dictionary of keywords. An example is used for every batch, unless the rule above
            finds arguments of equal number, names, ranks and dtypes in the first batch; then the rule is used.
    """

    def __init__(self, model: Any, given: Any = None) -> None:
        self._function: Callable[[Any], Any] | None = None
        self.example: Inputs | None = None
        if given is not None and is_function(given):
            self._function = given
        elif given is not None:
            self.example = call_of(given)
        self._use_example: bool | None = None
        forward = (lambda x, **_: x) if model is None else unwrapped(model).forward
        parameters = inspect.signature(forward).parameters.values()
        required = [one for one in parameters if one.kind in _POSITIONAL and one.default is one.empty]
        self._first = max(len(required), 1)
        self._names = {one.name for one in parameters if one.kind in _NAMED}
        self._any_name = any(one.kind is one.VAR_KEYWORD for one in parameters)

    def of(self, batch: Any) -> Inputs:
        """Return the model's arguments in a batch.

        Raises:
            InputTypeError: The batch is of an unknown kind.
            InputError: None of its keys is the name of an argument.
        """
        if self._function is not None:
            return call_of(self._function(batch))
        if self.example is None:
            return self._by_rule(batch)
        if self._use_example is None:
            self._use_example = not self._fits(batch, self.example)
        return self.example if self._use_example else self._by_rule(batch)

    def _by_rule(self, batch: Any) -> Inputs:
        # This runs for each batch of a training, so the most common kinds are first.
        if isinstance(batch, (tuple, list)) and batch:
            if self._first == 1 and _is_tensor(batch[0]):
                return Inputs((batch[0],), {})
            if isinstance(batch[0], Mapping):
                return self._by_rule(batch[0])
            first = tuple(batch[: self._first])
            if all(map(_is_tensor, first)):
                return Inputs(first, {})
        elif _is_tensor(batch):
            return Inputs((batch,), {})
        elif isinstance(batch, Mapping):
            names, any_name = self._names, self._any_name
            found = {name: value for name, value in batch.items() if name in names or (any_name and _is_tensor(value))}
            if found:
                return Inputs((), found)
            raise InputError(
                f"the batch has keys {sorted(map(str, batch))} and the forward takes {sorted(names)}; {_HELP}"
            )
        raise InputTypeError(f"the model's inputs cannot be found in a batch of type {type(batch).__name__}; {_HELP}")

    def _fits(self, batch: Any, example: Inputs) -> bool:
        try:
            return _form(self._by_rule(batch)) == _form(example)
        except (TypeError, ValueError):
            return False


def call_of(given: Any) -> Inputs:
    """Return the arguments that a caller writes, as `capture` takes them.

    Raises:
        InputTypeError: It is neither a tensor nor a container of them.
    """
    if _is_tensor(given) or isinstance(given, (Mapping, tuple, list)):
        return parse_inputs(given)
    raise InputTypeError(f"inputs is a {type(given).__name__}; expected a tensor, a tuple or a dictionary of keywords")


def is_function(given: Any) -> bool:
    """Return whether `given` is a function of a batch; some tensors and containers are callable, too."""
    return callable(given) and not _is_tensor(given) and not isinstance(given, (tuple, list, Mapping))


def unwrapped(model: Any) -> Any:
    """Return the module inside compilers and data parallelism."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and type(model).__name__ in _WRAPPERS:
            inner = model.module
        if inner is None:
            return model
        model = inner


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "dtype")


def _form(call: Inputs) -> tuple[Any, ...]:
    def one(value: Any) -> Any:
        return (len(value.shape), value.dtype) if _is_tensor(value) else type(value)

    return [one(value) for value in call.args], {name: one(value) for name, value in call.kwargs.items()}
