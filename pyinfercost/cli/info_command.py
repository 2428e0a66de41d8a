"""`pyinfercost info`: versions and optional packages."""

from __future__ import annotations

from .. import _core
from .commands import command
from .options import format_option
from .output import messages_for_people, show_pairs

_OPTIONAL = ("torch", "torchvision", "timm", "transformers", "diffusers", "pandas", "nvidia-ml-py")
_REQUIRED = ("numpy", "click", "rich")


@command()
@format_option("table", "json")
def info(*, form: str) -> None:
    """Show versions, installed optional packages, and the numbers of known operators and machines."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    with messages_for_people():
        from ..hardware import names

        packages: dict[str, str | None] = {}
        for package in (*_REQUIRED, *_OPTIONAL):
            try:
                packages[package] = version(package)
            except PackageNotFoundError:
                packages[package] = None
        show_pairs(
            {
                "version": _core.__version__,
                "python": platform.python_version(),
                "platform": platform.platform(),
                "core": _core.__file__,
                "packages": packages,
                "machines": len(names()),
                "op_rules": len(_core.rules()),
            },
            form,
        )
