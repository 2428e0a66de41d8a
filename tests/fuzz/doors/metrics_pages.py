"""Pages of metrics of serving engines, in Prometheus' text format or OpenMetrics."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from support import engine_pages
from support.engine_server import OPEN, TEXT, VllmProcess

from pyinfercost.monitor.engine_totals import EngineTotals
from pyinfercost.monitor.engines import ENGINES
from pyinfercost.monitor.scraping import parse

from ..door import Door, Figure, require
from ..mutate import INTEGERS, REALS, mutated_bytes, mutated_text
from ..values import Value

_WORDS = (
    "{",
    "}",
    '"',
    "\\",
    "\n",
    " ",
    "NaN",
    "+Inf",
    "-1",
    "1e999",
    "9" * 400,
    "\0",
    "# EOF\n",
    " # {",
    "le=",
    "_sum",
)


_LONG = ('"', '\\"', "{", ",", 'a="b",', '"",', "# ", "a ", "a{", "\n", "1 ")


class MetricsPages(Door):
    """`parse`, and totals over two pages."""

    share = 20_000
    libraries = ("prometheus_client.parser",)

    def seeds(self) -> Value:
        """Return pages by the name of their engine."""
        process = VllmProcess(1.8e9)
        process.answer(300, 20)
        pages = {"sglang": engine_pages.SGLANG, "triton": engine_pages.TRITON, "tgi": engine_pages.TGI}
        return [*pages.items(), ("vllm", process.page().decode())]

    def draw(self, random: Random) -> Value:
        """Return an engine and two of its pages."""
        engine, page = random.choice(self.corpus)
        pages = []
        for _ in range(2):
            text = page
            if random.random() < 0.4:
                text = text.replace(random.choice("0123456789"), str(random.choice((*INTEGERS, *REALS)))[:400], 3)
            for _ in range(random.randrange(5)):
                text = mutated_text(random, text, _WORDS)
            if random.random() < 0.05:  # lines of one sign or with many labels
                place = random.randrange(len(text) + 1)
                many = random.choice((10, 1000, 60_000))
                text = text[:place] + random.choice(_LONG) * many + text[place:]
            content = text.encode(errors="replace")
            pages.append(mutated_bytes(random, content) if random.random() < 0.2 else content)
        return {"engine": engine, "pages": pages, "type": random.choice((TEXT, TEXT, OPEN, ""))}

    def run(self, value: Value) -> Iterator[Figure]:
        """Read both pages as a sidecar does."""
        engine = ENGINES[value["engine"]]
        totals = EngineTotals(engine, None)
        for content in value["pages"]:
            page = parse(content.decode(errors="replace"), engine.wanted(), content_type=value["type"])
            require(page.is_whole == (page.unreadable == 0), "a whole page has no line that cannot be read")
            for name, samples in page.samples.items():
                require(name in engine.wanted(), "only wanted names are read")
                for amount in samples.values():
                    yield name, amount
            totals.read(page, from_zero=False, after_gap=False)
        for each, amount in totals.counters.items():
            yield each.figure, amount
        for each, found in totals.distributions.items():
            yield each.figure, min(found.counts, default=0)
            yield each.figure, found.total
