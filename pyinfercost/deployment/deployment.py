"""`Deployment`: where and how a model runs, as one value that every function takes as `on=`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import isnan
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

from .. import _core
from .._checks import COUNT, is_number, shown
from .._checks import number as number_of
from .._lazy import cached_property
from ..errors import InputTypeError
from ..hardware import load
from ..hardware.hosts import HostLike
from ..inputs.layout import Layout, LayoutLike
from ..inputs.place import Place
from ..inputs.price import USD_PER_H, UTILIZATION, Price, PriceError
from ..inputs.serving import Serving, ServingLike
from ..inputs.settings import Settings, converted, flag, number, whole, word
from ..inputs.startup import Startup, StartupLike
from ..inputs.transfer import Transfer, TransferLike
from .cold_starts import default_startup
from .documents import hardware_from, plain_hardware, plain_price, plain_terms, price_from
from .engines import TORCH, DeploymentError, execution_of, forms_steps

if TYPE_CHECKING:
    from typing_extensions import Self

    from .prices import PriceLike

HardwareLike: TypeAlias = "str | PathLike[str] | _core.Hardware"
"""A machine: an id of the catalog (`"l4"`), the path of a TOML file, or a `Hardware`."""

SCHEMA_VERSION = 1

_ALONE = Layout()  # searches make thousands of deployments, and checking the layout of one device takes a tenth of that


def _as_given(value: Any) -> Any:
    """Return a value that is resolved later, together with others."""
    return value


def _serving_text(value: Any) -> str:
    return str(Serving.parse(value)) if value else ""


def _price_as_given(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)  # later changes of the caller's mapping have no effect
    if is_number(value) and not isinstance(value, (int, float)):
        return number_of(value, "price", USD_PER_H, PriceError)  # of numpy
    return value


class Deployment(Settings):
    """Where and how a model runs.

    Names are resolved and checked when the value is made, so that an unknown machine, price or place fails at once. Two
    deployments are equal if they resolve to equal values: `Deployment(hardware="l4")` equals
    `Deployment(hardware=ic.hardware.load("l4"))`.

    Raises:
        InputError: A name is unknown, a value is out of range, or a field needs hardware that is not given.
    """

    kind = "deployment"
    error = DeploymentError
    hardware: HardwareLike | None = converted(
        _as_given,
        'The machine: an id of the catalog (`"a100-sxm-80gb"`), the path of a TOML file, or a `Hardware`. With None '
        "the model is only counted, at `precision`.",
        default=None,
        option=(
            "A machine of the catalog (l4, 'A100 SXM 80GB'), a TOML file, or this: the processor at hand; without "
            "it, times are not predicted."
        ),
    )
    threads: int | None = whole(
        COUNT,
        "Threads of a CPU, or of each copy on it, at least 1; None uses all cores.",
        default=None,
        option="Number of threads; CPUs only.",
    )
    instances: int = whole(
        COUNT,
        "Copies of the model side by side on one CPU, each in a process of its own with its own weights and a batch of "
        "its own. They share cores, caches, DRAM bandwidth, memory and power equally. Latency is that of one copy, and "
        "throughput that of all.",
        default=1,
        option="Number of copies of the model side by side; CPUs only.",
    )
    sustained: bool | None = flag(
        "Whether the machine runs without pause, so that its power limit bounds the clock (see `hardware.load`). None, "
        "the default, depends on the question: a short forward for one estimate, continuous load where the throughput "
        "is asked, as in sweeps and trackers (see `for_throughput`).",
        default=None,
        option=(
            "Continuous load, at the power limit of the board (GPUs only), or a short forward; default: a short "
            "forward, and continuous load in sweeps."
        ),
    )
    host: HostLike | None = converted(
        _as_given,
        "Host of a GPU: the microseconds that it takes to issue an operator of an eager forward, or a name of "
        '`hardware.hosts.HOSTS` (`"desktop"`, `"cloud"`). It bounds small batches. None, the default, is a host in the '
        "middle of those that were measured, with a band as wide as their differences.",
        default=None,
        option=(
            "Host of a GPU: microseconds to issue an operator, desktop (16.8) or cloud (37.3); default: between "
            "them. It bounds small batches."
        ),
        metavar="HOST",
    )
    precision: str = word(
        _core.precisions(),
        'Dtype to run in; `"native"` keeps the dtypes of the graph and the defaults of torch for them: convolutions '
        'and recurrent layers of float32 in TF32, by cuDNN. `"fp32"` is strict, `"tf32"` allows it everywhere.',
        default="native",
        option="default: native, torch's own defaults; fp32 never uses TF32.",
    )
    engine: str = word(
        _core.engines(),
        'What runs the model: `"torch"` runs the graph as captured; a serving engine (`"vllm"`, `"sglang"`, '
        '`"trtllm"`, `"llamacpp"`) its own kernels for a language model, and a compiler of whole models '
        '(`"tensorrt"`, `"onnxruntime"`) its own for any model, see `engine_graph`.',
        default=TORCH,
        option="default: torch, as captured; serving engines run language models in kernels of their own.",
    )
    serving: ServingLike = converted(
        _serving_text,
        'How a serving engine forms its steps: `"draft_tokens=4,acceptance=0.8"` or what else `Serving.parse` accepts; '
        "the field holds the text. Empty for the engine's own settings.",
        default="",
        option=(
            "How a serving engine forms its steps. Comma-separated: draft_tokens=4, acceptance=0.8, "
            "draft_layers=1, prefix_hit=0.5, chunk_tokens=2048, async_scheduling, graph_batches=1:2:4:8."
        ),
        metavar="SETTINGS",
    )
    execution: str = word(
        ("", *_core.executions()),
        '`"eager"` (one kernel per op), `"compiled"` (ops are fused), `"cuda_graph"` (eager kernels, launched from a '
        'recorded graph) or `"reduce-overhead"` (a mode of `torch.compile`: fused kernels, launched from a recorded '
        "graph). The empty text, the default, stands for the engine's own way: eager in torch, a recorded graph in "
        "serving engines, whose kernels are fused already.",
        default="",
        option=(
            "default: eager, and cuda_graph in serving engines; cuda_graph replays eager kernels, reduce-overhead "
            "compiled ones."
        ),
    )
    devices: int = whole(
        COUNT,
        "Number of these machines, 1 to 1,000,000; a multiple of those of `layout`, which is repeated on them. 1, the "
        "default, stands for the devices of the layout.",
        default=1,
        option="Number of devices; default: those of --layout.",
        metavar="N",
    )
    layout: LayoutLike | None = converted(
        Layout.parse,
        'How the model lies on the devices, as a `Layout` or its text, such as `"tensor=4,data=2"`. Without one, each '
        "holds the whole model and they exchange nothing. Copies of the model share the batch; the largest share, "
        "ceil(batch / copies), sets latency and memory.",
        default=None,
        option=(
            "How the model lies on the devices, such as tensor=4 or tensor=8,expert=8; by default each holds all "
            "of it, and they share the batch."
        ),
        metavar="LAYOUT",
    )
    price: PriceLike | None = converted(
        _price_as_given,
        'Price of an hour of one device: USD (`2.49`), an instance (`"aws/g6.4xlarge:spot"`), `"on-demand"` (the '
        "cheapest known offer) or what else `parse_price` accepts. None leaves costs out. Whole instances are paid "
        "for, and their unused devices, too (see `rent`).",
        default=None,
        option=(
            "Price of a device-hour: 2.49/h, an instance such as aws/g6.4xlarge or p5.48xlarge:spot, on-demand or "
            "spot (the cheapest known offer), or a .toml file. Adds cost_usd."
        ),
        metavar="PRICE",
    )
    utilization: float = number(
        UTILIZATION,
        "Share of the paid time in which the devices work, 1e-6 to 1.",
        default=1.0,
        option="Fraction of the paid time in which devices are busy, 1e-6 to 1; default: 1.",
    )
    region: str | None = converted(
        _as_given,
        'Location of the machine, for the carbon intensity of its grid: a country (`"deu"`), a cloud and its region '
        '(`"gcp/us-central1"`) or what else `place` accepts. None uses the region of the price, if it has one.',
        default=None,
        option=(
            "Location of the machine, for the carbon intensity of its grid: a country such as deu, or "
            "gcp/us-central1. Default: the region of the price. Adds carbon_g."
        ),
        metavar="PLACE",
    )
    transfer: TransferLike | None = converted(
        Transfer.parse,
        "How inputs reach the device and results return, such as "
        '`"pinned,overlapped,network_gbit_per_s=10,egress=aws"` or what else `Transfer.parse` accepts; its time is '
        "then part of the cost. None reports copies from and to pageable memory and leaves them out of the cost.",
        default=None,
        option=(
            "How inputs and results are transferred; adds the transfer to the cost. Comma-separated: pinned or "
            "pageable, overlapped, network_gbit_per_s=10, network_rtt_s=0.01, egress=aws, response_bytes=2000."
        ),
        metavar="TERMS",
    )
    startup: StartupLike | None = converted(
        Startup.parse,
        'How a replica starts, for its cold start: `"machine=cloud,image_gb=8,loader=sllm,warmup=engine"` or what else '
        "`Startup.parse` accepts. None: `default_startup` of the engine.",
        default=None,
        option=(
            "How a replica starts, for cold_start_s. Comma-separated: machine=cloud (or running, pool, seconds), "
            "image_gb=8, weights_from=network (or nvme, memory, pinned, GB/s), loader=safetensors (or sllm), "
            "warmup=engine (or seconds)."
        ),
        metavar="TERMS",
    )

    @classmethod
    def _named(cls, name: str) -> str:
        return name

    def _check(self) -> None:
        self._resolve(None)

    def _resolve(self, machine: _core.Hardware | None) -> None:
        """Check fields with each other and resolve names; the machine is loaded unless it is given."""
        asked = dict(vars(self))
        found: dict[str, Any] = {"_asked": asked, "execution": execution_of(self.engine, self.execution)}
        layout = _ALONE if self.layout is None else Layout.parse(self.layout)
        found["_layout"] = layout = layout if self.devices == 1 else layout.on(self.devices)
        found["devices"] = layout.devices
        if self.layout is not None:
            found["layout"] = layout
        if self.serving and not forms_steps(self.engine):
            raise DeploymentError(
                f"serving is {shown(self.serving)}, and engine {self.engine} forms no steps; pass a serving engine, "
                "such as engine='vllm', or leave serving out"
            )
        if layout.context > 1 and self.serving and self.settings.chunk_tokens:
            raise DeploymentError(
                f"serving is {shown(self.serving)}, and layout {layout} shares the tokens of prompts; pass "
                "chunk_tokens or context, and not both"
            )
        price = rent = None
        if self.hardware is None:
            for each in self.fields:
                if needs_machine(each.name) and getattr(self, each.name) != each.default:
                    raise DeploymentError(
                        f"{each.name} is given without hardware; pass hardware= with the machine, such as hardware='l4'"
                    )
        else:
            machine = machine or _loaded(
                self.hardware, self.threads, self.instances, sustained=bool(self.sustained), host=self.host
            )
            if machine.sustained:  # also one that was loaded so
                found["sustained"] = True
            if self.price is not None:
                threads = None if self.threads is None else self.threads * self.instances
                from .prices import parse_price

                nodes = _core.nodes_of(machine, layout.devices, layout.nodes)
                replica = _core.RentedDevices(layout.devices, layout.together, nodes)
                price = parse_price(self.price, machine.id, threads=threads, together=replica.together)
                rent = _core.Rent(replica, price.usd_per_h, price.devices)
        self.__dict__.update(found, _machine=machine, _price=price, _rent=rent)
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
        asked: str = self.__dict__["_asked"]["execution"]
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
        return Transfer() if self.transfer is None else Transfer.parse(self.transfer)

    @property
    def replica_startup(self) -> Startup:
        """The resolved `startup`; `default_startup` of the engine if it is None."""
        return default_startup(self.engine) if self.startup is None else Startup.parse(self.startup)

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
        checks = {each.name: each for each in self.fields}
        if unknown := changes.keys() - checks.keys():
            raise InputTypeError(f"a deployment has no {', '.join(sorted(unknown))}; expected {', '.join(OPTIONS)}")
        machine = changes.get("hardware")
        if machine is not None:
            changes = {"threads": None, "instances": 1, "host": None, **changes}
        if isinstance(machine, _core.Hardware):
            changes.setdefault("sustained", machine.sustained)
        other = object.__new__(type(self))
        kept = {**self.__dict__["_asked"], "sustained": self.sustained}
        other.__dict__.update(
            kept, **{name: checks[name].checked(value, name, self.error) for name, value in changes.items()}
        )
        other._resolve(self.__dict__["_machine"] if _OF_MACHINE.isdisjoint(changes) else None)
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
        return {
            "schema_version": SCHEMA_VERSION,
            **{name: getattr(self, name) for name in OPTIONS},
            "execution": self.asked_execution,
            "layout": None if self.layout is None else self.rank_layout.given,
            "hardware": plain_hardware(self.hardware),
            "price": plain_price(self.price),
            "transfer": None if self.transfer is None else plain_terms(self.data_transfer),
            "startup": None if self.startup is None else plain_terms(self.replica_startup),
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
            fields["hardware"] = hardware_from(fields["hardware"])
        fields["price"] = price_from(fields.get("price"))
        return cls(**fields)

    def __eq__(self, other: object) -> bool:
        return self._identity == other._identity if isinstance(other, Deployment) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity)

    def __str__(self) -> str:
        return repr(self)

    def __repr__(self) -> str:
        given = {each.name: value for each in self.fields if (value := getattr(self, each.name)) != each.default}
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


OPTIONS = tuple(field.name for field in Deployment.fields)
"""Fields of a `Deployment`, which functions also accept as keywords."""

_OF_MACHINE = frozenset({"hardware", "threads", "instances", "sustained", "host"})
_WITHOUT_HARDWARE = frozenset({"hardware", "precision", "engine", "serving", "execution", "utilization"})


def needs_machine(name: str) -> bool:
    """Return whether a field is of a machine, so that it needs `hardware`."""
    return name not in _WITHOUT_HARDWARE


def checked_field(name: str, value: Any) -> Any:
    """Return the value of a field, checked by itself; of `layout` as text.

    Raises:
        InputError: The value is unknown or out of range.
    """
    found = next(each for each in Deployment.fields if each.name == name).checked(value, name, DeploymentError)
    return str(found) if isinstance(found, Layout) else found


def _loaded(
    hardware: HardwareLike, threads: int | None, instances: int, *, sustained: bool, host: HostLike | None
) -> _core.Hardware:
    """Return the machine; one that was loaded as sustained stays so."""
    already = isinstance(hardware, _core.Hardware) and hardware.sustained
    return load(hardware, threads=threads, instances=instances, sustained=sustained and not already, host=host)


@lru_cache(maxsize=512)  # by identity: a search asks for few machines, and reading them all takes 0.1 ms
def _facts(machine: _core.Hardware) -> str:
    """Return all that is known of a machine."""
    return machine.__getstate__()
