"""`Deployment`: where and how a model runs, as one value that every function takes as `on=`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from copy import copy
from functools import lru_cache
from math import isnan
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias

from .. import _core
from .._checks import COUNT, flag, is_number, number, shown, whole
from .._lazy import cached_property
from .._records import dataclass
from ..errors import InputError, InputTypeError
from ..hardware import load
from ..hardware.hosts import HostLike
from ..inputs.layout import Layout, LayoutLike
from ..inputs.place import Place
from ..inputs.price import USD_PER_H, UTILIZATION, Price, PriceError
from ..inputs.serving import Serving, ServingLike
from ..inputs.startup import Startup, StartupLike
from ..inputs.transfer import Transfer, TransferLike
from .cold_starts import default_startup

if TYPE_CHECKING:
    from typing_extensions import Self

    from .prices import PriceLike

HardwareLike: TypeAlias = "str | PathLike[str] | _core.Hardware"
"""A machine: an id of the catalog (`"l4"`), the path of a TOML file, or a `Hardware`."""

SCHEMA_VERSION = 1

_ALONE = Layout()  # searches make thousands of deployments, and checking the layout of one device takes a tenth of that


class DeploymentError(InputError):
    """Fields of a deployment that are out of range or contradict each other."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Deployment:
    """Where and how a model runs.

    Names are resolved and checked when the value is made, so that an unknown machine, price or place fails at once. Two
    deployments are equal if they resolve to equal values: `Deployment(hardware="l4")` equals
    `Deployment(hardware=ic.hardware.load("l4"))`.

    Attributes:
        hardware: The machine: an id of the catalog (`"a100-sxm-80gb"`), the path of a TOML file, or a `Hardware`.
            With None the model is only counted, at `precision`.
        devices: Number of these machines, 1 to 1,000,000; a multiple of those of `layout`, which is repeated on them.
            1, the default, stands for the devices of the layout.
        layout: How the model lies on the devices, as a `Layout` or its text, such as `"tensor=4,data=2"`. Without one,
            each holds the whole model and they exchange nothing. Copies of the model share the batch; the largest
            share, ceil(batch / copies), sets latency and memory.
        precision: Dtype to run in; `"native"` keeps the dtypes of the graph and torch's defaults for them: cuDNN's
            convolutions and recurrent layers of float32 in TF32. `"fp32"` is strict, `"tf32"` allows it everywhere.
        engine: What runs the model: `"torch"` runs the graph as captured; a serving engine (`"vllm"`, `"sglang"`,
            `"trtllm"`, `"llamacpp"`) its own kernels for a language model, and a compiler of whole models
            (`"tensorrt"`, `"onnxruntime"`) its own for any model, see `engine_graph`.
        serving: How a serving engine forms its steps: `"draft_tokens=4,acceptance=0.8"` or what else `Serving.parse`
            accepts; the field holds the text. Empty for the engine's own settings.
        execution: `"eager"` (one kernel per op), `"compiled"` (ops are fused), `"cuda_graph"` (eager kernels, launched
            from a recorded graph) or `"reduce-overhead"` (`torch.compile`'s mode: fused kernels, launched from a
            recorded graph). The empty text, the default, stands for the engine's own way: eager in torch, a recorded
            graph in serving engines, whose kernels are fused already.
        threads: Threads of a CPU, or of each copy on it, at least 1; None uses all cores.
        instances: Copies of the model side by side on one CPU, each in a process of its own with its own weights and a
            batch of its own. They share cores, caches, DRAM bandwidth, memory and power equally. Latency is that of one
            copy, and throughput that of all.
        sustained: Whether the machine runs without pause, so that its power limit bounds the clock
            (see `hardware.load`). None, the default, depends on the question: a short forward for one estimate,
            continuous load where the throughput is asked, as in sweeps and trackers (see `for_throughput`).
        host: Host of a GPU: the microseconds that it takes to issue an operator of an eager forward, or a name of
            `hardware.hosts.HOSTS` (`"desktop"`, `"cloud"`). It bounds small batches. None, the default, is a host in
            the middle of those that were measured, with a band as wide as their differences.
        price: Price of an hour of one device: USD (`2.49`), an instance (`"aws/g6.4xlarge:spot"`), `"on-demand"` (the
            cheapest known offer) or what else `parse_price` accepts. None leaves costs out. Whole instances
            are paid for, and their unused devices, too (see `rent`).
        utilization: Share of the paid time in which the devices work, 1e-6 to 1.
        region: Location of the machine, for the carbon intensity of its grid: a country (`"deu"`), a cloud and its
            region (`"gcp/us-central1"`) or what else `place` accepts. None uses the region of the price, if it has one.
        transfer: How inputs reach the device and results return, such as
            `"pinned,overlapped,network_gbit_per_s=10,egress=aws"` or what else `Transfer.parse` accepts; its time is
            then part of the cost. None reports copies from and to pageable memory and leaves them out of the cost.
        startup: How a replica starts, for its cold start: `"machine=cloud,image_gb=8,loader=sllm,warmup=engine"` or
            what else `Startup.parse` accepts. None: `default_startup` of the engine.

    Raises:
        InputError: A name is unknown, a value is out of range, or a field needs hardware that is not given.
    """

    hardware: HardwareLike | None = None
    devices: int = 1
    layout: LayoutLike | None = None
    precision: str = "native"
    engine: str = "torch"
    serving: ServingLike = ""
    execution: str = ""
    threads: int | None = None
    instances: int = 1
    sustained: bool | None = None
    host: HostLike | None = None
    price: PriceLike | None = None
    utilization: float = 1.0
    region: str | None = None
    transfer: TransferLike | None = None
    startup: StartupLike | None = None

    def __post_init__(self) -> None:
        self._settle(None)

    def _settle(self, machine: _core.Hardware | None) -> None:
        """Check all fields and resolve names; the machine is loaded unless it is given."""
        asked = self.execution
        checked: dict[str, Any] = {
            name: checked_field(name, value) for name in _PLAIN if (value := getattr(self, name)) != ""
        }
        checked["execution"] = execution_of(checked["engine"], asked)
        checked["_asked_execution"] = asked
        checked["_asked_devices"], checked["_asked_layout"] = checked["devices"], self.layout
        layout = _ALONE if self.layout is None else Layout.parse(self.layout)
        checked["_layout"] = layout if checked["devices"] == 1 else layout.on(checked["devices"])
        checked["devices"] = checked["_layout"].devices
        checked["layout"] = None if self.layout is None else checked["_layout"]
        checked["serving"] = checked_field("serving", self.serving) if self.serving else ""
        if checked["serving"] and not forms_steps(checked["engine"]):
            raise DeploymentError(
                f"serving is {shown(self.serving)}, and engine {checked['engine']} forms no steps; pass a serving "
                "engine, such as engine='vllm', or leave serving out"
            )
        if checked["_layout"].context > 1 and checked["serving"] and Serving.parse(checked["serving"]).chunk_tokens:
            raise DeploymentError(
                f"serving is {shown(self.serving)}, and layout {checked['_layout']} shares the tokens of prompts; pass "
                "chunk_tokens or context, and not both"
            )
        if self.sustained is not None:
            checked["sustained"] = flag(self.sustained, "sustained", DeploymentError)
        checked["transfer"] = None if self.transfer is None else Transfer.parse(self.transfer)
        checked["startup"] = None if self.startup is None else Startup.parse(self.startup)
        if self.threads is not None:
            checked["threads"] = whole(self.threads, "threads", COUNT, DeploymentError)
        checked["instances"] = whole(self.instances, "instances", COUNT, DeploymentError)
        if isinstance(self.price, Mapping):
            checked["price"] = dict(self.price)  # later changes of the caller's mapping have no effect
        elif is_number(self.price) and not isinstance(self.price, (int, float)):
            checked["price"] = number(self.price, "price", USD_PER_H, PriceError)  # of numpy
        price = rent = None
        if self.hardware is None:
            for name, why in _NEED_HARDWARE.items():
                if getattr(self, name) != getattr(Deployment, name):
                    raise DeploymentError(f"{name} is given without hardware: {why}")
        else:
            machine = machine or _loaded(
                self.hardware, self.threads, self.instances, sustained=bool(self.sustained), host=self.host
            )
            if machine.sustained:  # also one that was loaded so
                checked["sustained"] = True
            if self.price is not None:
                threads = None if self.threads is None else self.threads * checked["instances"]
                from .prices import parse_price

                layout = checked["_layout"]
                nodes = _core.nodes_of(machine, layout.devices, layout.nodes)
                replica = _core.RentedDevices(layout.devices, layout.together, nodes)
                price = parse_price(self.price, machine.id, threads=threads, together=replica.together)
                rent = _core.Rent(replica, price.usd_per_h, price.devices)
        self.__dict__.update(checked, _machine=machine, _price=price, _transfer=checked["transfer"] or Transfer())
        self.__dict__.update(_startup=checked["startup"], _rent=rent)
        self.__dict__.pop("place", None)
        if self.region is not None or (price is not None and not price.cloud):
            self.__dict__["place"] = self._found_place()  # the caller named it: an unknown name fails at once

    @property
    def machine(self) -> _core.Hardware:
        """The loaded machine.

        Raises:
            DeploymentError: The deployment has no hardware.
        """
        machine: _core.Hardware | None = self.__dict__["_machine"]
        if machine is None:
            raise DeploymentError("no hardware is given; pass hardware=, such as hardware='l4', alone or in on=")
        return machine

    @property
    def asked_execution(self) -> str:
        """The execution as it was given; empty for the engine's own way."""
        asked: str = self.__dict__["_asked_execution"]
        return asked

    @property
    def rank_layout(self) -> Layout:
        """The resolved `layout`, repeated on all devices; copies of the whole model if it is None."""
        layout: Layout = self.__dict__["_layout"]
        return layout

    @property
    def settings(self) -> Serving:
        """How the engine forms its steps."""
        return Serving.parse(self.serving)

    @property
    def device_price(self) -> Price | None:
        """The resolved price of one device hour, with its source; None without a price."""
        price: Price | None = self.__dict__["_price"]
        return price

    @property
    def rent(self) -> _core.Rent | None:
        """What replicas of it pay: whole instances of the price, as full as they get; None without a price."""
        found: _core.Rent | None = self.__dict__["_rent"]
        return found

    @cached_property
    def place(self) -> Place | None:
        """The resolved region, or the place of the price; None if neither is known."""
        return self._found_place()

    def _found_place(self) -> Place | None:
        price = self.device_price
        if self.region is None and price is None:
            return None
        from .places import place, place_of_price

        if self.region is not None:
            return place(self.region, cloud="" if price is None else price.cloud)
        return None if price is None else place_of_price(price)

    @property
    def data_transfer(self) -> Transfer:
        """The resolved `transfer`; copies from and to pageable memory if it is None."""
        transfer: Transfer = self.__dict__["_transfer"]
        return transfer

    @property
    def replica_startup(self) -> Startup:
        """The resolved `startup`; `default_startup` of the engine if it is None."""
        startup: Startup | None = self.__dict__["_startup"]
        return default_startup(self.engine) if startup is None else startup

    def replace(self, **changes: Any) -> Self:
        """Return a copy with other fields; the price and the place are resolved again.

        Another machine runs one copy on all its cores, and has the default host, unless `threads`, `instances` or
        `host` is given too. If it is named by an id or a path, it is sustained if this one is.

        Args:
            **changes: Fields and their new values.

        Raises:
            InputTypeError: A name is no field.
            InputError: As for `Deployment`.
        """
        if unknown := changes.keys() - set(OPTIONS):
            raise InputTypeError(f"a deployment has no {', '.join(sorted(unknown))}; expected {', '.join(OPTIONS)}")
        machine = changes.get("hardware")
        if machine is not None:
            changes.setdefault("threads", None)
            changes.setdefault("instances", 1)
            changes.setdefault("host", None)
        if isinstance(machine, _core.Hardware):
            changes.setdefault("sustained", machine.sustained)
        other = copy(self)
        other.__dict__.pop("_identity", None)
        asked = {name: self.__dict__[f"_asked_{name}"] for name in ("execution", "devices", "layout")}
        other.__dict__.update({**asked, **changes})
        other._settle(self.__dict__["_machine"] if _OF_MACHINE.isdisjoint(changes) else None)
        return other

    def for_throughput(self) -> Self:
        """Return the deployment of a machine that runs without pause.

        Returns:
            The deployment with `sustained`, if that is not decided, the machine is given by name, and its power under
            load is known; otherwise this one.
        """
        machine: _core.Hardware | None = self.__dict__["_machine"]
        if self.sustained is not None or machine is None or isinstance(self.hardware, _core.Hardware):
            return self
        if isnan(machine.constant("power.dram_s_per_byte")):
            return self
        return self.replace(sustained=True)

    def to_dict(self) -> dict[str, Any]:
        """Return the deployment as JSON values: names as they were given, and objects by their content."""
        hardware: Any = self.hardware
        if isinstance(hardware, _core.Hardware):
            hardware = {name: getattr(hardware, name) for name in _HARDWARE_FIELDS}
        elif hardware is not None:
            hardware = fspath(hardware)
        return {
            "schema_version": SCHEMA_VERSION,
            **{name: getattr(self, name) for name in OPTIONS},
            "execution": self.asked_execution,
            "layout": None if self.layout is None else self.rank_layout.given,
            "hardware": hardware,
            "price": _plain_price(self.price),
            "transfer": None if self.transfer is None else _plain(self.data_transfer),
            "startup": None if self.startup is None else _plain(self.replica_startup),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Return the deployment that `to_dict` described; missing keys take their defaults.

        Raises:
            InputError: The document has another schema version or unknown keys, or its values are refused.
        """
        if not isinstance(document, Mapping):
            raise DeploymentError(f"the deployment is {shown(document)}; expected an object, as to_dict returns it")
        fields = dict(document)
        version = fields.pop("schema_version", SCHEMA_VERSION)
        unknown = sorted(map(str, fields.keys() - set(OPTIONS)))
        if version != SCHEMA_VERSION or unknown:
            raise DeploymentError(
                f"the deployment has schema_version {shown(version)} and unknown keys {unknown}; expected version "
                f"{SCHEMA_VERSION} and some of {', '.join(OPTIONS)}"
            )
        if isinstance(fields.get("hardware"), Mapping):
            fields["hardware"] = _hardware_from(fields["hardware"])
        fields["price"] = _price_from(fields.get("price"))
        return cls(**fields)

    def __eq__(self, other: object) -> bool:
        return self._identity == other._identity if isinstance(other, Deployment) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity)

    def __repr__(self) -> str:
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        given = {name: value for name in OPTIONS if (value := getattr(self, name)) != defaults[name]}
        if not self.asked_execution:
            given.pop("execution", None)
        if self.layout is not None:
            given["layout"] = str(self.rank_layout)
            given.pop("devices", None)
        if isinstance(self.hardware, _core.Hardware):
            given["hardware"] = self.hardware.id
        if self.transfer is not None:
            given["transfer"] = str(self.data_transfer)
        if self.startup is not None:
            given["startup"] = str(self.replica_startup)
        return f"Deployment({', '.join(f'{name}={value!r}' for name, value in given.items())})"

    @cached_property
    def _identity(self) -> tuple[Any, ...]:
        """All that results depend on, as a hashable value."""
        machine = self.__dict__["_machine"]
        return (
            None if machine is None else _facts(machine),
            self.rank_layout,
            self.precision,
            self.engine,
            self.serving,
            self.execution,
            self.threads,
            self.instances,
            self.device_price,
            self.utilization,
            self.place,
            self.transfer,
            self.startup,
        )


OPTIONS = tuple(field.name for field in dataclasses.fields(Deployment))
"""Fields of a `Deployment`, which functions also accept as keywords."""

_PLAIN = ("devices", "precision", "engine", "execution", "utilization")
_OF_MACHINE = frozenset({"hardware", "threads", "instances", "sustained", "host"})
_NEED_HARDWARE = {
    "devices": "it is a number of machines",
    "layout": "it is of several machines",
    "threads": "they are threads of a machine",
    "instances": "they are copies on a machine",
    "sustained": "it is the load of a machine",
    "host": "it is the host of a machine",
    "price": "it is of an hour of a machine",
    "region": "it is the location of a machine",
    "transfer": "it uses the links of a machine",
    "startup": "it is the start of a machine",
}

_HARDWARE_FIELDS = (
    "id",
    "name",
    "kind",
    "family",
    "cores",
    "clock_hz",
    "matrix_flop_per_s",
    "vector_flop_per_s",
    "memory",
    "array",
    "sparsity_2_4",
    "overheads_s",
    "achieved",
    "power_w",
    "links_byte_per_s",
    "spread",
    "constants",
    "evidence",
    "provenance",
)


def checked_field(name: str, value: Any) -> Any:
    """Return the value of a field that needs no look-up; of `layout` and `serving` as text.

    Raises:
        DeploymentError: The value is unknown or out of range.
    """
    if name == "devices":
        return whole(value, name, COUNT, DeploymentError)
    if name == "utilization":
        return number(value, name, UTILIZATION, DeploymentError)
    if name == "layout":
        return str(Layout.parse(value))
    if name == "serving":
        return str(Serving.parse(value))
    known = _NAMES[name]()
    if value not in known:
        raise DeploymentError(f"unknown {name} {shown(value)}; expected one of {', '.join(known)}")
    return value


def execution_of(engine: str, execution: str) -> str:
    """Return how an engine runs its kernels.

    Args:
        engine: The engine.
        execution: As asked for; empty for the engine's own way.

    Raises:
        DeploymentError: The engine has no such execution.
    """
    known = executions_of(engine)
    if execution not in ("", *known):
        raise DeploymentError(
            f"execution is {shown(execution)}, and the kernels of engine {engine} are fused already; expected "
            f"{' or '.join(known)}, or none for the recorded graphs that the engine makes itself"
        )
    return execution or known[0]


def executions_of(engine: str) -> tuple[str, ...]:
    """Return the ways in which an engine runs its kernels, its own way first."""
    return tuple(_core.executions()) if engine == TORCH else ("cuda_graph", "eager")


def forms_steps(engine: str) -> bool:
    """Return whether an engine forms steps of the requests that it serves, with kernels of attention of its own."""
    return engine != TORCH and engine not in _core.compilers()


TORCH = "torch"
"""The engine that runs a graph as it was captured."""

_NAMES = {"precision": _core.precisions, "engine": _core.engines, "execution": _core.executions}


def deployment_of(
    on: Deployment | None,
    *,
    hardware: HardwareLike | None = None,
    devices: SupportsIndex | None = None,
    layout: LayoutLike | None = None,
    precision: str | None = None,
    engine: str | None = None,
    serving: ServingLike | None = None,
    execution: str | None = None,
    threads: int | None = None,
    instances: SupportsIndex | None = None,
    sustained: bool | None = None,
    host: HostLike | None = None,
    price: PriceLike | None = None,
    utilization: float | None = None,
    region: str | None = None,
    transfer: TransferLike | None = None,
    startup: StartupLike | None = None,
) -> Deployment:
    """Return the deployment that `on=` and the keywords of a call describe.

    Args:
        on: The deployment to start from; None starts from the defaults.
        hardware: Overrides this field unless None, as do the others.

    Raises:
        InputTypeError: `on` is no `Deployment`, or a field has several values.
        InputError: As for `Deployment`.
    """
    keywords = {
        "hardware": hardware,
        "devices": devices,
        "layout": layout,
        "precision": precision,
        "engine": engine,
        "serving": serving,
        "execution": execution,
        "threads": threads,
        "instances": instances,
        "sustained": sustained,
        "host": host,
        "price": price,
        "utilization": utilization,
        "region": region,
        "transfer": transfer,
        "startup": startup,
    }
    given: dict[str, Any] = {name: value for name, value in keywords.items() if value is not None}
    for name in ("hardware", *_NAMES, "price"):
        if isinstance(given.get(name), (list, tuple, set, frozenset)):
            raise InputTypeError(
                f"{name} is of type {type(given[name]).__name__}; expected one value. Several are for sweep(), which "
                "predicts all combinations, and for compare(), which shows models and machines side by side"
            )
    if on is None:
        return Deployment(**given)
    if not isinstance(on, Deployment):
        raise InputTypeError(f"on is of type {type(on).__name__}; expected a Deployment, or hardware= with the machine")
    return on.replace(**given) if given else on


def _loaded(
    hardware: HardwareLike, threads: int | None, instances: int, *, sustained: bool, host: HostLike | None
) -> _core.Hardware:
    """Return the machine; one that was loaded as sustained stays so."""
    already = isinstance(hardware, _core.Hardware) and hardware.sustained
    return load(hardware, threads=threads, instances=instances, sustained=sustained and not already, host=host)


def _plain_price(price: Any) -> Any:
    if isinstance(price, Price):
        return dataclasses.asdict(price)
    if isinstance(price, Mapping):
        return {str(device): _plain_price(value) for device, value in price.items()}
    return fspath(price) if isinstance(price, PathLike) else price


def _plain(terms: Transfer | Startup) -> dict[str, Any]:
    """Return the fields of some terms that are not the defaults."""
    return {field.name: value for field in terms.fields if (value := getattr(terms, field.name)) != field.default}


def _hardware_from(document: Mapping[str, Any]) -> _core.Hardware:
    unknown = sorted(map(str, document.keys() - set(_HARDWARE_FIELDS)))
    if unknown:
        raise DeploymentError(
            f"hardware of the deployment has {', '.join(unknown)}; expected {', '.join(_HARDWARE_FIELDS)}"
        )
    try:
        return _core.Hardware(**document)
    except TypeError as error:  # of the conversion of arguments
        raise DeploymentError(
            "hardware of the deployment lacks a value, or has one of another type; expected what to_dict writes"
        ) from error


def _price_from(document: Any) -> Any:
    if not isinstance(document, Mapping):
        return document
    if "usd_per_h" not in document:
        return {
            device: _price_from(value) if isinstance(value, Mapping) and "usd_per_h" in value else value
            for device, value in document.items()
        }
    unknown = sorted(map(str, document.keys() - {field.name for field in dataclasses.fields(Price)}))
    if unknown:
        raise PriceError(f"the price has {', '.join(unknown)}; expected the fields of a Price")
    return Price(**{"text": "", **document})


@lru_cache(maxsize=512)  # by identity: a search asks for those of few machines, and reading them all takes 0.1 ms
def _facts(machine: _core.Hardware) -> str:
    """Return all that is known of a machine."""
    return machine.__getstate__()
