"""Pages of eight public models and a start page: `python tools/gallery.py FOLDER`.

Their numbers are those of `pyinfercost explore`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pyinfercost as ic

CONFIGS = Path(__file__).parents[1] / "tests" / "support" / "configs"


class Piece(NamedTuple):
    """A page of the gallery.

    Attributes:
        name: Name of its file.
        title: What the model is.
        spec: Spec of the model, or the name of a config.
        options: Where the page begins.
    """

    name: str
    title: str
    spec: str
    options: dict[str, Any]


_SERVED = {"engine": "vllm", "price": "on-demand", "precision": "bf16"}
_ON_H100 = {"hardware": "h100-sxm-80gb", **_SERVED}
_ON_H200 = {"hardware": "h200-sxm-141gb", **_SERVED}
PIECES = (
    Piece("resnet50", "ResNet-50", "torchvision:resnet50", {"hardware": "l4", "price": "on-demand"}),
    Piece("vit", "ViT-B/16", "torchvision:vit_b_16", {"hardware": "a10g", "price": "on-demand"}),
    Piece("convnext", "ConvNeXt-T", "timm:convnext_tiny", {"hardware": "t4", "price": "on-demand"}),
    Piece("mobilenet", "MobileNetV3-S", "torchvision:mobilenet_v3_small", {"hardware": "graviton3"}),
    Piece("llama", "Llama 3 8B", "llama-3-8b.json", {"hardware": "l40s", **_SERVED}),
    Piece("llama70", "Llama 3 70B on four devices", "llama-3-70b.json", {**_ON_H100, "layout": "tensor=4"}),
    Piece("mixtral", "Mixtral 8x7B on two devices", "mixtral-8x7b.json", {**_ON_H200, "layout": "tensor=2"}),
    Piece("gpt-oss", "gpt-oss-20b", "gpt-oss-20b.json", _ON_H100),
)


def main(folder: Path) -> None:
    """Write the pages into a folder, with an index."""
    folder.mkdir(parents=True, exist_ok=True)
    for piece in PIECES:
        spec = f"hf:{CONFIGS / piece.spec}" if piece.spec.endswith(".json") else piece.spec
        page = ic.explore(spec, command=f"pyinfercost explore {piece.spec}", **piece.options).to_html()
        (folder / f"{piece.name}.html").write_text(page, encoding="utf-8")
        sys.stdout.write(f"{piece.name}.html: {piece.title}, {len(page) / 1e6:.2f} MB\n")
    start = ic.explore(command="pyinfercost explore").to_html()
    (folder / "start.html").write_text(start, encoding="utf-8")
    index = {f"{piece.name}.html": piece.title for piece in PIECES} | {"start.html": "A model of yours"}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


if __name__ == "__main__":
    try:
        (place,) = sys.argv[1:]
    except ValueError:
        sys.exit("usage: python tools/gallery.py FOLDER")
    main(Path(place))
