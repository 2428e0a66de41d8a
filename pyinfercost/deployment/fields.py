"""The fields of a `Deployment`: type, range, default, sentence and option of each."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

from .. import _core
from .._checks import COUNT, is_number
from .._checks import number as number_of
from ..hardware.hosts import HostLike
from ..inputs.engine_settings import EngineSettings, EngineSettingsLike
from ..inputs.layout import Layout, LayoutLike
from ..inputs.price import USD_PER_H, UTILIZATION, PriceError
from ..inputs.settings import Settings, converted, flag, number, whole, word
from ..inputs.startup import Startup, StartupLike
from ..inputs.transfer import Transfer, TransferLike
from .engines import TORCH, DeploymentError

if TYPE_CHECKING:
    from .prices import PriceLike

HardwareLike: TypeAlias = "str | PathLike[str] | _core.Hardware"
"""A machine: an id of the catalog (`"l4"`), the path of a TOML file, or a `Hardware`."""


def _as_given(value: Any) -> Any:
    """Return a value that is resolved later, together with others."""
    return value


def _serving_text(value: Any) -> str:
    return str(EngineSettings.parse(value)) if value else ""


def _price_as_given(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)  # later changes of the caller's mapping have no effect
    if is_number(value) and not isinstance(value, (int, float)):
        return number_of(value, "price", USD_PER_H, PriceError)  # of numpy
    return value


class DeploymentFields(Settings):
    """The fields, each checked by itself; `Deployment` resolves their names together."""

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
        "its own. They share cores, caches, DRAM bandwidth, memory and power equally. Latency is of one copy, "
        "throughput of all.",
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
    serving: EngineSettingsLike = converted(
        _serving_text,
        'How a serving engine forms its steps: `"draft_tokens=4,acceptance=0.8"` or what else '
        "`EngineSettings.parse` accepts; the field is the text. Empty for the engine's own settings.",
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
        "graph). The empty text, the default, stands for the engine's default: eager in torch, a recorded graph in "
        "serving engines, whose kernels are fused already.",
        default="",
        option=(
            "default: eager, and cuda_graph in serving engines; cuda_graph replays eager kernels, reduce-overhead "
            "compiled ones."
        ),
    )
    devices: int = whole(
        COUNT,
        "Number of these machines, 1 to 1,000,000; a multiple of the devices of `layout`, which is repeated on them. "
        "1, the default, stands for the devices of the layout.",
        default=1,
        option="Number of devices; default: the devices of --layout.",
        metavar="N",
    )
    layout: LayoutLike | None = converted(
        Layout.parse,
        'How the model lies on the devices, as a `Layout` or its text, such as `"tensor=4,data=2"`. Without one, each '
        "has the whole model and they exchange nothing. Copies of the model share the batch; the largest share, "
        "ceil(batch / copies), sets latency and memory.",
        default=None,
        option=(
            "How the model lies on the devices, such as tensor=4 or tensor=8,expert=8; by default each has all "
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


OPTIONS = tuple(field.name for field in DeploymentFields.fields)
"""Fields of a `Deployment`, which functions also accept as keywords."""

_WITHOUT_HARDWARE = frozenset({"hardware", "precision", "engine", "serving", "execution", "utilization"})


def needs_machine(name: str) -> bool:
    """Return whether a field is of a machine, so that it needs `hardware`."""
    return name not in _WITHOUT_HARDWARE


def checked_field(name: str, value: Any) -> Any:
    """Return the value of a field, checked by itself; of `layout` as text.

    Raises:
        InputError: The value is unknown or out of range.
    """
    found = next(each for each in DeploymentFields.fields if each.name == name).checked(value, name, DeploymentError)
    return str(found) if isinstance(found, Layout) else found
