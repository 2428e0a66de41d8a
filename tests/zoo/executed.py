"""Record of a real forward: its operators, and lengths determined by its values."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

_MASKS = (torch.bool, torch.uint8)


class Executed(TorchDispatchMode):
    """Records the operators of a forward, and the number of true elements of masks by module.

    Attributes:
        ops: All operators, each once.
        lengths: `path.nonzero` -> one number per mask, in order.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.ops: set[Any] = set()
        self.lengths: dict[str, list[int]] = defaultdict(list)
        self._paths = {id(part): path for path, part in module.named_modules()}
        self._running: list[str] = []
        self._masks: dict[tuple[int, int], torch.Tensor] = {}
        self._left = contextlib.ExitStack()

    def __enter__(self) -> Any:
        self._left.callback(register_module_forward_pre_hook(self._enter).remove)
        self._left.callback(register_module_forward_hook(self._leave, always_call=True).remove)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        self._left.close()
        super().__exit__(*error)

    def _enter(self, part: nn.Module, _: Any) -> None:
        self._running.append(self._paths.get(id(part), ""))

    def _leave(self, _: nn.Module, __: Any, ___: Any) -> None:
        self._running.pop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        self.ops.add(func)
        for mask in _masks_of(func, args):
            self._note(mask)
        return func(*args, **(kwargs or {}))

    def _note(self, mask: torch.Tensor) -> None:
        key = (id(mask), mask._version)
        if mask.is_meta or key in self._masks:  # a mask that is used again is as long as before
            return
        self._masks[key] = mask
        path = self._running[-1] if self._running else ""
        self.lengths[f"{path or 'forward'}.nonzero"].append(int(torch.count_nonzero(mask)))


def _masks_of(func: Any, args: Any) -> list[torch.Tensor]:
    name = func._overloadpacket.__name__
    if name == "nonzero":
        return [args[0]]
    if name == "masked_select":
        return [args[1]]
    if name == "index":
        return [index for index in args[1] if index is not None and index.dtype in _MASKS]
    return []
