"""Exports of packages: names in a stub, which are imported when first used."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import pyinfercost

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pyinfercost"
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if "= lazy_exports(" in path.read_text(encoding="utf-8")]
FRAMEWORKS = ("lightning", "pytorch_lightning", "transformers", "accelerate", "ignite")


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


each_module = pytest.mark.parametrize("path", [pytest.param(path, id=module_of(path)) for path in MODULES])


def run(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT / "tests"
    )
    return result.stdout.strip()


def test_modules_with_exports_are_found() -> None:
    public = (
        "pyinfercost",
        "pyinfercost.results",
        "pyinfercost.serving",
        "pyinfercost.devices",
        "pyinfercost.training",
    )
    assert set(public) <= {module_of(path) for path in MODULES}


def test_the_public_face_is_small() -> None:
    assert len(pyinfercost.__all__) <= 70


@each_module
def test_a_stub_has_one_import_a_line(path: Path) -> None:
    lines = path.with_suffix(".pyi").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"from [.\w]+ import (\w+) as \1", line)] == []


@each_module
def test_no_export_has_the_name_of_a_module_of_its_package(path: Path) -> None:
    """Importing such a module would replace the export."""
    exported = dict(re.findall(r"import (\w+) as (\w+)", path.with_suffix(".pyi").read_text(encoding="utf-8")))
    if path.name == "__init__.py":
        modules = {each.stem for each in path.parent.iterdir()}
        named = re.findall(r"from \. import (\w+)", path.with_suffix(".pyi").read_text(encoding="utf-8"))
        assert not modules & set(exported) - set(named)


@pytest.mark.torch
@each_module
def test_every_export_can_be_imported(path: Path) -> None:
    module = import_module(module_of(path))
    assert module.__all__ == sorted(set(module.__all__))
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in dir(module)


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
    (folder / "made" / "__init__.pyi").write_text("from . import part as part\nfrom .part import thing as thing\n")
    (folder / "made" / "__init__.py").write_text(
        "from pyinfercost._lazy import lazy_exports\n"
        "__getattr__, __dir__ = lazy_exports(__spec__, needs={'no_such_library': 'models'})\n"
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


def test_modules_are_exported_by_their_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = package_with(monkeypatch, tmp_path, "thing = object()\n")
    assert made.__all__ == ["part", "thing"]
    assert made.part.__name__ == "made.part"
    assert {"part", "thing"} <= set(dir(made))


def test_exports_are_found_in_a_zip_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package_with(monkeypatch, tmp_path, "thing = 5\n")
    archive = shutil.make_archive(str(tmp_path / "zipped"), "zip", tmp_path, "made")
    shutil.rmtree(tmp_path / "made")
    for name in ("made", "made.part"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(archive)
    assert import_module("made").thing == 5
