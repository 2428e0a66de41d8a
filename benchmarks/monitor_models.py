"""Measured beside predicted times of models that a Monitor watches on this CPU, and the alarm at a slowdown.

    pyinfercost calibrate --output this.toml
    python -m benchmarks.monitor_models --hardware this.toml [--seconds 30] [--slow-seconds 240] [--only MODEL ...]

Each model serves requests of one batch size after another for a while. Printed are the ratio of measured to predicted
seconds, the band, and whether the ratio lies in it. Then each call takes 1.5 times as long: the number of readings,
one each 15 s, after which `measured_to_first` is above the limit of the alert. As in a calibration, glibc's heap keeps
freed memory; with `--default-heap` it returns what is above its threshold after each forward, and maps it anew in the
next.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import pyinfercost as ic
from pyinfercost.measuring.heap import keep_freed_memory

SCRAPE_S = 15.0
LIMIT = 1.25
SLOWER = 1.5


def vision(name: str) -> Callable[[int], tuple[nn.Module, tuple[torch.Tensor, ...]]]:
    """Return the maker of a model of torchvision and its inputs."""

    def make(batch: int) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
        import torchvision

        return torchvision.models.get_model(name, weights=None).eval(), (torch.rand(batch, 3, 224, 224),)

    return make


def language(kind: str, tokens: int, **settings: Any) -> Callable[[int], tuple[nn.Module, tuple[torch.Tensor, ...]]]:
    """Return the maker of a model of transformers and its inputs."""

    def make(batch: int) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
        import transformers

        config = transformers.AutoConfig.for_model(kind, **settings)
        config.use_cache = False
        config.return_dict = False
        model = transformers.AutoModel.from_config(config).eval()
        return model, (torch.randint(0, 1000, (batch, tokens)),)

    return make


MODELS = {
    "resnet50": (vision("resnet50"), 4),
    "mobilenet_v3_large": (vision("mobilenet_v3_large"), 8),
    "efficientnet_b0": (vision("efficientnet_b0"), 4),
    "densenet121": (vision("densenet121"), 2),
    "convnext_tiny": (vision("convnext_tiny"), 2),
    "vit_b_16": (vision("vit_b_16"), 2),
    "swin_t": (vision("swin_t"), 2),
    "regnet_y_800mf": (vision("regnet_y_800mf"), 8),
    "bert-base": (language("bert", 128), 4),
    "gpt2": (language("gpt2", 64), 2),
    "distilbert": (language("distilbert", 256), 2),
    "vgg11": (vision("vgg11"), 1),
}


class Slowed(nn.Module):
    """A model whose calls take longer by a factor, from a moment on."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.factor = 1.0

    def forward(self, *inputs: torch.Tensor) -> Any:
        """Run the model, then wait."""
        began = time.perf_counter()
        result = self.model(*inputs)
        until = began + (time.perf_counter() - began) * self.factor
        while time.perf_counter() < until:
            pass
        return result


def serve(model: nn.Module, inputs: tuple[torch.Tensor, ...], seconds: float) -> None:
    """Call the model for a while, at one item and at the whole batch."""
    until = time.perf_counter() + seconds
    single = tuple(each[:1] for each in inputs)
    while time.perf_counter() < until:
        model(*single)
        model(*inputs)


def watch(name: str, hardware: str, seconds: float, slow_s: float) -> bool:
    """Print what a monitor says of one model; return whether all its parts lie in their bands."""
    make, batch = MODELS[name]
    model, inputs = make(batch)
    served = Slowed(model)
    all_in = True
    on = ic.Deployment(hardware=hardware, execution="eager")
    with torch.inference_mode(), ic.Monitor(model, inputs, on=on, name=name, energy=None) as monitor:
        serve(model, inputs, 3.0)  # not counted
        monitor.instrument(served)
        serve(served, inputs, seconds)
        seen = monitor.snapshot()
        for each, measured_s in seen.values.items():
            if each.figure != "measured_s":
                continue
            ((_, part),) = each.labels
            predicted_s, low_s, high_s = (
                seen.value(figure, part=part) or 0.0
                for figure in ("predicted_s", "predicted_low_s", "predicted_high_s")
            )
            is_in = low_s <= measured_s <= high_s
            all_in &= is_in
            print(
                f"| {name} | {part} | {measured_s / predicted_s:.3f} | {low_s / predicted_s:.2f} .. "
                f"{high_s / predicted_s:.2f} | {'yes' if is_in else 'no'} |",
                flush=True,
            )
        if slow_s:
            print(f"| {name} | {SLOWER} times slower | {alarm(monitor, served, inputs, slow_s)} | | |", flush=True)
    return all_in


def alarm(monitor: ic.Monitor, served: Slowed, inputs: tuple[torch.Tensor, ...], slow_s: float) -> str:
    """Return after how many readings the slowdown is above the limit."""
    reading = 0
    until = time.perf_counter() + slow_s
    while time.perf_counter() < until:
        serve(served, inputs, SCRAPE_S)
        seen = monitor.snapshot()
        ratios = [value for each, value in seen.values.items() if each.figure == "measured_to_first"]
        if served.factor == 1.0:
            if ratios and max(ratios) > LIMIT:
                return f"false alarm: {max(ratios):.2f}"
            if len(ratios) == 2:
                serve(served, inputs, SCRAPE_S / 3)  # it begins between two readings
                served.factor = SLOWER
                serve(served, inputs, SCRAPE_S * 2 / 3)
                seen = monitor.snapshot()
                ratios = [value for each, value in seen.values.items() if each.figure == "measured_to_first"]
                reading = 1
                if max(ratios) > LIMIT:
                    return f"seen at reading 1: {max(ratios):.2f}"
            continue
        reading += 1
        if max(ratios) > LIMIT:
            return f"seen at reading {reading}: {max(ratios):.2f}"
    return "not seen"


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hardware", required=True)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--slow-seconds", type=float, default=0.0, help="0: no slowdown")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--default-heap", action="store_true")
    parser.add_argument("--only", nargs="*", default=list(MODELS))
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if not options.default_heap:
        keep_freed_memory()
    print("| model | part | measured / predicted | band | in it |\n|---|---|---|---|---|")
    found = [watch(name, options.hardware, options.seconds, options.slow_seconds) for name in options.only]
    print(f"{sum(found)} of {len(found)} models lie in their bands in every part")


if __name__ == "__main__":
    main()
