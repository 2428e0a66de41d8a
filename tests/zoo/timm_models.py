"""All models listed by timm, at the image sizes of their published configurations."""

from __future__ import annotations

from functools import partial

import timm
from timm.models import is_model_in_modules, list_modules
from zoo.case import Built, Case

from pyinfercost.sources.models import load_model


def cases() -> list[Case]:
    """Return one case per name; its group is the file of timm that defines it."""
    modules = {module: {module} for module in list_modules()}
    group = {
        name: module
        for name in timm.list_models()
        for module, alone in modules.items()
        if is_model_in_modules(name, alone)
    }
    return [Case("timm", name, group[name], partial(_build, name)) for name in timm.list_models()]


def _build(name: str) -> Built:
    loaded = load_model(f"timm:{name}", {})
    return loaded.module, loaded.args, loaded.kwargs
