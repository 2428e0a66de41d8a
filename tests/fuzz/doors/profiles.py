"""Profiles read back from JSON and HTML: `compare`, and what is written of the comparison."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from random import Random

from support.toy_graphs import blocks, transformer

import pyinfercost as ic

from ..door import Corpus, Door, Figure
from ..mutate import broken_json, mutate, mutated_text
from ..values import Value
from .figures import check_printable, finite
from .hardware_toml import change_numbers
from .limits import limit_text

_PAGE = '<!doctype html><html><script type="application/json" id="pyinfercost-profile">{}</script></html>'


class Profiles(Door):
    """`compare` of documents, of JSON files and of HTML reports, with limits."""

    share = 20_000
    _numbers = count()

    def seeds(self) -> list[Value]:
        """Return documents of profiles, with and without a machine, a price and a place."""
        graph, model = blocks(custom_op=True), transformer(layers=1)
        profiles = [
            ic.profile(graph),
            ic.profile(graph, hardware="l4", price="on-demand", region="deu", batch=4),
            ic.profile(model, hardware="xeon-8380", threads=4),
        ]
        return [json.loads(profile.to_json()) for profile in profiles]

    def draw(self, random: Random) -> Value:
        """Return two documents, each as a tree, as text or as a page, and limits."""
        if not isinstance(self.corpus, Corpus):
            self.corpus = Corpus(self.corpus)
        sides = []
        for changed in (True, random.random() < 0.3):
            document = self.corpus.draw(random)
            if changed and random.random() < 0.5:
                change_numbers(random, document)
            if changed and random.random() < 0.8:
                document = mutate(random, document, most=6)
            form = random.choice(("dict", "json", "json", "html"))
            if form != "dict" and changed and random.random() < 0.15:
                written = broken_json(random, document)
                if form == "html":
                    written = mutated_text(random, _PAGE.replace("{}", written))
                sides.append({"form": form, "text": written})
            else:
                sides.append({"form": form, "document": document})
        return {"sides": sides, "limits": [limit_text(random) for _ in range(random.choice((0, 0, 1, 2)))]}

    def run(self, value: Value) -> Iterator[Figure]:
        """Compare the two and write the comparison in each form."""
        paths = [self.folder / f"{next(self._numbers)}.{side['form']}" for side in value["sides"]]
        try:
            given: list[Value] = []
            for path, side in zip(paths, value["sides"], strict=True):
                if side["form"] == "dict":
                    given.append(side["document"])
                    continue
                written = side.get("text")
                if written is None:
                    written = json.dumps(side["document"])
                    written = (
                        _PAGE.replace("{}", written.replace("<", "\\u003c")) if side["form"] == "html" else written
                    )
                path.write_text(written, encoding="utf-8", errors="surrogatepass")
                given.append(str(path))
            comparison = ic.compare(before=given[0], after=given[1], limits=value["limits"])
        finally:
            for path in paths:
                path.unlink(missing_ok=True)
        yield from finite(json.loads(comparison.to_json()))
        check_printable(comparison.to_text())
        comparison.to_markdown()
        comparison.to_csv().encode()
