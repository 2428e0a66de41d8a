"""`.safetensors` files and their indices: `sparsity` of a path."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterator
from itertools import count
from random import Random

import pyinfercost as ic

from ..door import Door, Figure
from ..mutate import INTEGERS, integer, mutate, mutated_bytes, text
from ..values import Value
from .figures import of_sparsity

_DTYPES = {"F32": 32, "F16": 16, "BF16": 16, "I8": 8, "U8": 8, "BOOL": 8, "I64": 64, "F8_E4M3": 8, "F4": 4, "C64": 64}
_NAMES = ("a.weight", "b.weight", "b.weight_orig", "b.weight_mask", "__metadata__", "c", "\x1b[31m", "\u202e")


class Safetensors(Door):
    """`sparsity` of a `.safetensors` file, of a folder of them and of an index."""

    share = 50_000
    _numbers = count()

    def draw(self, random: Random) -> Value:
        """Return the header and the data of one or two files, and an index for some."""
        files = [_file(random) for _ in range(random.choice((1, 1, 1, 2)))]
        index = None
        if random.random() < 0.15:
            header = files[0]["header"]
            names = list(header) if isinstance(header, dict) else ["a"]
            places = {name: f"{number % 2}.safetensors" for number, name in enumerate(names)}
            index = {"metadata": {"total_size": integer(random)}, "weight_map": places}
            index = mutate(random, index) if random.random() < 0.7 else index
        value: dict[str, Value] = {"files": files, "index": index, "threads": random.choice((1, 1, 2))}
        if random.random() < 0.05:
            files[0] = _long(random)
        return value

    def run(self, value: Value) -> Iterator[Figure]:
        """Write the files and scan them."""
        folder = self.folder / f"{next(self._numbers)}.weights"
        folder.mkdir()
        try:
            for number, file in enumerate(value["files"]):
                (folder / f"{number}.safetensors").write_bytes(_content(file))
            path = folder / "0.safetensors"
            if value["index"] is not None:
                path = folder / "model.safetensors.index.json"
                path.write_text(json.dumps(value["index"]), encoding="utf-8")
            elif len(value["files"]) > 1:
                path = folder
            yield from of_sparsity(ic.sparsity(str(path), threads=value["threads"]))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _long(random: Random) -> Value:
    """Draw a file whose header has many dimensions, tensors, names or lists."""
    count = random.choice((10, 1000, 20_000))
    tensor: dict[str, Value] = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
    kind = random.choice(("shape", "tensors", "repeated", "lists", "deep", "name", "metadata", "blanks"))
    header: Value = {}
    if kind == "shape":
        header = {"a": {**tensor, "shape": [random.choice((1, 2**48))] * count + [0]}}
    elif kind == "tensors":
        header = {f"t{number}": tensor for number in range(min(count, 1000))}
    elif kind == "repeated":
        header = "{" + ",".join([f'"t":{json.dumps(tensor)}'] * count) + "}"
    elif kind == "lists":
        header = '{"a":[' + random.choice(("[],", "{},", '"",', "0,")) * (100 * count) + "0]}"
    elif kind == "deep":
        header = random.choice(("[", '{"a":', "[[1],")) * count
    elif kind == "name":
        header = {random.choice(("a", "a.", "\u202e")) * count: tensor}
    elif kind == "metadata":
        header = {"__metadata__": random.choice(("a" * count, {"a": ["b"] * count}, [], None)), "a": tensor}
    else:
        header = " " * (100 * count) + "{}"
    return {"header": header, "data": b"", "length": None}


def _file(random: Random) -> Value:
    """Draw a file whose header is right, then change it."""
    header: dict[str, Value] = {}
    offset = 0
    for name in random.sample(_NAMES, random.randrange(1, 5)):
        if name == "__metadata__":
            header[name] = {"format": "pt"}
            continue
        dtype = random.choice(list(_DTYPES))
        shape = [random.choice((0, 1, 2, 4, 8, 16)) for _ in range(random.randrange(4))]
        size = _DTYPES[dtype]
        for length in shape:
            size *= length
        size = (size + 7) // 8
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    data = bytes(random.choice((0, 0, 0, 1, 128, 255)) for _ in range(min(offset, 4096))) + bytes(max(0, offset - 4096))
    file: dict[str, Value] = {"header": header, "data": data, "length": None}
    drawn = random.random()
    if drawn < 0.4:
        file["header"] = mutate(random, header)
    elif drawn < 0.6 and header:
        entry = header[random.choice(list(header))]
        key = random.choice(("shape", "data_offsets"))
        if entry.get(key):
            entry[key][random.randrange(len(entry[key]))] = integer(random)
    elif drawn < 0.65:
        entry = {"dtype": random.choice(list(_DTYPES)), "shape": [random.choice(INTEGERS), 0], "data_offsets": [0, 0]}
        header[text(random)] = entry
    elif drawn < 0.75:
        file["data"] = mutated_bytes(random, data)
    elif drawn < 0.85:
        file["length"] = integer(random) % 2**64
    elif drawn < 0.9:
        file["header"] = mutated_bytes(random, json.dumps(header).encode())
    return file


def _content(file: Value) -> bytes:
    header = file["header"]
    if isinstance(header, str):
        header = header.encode(errors="surrogatepass")
    elif not isinstance(header, bytes):
        header = json.dumps(header).encode()
    length = len(header) if file["length"] is None else file["length"]
    return struct.pack("<Q", length % 2**64) + header + bytes(file["data"])
