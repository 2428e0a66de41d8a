"""Exports of packages: one table each, which type checkers read as imports; names are imported when first used."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import pyinfercost
from pyinfercost._lazy import lazy_exports

ROOT = Path(__file__).parents[1]
INITS = [path for path in sorted((ROOT / "pyinfercost").rglob("__init__.py")) if "lazy_exports(" in path.read_text()]
FRAMEWORKS = ("lightning", "pytorch_lightning", "transformers", "accelerate", "ignite")


def package_of(path: Path) -> str:
    return ".".join(path.parent.relative_to(ROOT).parts)


each_package = pytest.mark.parametrize("path", [pytest.param(path, id=package_of(path)) for path in INITS])


def imported_for_types(path: Path) -> dict[str, str]:
    """Name -> module of the imports under TYPE_CHECKING, relative as the table has them."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for each in node.body:
                assert isinstance(each, ast.ImportFrom)
                for alias in each.names:
                    assert alias.asname == alias.name, "type checkers take `X as X` alone for an export"
                    module = "." * each.level + (each.module or "")
                    found[alias.name] = module + alias.name if module == "." else module
    return found


def run(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT / "tests"
    )
    return result.stdout.strip()


def test_packages_with_exports_are_found() -> None:
    assert {"pyinfercost", "pyinfercost.training", "pyinfercost.monitor"} <= {package_of(path) for path in INITS}


@each_package
def test_type_checkers_see_the_table(path: Path) -> None:
    table = import_module(package_of(path))._EXPORTS
    exported = {name: module for module, names in table.items() for name in names or (module.lstrip("."),)}
    assert imported_for_types(path) == exported


@each_package
def test_no_export_has_the_name_of_a_module_of_its_package(path: Path) -> None:
    """Importing such a module would replace the export."""
    package = import_module(package_of(path))
    modules = {each.stem for each in path.parent.glob("*.py")} | {each.name for each in path.parent.iterdir()}
    modules_exported = {module.lstrip(".") for module, names in package._EXPORTS.items() if not names}
    assert not modules & set(package.__all__) - modules_exported


@pytest.mark.torch
@each_package
def test_every_export_can_be_imported(path: Path) -> None:
    package = import_module(package_of(path))
    assert package.__all__ == sorted(set(package.__all__))
    for name in package.__all__:
        assert getattr(package, name) is not None
        assert name in dir(package)


@pytest.mark.torch
@pytest.mark.parametrize("name", ["LightningCostCallback", "TransformersCostCallback", "AccelerateCostTracker"])
def test_an_adapter_does_not_import_its_framework(name: str) -> None:
    code = f"import sys; from pyinfercost.training import {name}; print([n for n in {FRAMEWORKS} if n in sys.modules])"
    assert run(code) == "[]"


def test_training_is_light_to_import() -> None:
    heavy = ("torch", "numpy", *FRAMEWORKS)
    assert run(f"import pyinfercost.training, sys; print([n for n in {heavy} if n in sys.modules])") == "[]"


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match=r"module 'pyinfercost' has no attribute 'profle'"):
        pyinfercost.profle  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Tracker'"):
        exec("from pyinfercost.training import Tracker")


def package_with(monkeypatch: pytest.MonkeyPatch, folder: Path, source: str) -> ModuleType:
    """A package `made` with a module `part` of this source, which `made` exports as `thing`."""
    (folder / "made").mkdir()
    (folder / "made" / "part.py").write_text(source)
    exports = "lazy_exports(__name__, {'.part': ('thing',)}, needs={'no_such_library': 'models'})"
    (folder / "made" / "__init__.py").write_text(
        f"from pyinfercost._lazy import lazy_exports\n__getattr__, __dir__, __all__ = {exports}\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    for name in ("made", "made.part"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return import_module("made")


def test_an_export_is_imported_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = package_with(monkeypatch, tmp_path, "thing = object()\n")
    assert "thing" not in vars(made)
    assert made.thing is made.thing
    assert "thing" in vars(made)


def test_a_missing_library_is_reported_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = package_with(monkeypatch, tmp_path, "import no_such_library\n")
    with pytest.raises(ImportError, match=r"made\.thing needs no_such_library.*'pyinfercost\[models\]'") as caught:
        made.thing  # noqa: B018
    assert caught.value.name == "no_such_library"


def test_another_missing_library_is_reported_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = package_with(monkeypatch, tmp_path, "import no_such_thing\n")
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_thing'"):
        made.thing  # noqa: B018


def test_modules_are_exported_by_their_names() -> None:
    get, names, exported = lazy_exports("pyinfercost", {".plots": ()}, "Graph")
    assert exported == ["Graph", "plots"]
    assert get("plots").__name__ == "pyinfercost.plots"
    assert {"Graph", "plots"} <= set(names())
