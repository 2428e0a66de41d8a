"""Deployments: untrusted devices, threads, prices, utilization, places and transfers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from random import Random

import click
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.cli.arguments import price_options, prices_by_id

from ..door import Door, Figure, require
from ..mutate import integer, mutate, mutated_text, real, text
from ..mutate import value as any_value
from ..toml import to_toml
from ..values import Value
from .figures import EXECUTIONS, MACHINES, PRECISIONS, of_estimate

_PRICES = (
    "2.49",
    "2.49/h",
    "$0.5",
    "on-demand",
    "spot",
    "reserved",
    "g6.4xlarge",
    "aws/p5.48xlarge:spot",
    "tpu-v5e-chip@us-west4",
    "1e400",
    "1e-320",
    "-1",
    "l4=0.8,t4=0.35",
    "0.8 usd / hour",
)
_REGIONS = ("deu", "world", "gcp/us-central1", "aws/us-east-1", "DEU", "industry", "countries/deu")
_TRANSFERS = (
    "pinned",
    "pageable,overlapped",
    "pinned,network_gbit_per_s=10,egress=aws",
    "request_bytes=1e6,response_bytes=0",
    "network_rtt_s=0.05",
    "egress=0.09",
    "network_gbit_per_s=1e400",
)
_STARTUPS = (
    "weights_from=nvme",
    "machine=cloud,image_gb=8,loader=sllm,warmup=engine",
    "machine=30,image_gb=0,image_gb_per_s=0.1,weights_from=12,warmup=10",
    "weights_from=1e-320",
    "warmup=1e400",
)
_WORDS = ("=", ",", "/", ":", "@", "e", "1e999", "nan", "inf", "-", "9" * 400, "\0", "\u0663", "_", ".toml", "$")
_OWNED = {"usd": 30000.0, "devices": 8, "lifetime_years": 4, "usd_per_kwh": 0.2, "pue": 1.2, "region": "deu"}
_FIELDS = (
    "devices",
    "threads",
    "instances",
    "utilization",
    "price",
    "region",
    "transfer",
    "startup",
    "sustained",
    "precision",
    "execution",
)


class Deployments(Door):
    """`Deployment` of values and of a document, the notations of prices, and `estimate` there."""

    share = 20_000
    refusals = (click.UsageError,)  # of the command line's own notations
    _numbers = itertools.count()

    def draw(self, random: Random) -> Value:
        """Return the fields of a deployment, some of them files, and a price as the command line takes it."""
        fields: dict[str, Callable[[], Value]] = {
            "devices": lambda: random.choice((1, 2, integer(random), integer(random))),
            "threads": lambda: random.choice((1, 4, integer(random))),
            "instances": lambda: random.choice((1, 4, integer(random))),
            "utilization": lambda: random.choice((0.5, 1, real(random))),
            "price": lambda: random.choice(
                (_text(random, _PRICES), _text(random, _PRICES), real(random), integer(random))
            ),
            "region": lambda: _text(random, _REGIONS),
            "transfer": lambda: random.choice((_text(random, _TRANSFERS), _transfer(random))),
            "startup": lambda: random.choice((_text(random, _STARTUPS), _startup(random))),
            "sustained": lambda: random.random() < 0.2,
            "precision": lambda: random.choice(PRECISIONS),
            "execution": lambda: random.choice(EXECUTIONS),
        }
        machine = random.choice(MACHINES)
        names = [name for name in _FIELDS if name != "threads" or machine.startswith("xeon") or random.random() < 0.1]
        count = min(len(names), random.choice((1, 2, 2, 3, 9)))
        chosen: dict[str, Value] = {name: fields[name]() for name in random.sample(names, count)}
        if random.random() < 0.15:
            chosen[random.choice(_FIELDS)] = any_value(random)
        value: dict[str, Value] = {
            "hardware": machine,
            "fields": chosen,
            "as": random.choice(("keywords", "dict")),
        }
        if random.random() < 0.1:
            value["hardware"] = text(random)
        if random.random() < 0.2:
            owned = dict(_OWNED) if random.random() < 0.7 else {"usd_per_h": 2.5, "region": "deu"}
            owned[random.choice(list(owned))] = random.choice((real(random), integer(random)))
            value["file"] = to_toml(mutate(random, owned) if random.random() < 0.4 else owned)
        if random.random() < 0.2:
            value["listed"] = _text(random, _PRICES)
        return value

    def run(self, value: Value) -> Iterator[Figure]:
        """Make the deployment and estimate a model on it."""
        path = self.folder / f"{next(self._numbers)}.toml"
        fields = {"hardware": value["hardware"], **value["fields"]}
        try:
            if "file" in value:
                path.write_text(value["file"], encoding="utf-8", errors="surrogatepass")
                fields["price"] = str(path)
            on = ic.Deployment(**fields) if value["as"] == "keywords" else ic.Deployment.from_dict(fields)
        finally:
            path.unlink(missing_ok=True)
        if "listed" in value:
            prices_by_id(value["listed"], ["l4", "t4"])
            price_options(value["listed"])
        yield from of_estimate(ic.estimate(_MODEL, on=on, batch=4))
        hash(on)
        repr(on)
        if "file" not in value:
            again = ic.Deployment.from_dict(json.loads(json.dumps(on.to_dict())))
            require(again == on, "a document gives the same deployment", on)


def _text(random: Random, texts: tuple[str, ...]) -> str:
    chosen = random.choice(texts)
    return mutated_text(random, chosen, _WORDS) if random.random() < 0.5 else chosen


def _transfer(random: Random) -> Value:
    names = ("memory", "overlapped", "network_gbit_per_s", "network_rtt_s", "request_bytes", "egress")
    return _some(random, names)


def _startup(random: Random) -> Value:
    return _some(random, ("machine", "image_gb", "image_gb_per_s", "weights_from", "loader", "warmup"))


def _some(random: Random, names: tuple[str, ...]) -> Value:
    return {
        name: random.choice((real, integer, any_value))(random) for name in random.sample(names, random.randrange(4))
    }


_MODEL = blocks()
