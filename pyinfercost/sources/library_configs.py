"""Configs of model libraries: limits of their counts, and errors of a library that builds a model from one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import get_ident
from typing import Any

from .._checks import excerpt, is_whole, shown
from ..errors import Error
from .loaded_model import SpecError, SpecTooLargeError

MOST_LAYERS = 1_000
"""Maximum of a count of layers in a config; published models have up to 126 of one kind."""

MOST_EXPERTS = 100_000
"""Maximum of a count of experts in a config; Doge has 16,384, each a row of an embedding."""

MOST_LABELS = 1_000_000
"""Maximum number of labels in a config: libraries make two names of each. MGP-STR has 50,257."""

MOST_PARTS = 400_000
"""Maximum number of modules and parameters of a model: libraries create them one by one, about 10,000 per second.
Switch-C has half as many."""

# Last words of the keys of counts, with their limits. Widths, ids and patterns of layers have other last words:
# `hidden_size_per_layer_input`, `layer_types`.
_LIMITS = tuple(
    (re.compile(words, re.IGNORECASE), most)
    for words, most in (
        (
            r"n?(layers?|depths?|blocks?|stages|repeats|levels|codebooks|quantizers|stacks|flows|convs)(_per_[a-z]+)?",
            MOST_LAYERS,
        ),
        (r"experts", MOST_EXPERTS),
        (r"labels|classes", MOST_LABELS),
    )
)
_DEEPEST = 100

FAULTS_OF_CONFIGS = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RuntimeError, MemoryError)
"""Exceptions of computations with values of a config, such as lengths of tensors."""


def check_counts(spec: str, config: Any) -> None:
    """Reject a config with more layers, experts or labels than any model has, before a library tries to make them.

    Args:
        spec: Name of the model in errors.
        config: Value of the config's JSON.

    Raises:
        SpecError: A count is above its limit, or the config is nested too deeply.
    """
    for path, key, value in _numbers(config, "", "", 0, spec):
        most = _limit_of(key)
        if most is not None and value > most:
            raise SpecError(
                f"{spec}: {excerpt(path)} of its config is {shown(value)}; expected at most {most:,}, which no "
                "published model exceeds"
            )


def _limit_of(key: str) -> int | None:
    starts = [match.end() for match in re.finditer(r"^|_", key)]
    return next((most for words, most in _LIMITS if any(words.fullmatch(key, start) for start in starts)), None)


def _numbers(value: Any, path: str, key: str, depth: int, spec: str) -> Iterator[tuple[str, str, int]]:
    """Yield the whole numbers of a config, each with its path and the innermost key."""
    if depth > _DEEPEST:
        raise SpecError(
            f"{spec}: its config is nested more than {_DEEPEST} levels deep; expected the config of a model"
        )
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _numbers(item, f"{path}.{name}" if path else str(name), str(name), depth + 1, spec)
    elif isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            yield from _numbers(item, f"{path}[{place}]", key, depth + 1, spec)
    elif is_whole(value):
        yield path, key, value


@contextmanager
def errors_of_library(doing: str, advice: str) -> Iterator[None]:
    """Turn any exception of a library, which it raises for a config that it does not expect, into a `SpecError`.

    Libraries compute with the values of a config without checks, so that a wrong one ends in any built-in exception.

    Args:
        doing: What fails, in words: `hf:x: transformers cannot build its LlamaModel`.
        advice: The remedy.

    Raises:
        SpecError: The block raised an exception. Exceptions of this package, and of libraries that are not installed,
            pass.
    """
    try:
        yield
    except (Error, ModuleNotFoundError):  # their messages are complete
        raise
    except MemoryError as error:
        raise SpecTooLargeError(f"{doing}: not enough memory ({words_of(error)}); {advice}") from error
    except Exception as error:
        raise SpecError(f"{doing}: {words_of(error)}; {advice}") from error


def words_of(error: BaseException) -> str:
    """Return the type and the message of an exception on one line, shortened."""
    return excerpt(" ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":"), most=2_000)


@contextmanager
def limited_parts(spec: str) -> Iterator[None]:
    """Raise an error in this thread when the block registers more than `MOST_PARTS` modules and parameters.

    Args:
        spec: Name of the model in errors.

    Raises:
        SpecTooLargeError: There are more.
    """
    from torch.nn.modules import module

    thread, found = get_ident(), 0

    def count(*_: Any) -> None:
        nonlocal found
        if get_ident() != thread:  # the hooks are called for modules of all threads
            return
        found += 1
        if found > MOST_PARTS:
            raise SpecTooLargeError(
                f"{spec}: its config asks for more than {MOST_PARTS:,} modules and parameters; expected the counts of "
                "layers and experts of a published model"
            )

    registers: tuple[Callable[..., Any], ...] = (
        module.register_module_module_registration_hook,
        module.register_module_parameter_registration_hook,
    )
    hooks = [register(count) for register in registers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
