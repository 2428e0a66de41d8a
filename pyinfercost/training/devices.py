"""The device that training runs on, and what it could do at its dense peak."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ..hardware.dtypes import CORE_DTYPES, short_dtype
from .throughput import Peak

if TYPE_CHECKING:
    from .._core import Hardware


class Processes(NamedTuple):
    """This process among those that train together.

    Attributes:
        rank: 0 for the one that writes.
        world_size: how many there are.
    """

    rank: int
    world_size: int


def processes() -> Processes:
    """As `torch.distributed` says, or the environment of a launcher, or this process alone."""
    distributed: Any = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return Processes(distributed.get_rank(), distributed.get_world_size())
    rank, count = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    return Processes(int(rank), int(count)) if rank.isdigit() and count.isdigit() else Processes(0, 1)


def training_machine(hardware: Any, module: torch.nn.Module, threads: int | None) -> tuple[Hardware | None, str]:
    """The machine that is trained on, and why it is not known where it is None.

    Args:
        hardware: what `hardware.load` takes, None for none, or `"auto"`: the GPU that holds the weights.
        module: in training.
        threads: of a CPU.
    """
    from ..hardware import load

    if hardware is None:
        return None, "training_hardware is None: no MFU and MBU"
    if hardware != "auto":
        return load(hardware, threads=threads), ""
    device = next((t.device for t in module.parameters()), torch.device("cpu"))
    if device.type != "cuda":
        return None, (
            f"weights are on {device.type}, whose peak nothing tells: give training_hardware= for MFU and MBU: an id "
            "from the catalogue or the file that `pyinfercost calibrate` writes"
        )
    facts = torch.cuda.get_device_properties(device)
    from ..hardware import identify

    found = identify(facts.name, cores=facts.multi_processor_count, memory_bytes=facts.total_memory)
    if found is None:
        return None, (
            f"{facts.name} with {facts.multi_processor_count} cores and {facts.total_memory / 2**30:.1f} GiB is no "
            "device of the catalogue: give training_hardware= for MFU and MBU"
        )
    return load(found), ""


def training_precision(precision: str | None, module: torch.nn.Module) -> str:
    """The dtype of products in training.

    Args:
        precision: what a caller said, such as `bf16` under autocast; None takes the dtype of most weights, and for
            fp32 on a GPU whether torch may use TF32.
        module: in training.

    Raises:
        ValueError: for a dtype without a peak of its own.
    """
    if precision is not None:
        short = precision.removeprefix("amp_")
        if short not in CORE_DTYPES:
            raise ValueError(f"training_precision is {precision!r}; expected one of {', '.join(CORE_DTYPES)}")
        return short
    elements: dict[torch.dtype, int] = {}
    for tensor in module.parameters():
        elements[tensor.dtype] = elements.get(tensor.dtype, 0) + tensor.numel()
    most = max(elements, key=elements.__getitem__, default=torch.float32)
    short = short_dtype(str(most).removeprefix("torch."))
    short = short if short in CORE_DTYPES else "fp32"
    on_gpu = any(t.device.type == "cuda" for t in module.parameters())
    return "tf32" if short == "fp32" and on_gpu and torch.get_float32_matmul_precision() != "highest" else short


def peak_of(machine: Hardware, precision: str) -> Peak:
    """The dense peak of a machine: of its matrix unit or its vector unit, whichever is higher in this dtype."""
    dtype = CORE_DTYPES.get(precision, precision)
    rates = [of[dtype] for of in (machine.matrix_flop_per_s, machine.vector_flop_per_s) if dtype in of]
    return Peak(machine.id, max(rates, default=None), machine.bandwidth_byte_per_s or None)


class TrainingDevice(NamedTuple):
    """What is trained on, as far as it is known.

    Attributes:
        peak: of one device; None where the machine is not known.
        usd_per_h: of one device; None where nobody said.
        notes: what is not known and why.
    """

    peak: Peak | None
    usd_per_h: float | None
    notes: tuple[str, ...]


def training_device(module: torch.nn.Module, hardware: Any, precision: str | None, price: Any) -> TrainingDevice:
    """Puts together what a caller says of the device, and what the module's weights do.

    Args:
        module: in training.
        hardware: as `training_machine` takes it.
        precision: as `training_precision` takes it.
        price: of an hour, as in `estimate`.

    Raises:
        ValueError: for a machine, a dtype or a price that is not known.
    """
    from ..deployment.terms import price_of_device

    machine, why = training_machine(hardware, module, None)
    short = training_precision(precision, module)
    if isinstance(price, str) and machine is None:
        raise ValueError(f"training_price is {price!r} and the machine is not known: give training_hardware=")
    paid = price_of_device(price, "" if machine is None else machine.id, None)
    usd_per_h = None if paid is None else paid.usd_per_h
    if machine is None:
        return TrainingDevice(None, usd_per_h, (why,))
    peak = peak_of(machine, short)
    notes = (f"{machine.id} has no peak in {short}: no MFU",) if peak.flop_per_s is None else ()
    return TrainingDevice(peak, usd_per_h, notes)
