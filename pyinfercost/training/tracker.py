"""`CostTracker`: cost to serve the model in training, and utilization of the training device."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from ..deployment.keywords import shows
from ..deployment.options import DeploymentAxes
from ..errors import InputError, InputTypeError
from ..predict.budgets import CostBudget, WatchedBudget
from ..results.record import CostRecord
from ..results.sinks import open_sinks
from ..sources.example import Dynamic, Example, ShapeError, Sizes, example_of
from .cost_to_serve import ServingConfig, without_labels
from .isolation import Guard, GuardedSink
from .served_model import ServedModel
from .settings import checked_count, serving_deployments
from .throughput import Throughput, Totals, processes, training_device
from .training_step import TrainingWork
from .utilization import Utilization

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ..deployment import Deployment

_SCHEMA_VERSION = 1


class CostTracker:
    """Predict the cost to serve a model while it is trained, and measure how training uses its device.

    One object serves any training loop. The model is traced on meta tensors when the tracker is created. After that
    nothing is patched and no hook remains, so training takes the same steps as without it, to the last bit. A failure
    of the tracker issues one warning and disables it; training continues. A batch without items is left out. A sink
    that fails issues one warning, and gets the next record.

    Attributes:
        every: Steps between two records.
        last: The last record; None before the first.

    Args:
        model: The module in training, in any wrapper (`torch.compile`, DDP, FSDP, masks, parametrizations, fake
            quantization). The cost is of the model that will be served.
        inputs: Example inputs of a served forward: a tuple of positional inputs, a lone input, a mapping of keyword
            inputs, or an `Inputs` with both kinds.
        on: Where and how the model will be served: one deployment or several, whose fields keywords override.
        sizes: Values of named sizes to serve at, such as `{"batch": 1}`; the example's by default.
        dynamic: Varying dimensions, as in `capture`: `{"input_ids": {0: "batch", 1: "sequence"}}`. By default the
            first, if all inputs share it, as `batch`.
        quantize: Formats of the weights after training, as in `whatif`; their cost is under `converted/`. By default
            those that quantization-aware training prepares.
        every: Optimizer steps between two records.
        sparsity: Whether to count zeros of the weights for each record.
        sparsity_threads: Threads of that scan.
        sinks: Destinations of records: `"stdout"`, `"costs.jsonl"`, `"costs.csv"`, `"tensorboard:DIR"`, `"wandb"`,
            `"mlflow"`, `"prometheus"`, a function, or a `Sink`; one, several, or `()` for none.
        budgets: Limits; one with the action `"raise"` ends training with a `CostBudgetExceededError`.
        training: Whether to report throughput, MFU, HFU and MBU, which need a capture of a training step.
        training_inputs: Example inputs of a training step (with labels), if they differ.
        loss: From the model's result to a scalar, as in `capture`.
        causal: Whether MFU counts only the part of attention that a causal mask keeps.
        accumulation: Forwards per optimizer step, if `micro_batch` is not called.
        training_hardware: The training machine; `"auto"` recognizes the GPU. None, or a CPU without a name: no MFU.
        training_precision: Dtype of products in training (`bf16` under autocast); by default the weights' dtype.
        training_price: Of an hour of one training device, as `price`.
        devices_per_replica: Devices that share one forward (tensor or pipeline parallel).
        enabled: False for a tracker that does nothing.
        **options: Fields of `Deployment`, such as `hardware`, which take precedence over `on`; several machines
            may be given, and prices by machine.

    Raises:
        InputError: A setting is invalid. Failures of the model itself are warnings.
        CostBudgetExceededError: The model exceeds a budget from the start.
    """

    @shows(DeploymentAxes)
    def __init__(
        self,
        model: torch.nn.Module,
        inputs: Any = (),
        *,
        on: Deployment | Sequence[Deployment] | None = None,
        sizes: Mapping[str, int] | None = None,
        dynamic: Dynamic | None = None,
        quantize: Any = None,
        every: int = 10,
        sparsity: bool = True,
        sparsity_threads: int = 1,
        sinks: Any = "stdout",
        budgets: CostBudget | Sequence[CostBudget] = (),
        training: bool = True,
        training_inputs: Any = None,
        loss: Callable[[Any], Any] | None = None,
        causal: bool = False,
        accumulation: int = 1,
        training_hardware: Any = "auto",
        training_precision: str | None = None,
        training_price: Any = None,
        devices_per_replica: int = 1,
        enabled: bool = True,
        **options: Unpack[DeploymentAxes],
    ) -> None:
        if not isinstance(model, torch.nn.Module):
            raise InputTypeError(f"model is of type {type(model).__name__}; expected the nn.Module in training")
        self.every = checked_count("every", every)
        self.last: CostRecord | None = None
        self._guard = Guard("cost tracking")
        self._model = model
        self._step = 0
        self._wanted = enabled
        threads = checked_count("sparsity_threads", sparsity_threads)
        devices_per_replica = checked_count("devices_per_replica", devices_per_replica)
        checked_count("accumulation", accumulation)
        limits = [budgets] if isinstance(budgets, CostBudget) else budgets
        watched = [WatchedBudget(budget) for budget in limits]
        config = ServingConfig(serving_deployments(on, options), sizes, quantize)
        for name, size in (sizes or {}).items():
            checked_count(f"size {name}", size)
        device = training_device(model, training_hardware, training_precision, training_price)
        self._notes = device.notes
        self._utilization = Utilization(device, devices_per_replica)
        self._serving: ServedModel | None = None
        self._sinks: list[GuardedSink] = []
        if not enabled:
            return
        writes = processes().rank == 0  # the other processes neither predict nor write
        if writes:
            self._sinks = [GuardedSink(sink) for sink in open_sinks(sinks)]
        trained = example_of(inputs, dynamic)
        served = without_labels(model, trained)
        if training_inputs is not None:
            trained = example_of(training_inputs, dynamic)
        _check_items(served, trained)

        def prepare() -> ServedModel | None:
            self._read: Callable[..., Sizes] = trained.reader()
            self._throughput = Throughput(trained.sizes(), accumulation)
            if not writes:
                return None
            serving = ServedModel(model, config, served, watched, threads if sparsity else 0)
            if training:
                self._utilization.capture(partial(TrainingWork, model, trained, loss=loss, causal=causal))
            return serving

        self._serving = self._guard.run(prepare)
        if self._serving is not None:
            self._serving.check_budgets(stacklevel=4)

    @property
    def enabled(self) -> bool:
        """Whether the tracker is active."""
        return self._wanted and self._guard.on

    @property
    def error(self) -> Exception | None:
        """The exception that disabled the tracker; None if it did not fail."""
        return self._guard.error

    def __repr__(self) -> str:
        on = "off" if not self.enabled else f"every {self.every} steps"
        return f"<CostTracker of {type(self._model).__name__}: {on}, step {self._step}>"

    def micro_batch(self, *args: Any, lengths: Any = None, **kwargs: Any) -> None:
        """Report a forward and backward, before `step`.

        Call it if batches differ in their sizes, or in how many of them make a step.

        Args:
            *args: Inputs of the training step; only shapes are read. None for the example's.
            lengths: Real lengths of the sequences of a padded batch, a list or a tensor, which is not read before the
                next record. FLOPs of padding are not useful, so MFU omits them.
            **kwargs: Named inputs.
        """
        if not (self._wanted and self._guard.error is None) or self._serving is None:
            return
        try:
            self._throughput.batch(self._read(args, kwargs) if args or kwargs else None, lengths)
        except ShapeError as error:
            self._throughput.unlike(str(error))
        except Exception as error:
            self._guard.stop(error)

    def step(self, step: int | None = None) -> CostRecord | None:
        """Report an optimizer step.

        Args:
            step: Number of steps done, if the loop counts them; by default one more than before.

        Returns:
            A record after every `every` steps, on the process that writes; else None.

        Raises:
            CostBudgetExceededError: The model exceeds a budget with the action `"raise"`.
        """
        if not (self._wanted and self._guard.error is None):
            return None
        self._step = self._step + 1 if step is None else step
        if self._serving is None:  # another process writes
            return None
        self._throughput.step()
        if self._step % self.every:
            return None
        return self._guard.run(self._record, self._serving, write=True)

    def record(self) -> CostRecord | None:
        """Return a record of the current state, for no sink; None if disabled, or on a process that does not write."""
        if not self.enabled or self._serving is None:
            return None
        return self._guard.run(self._record, self._serving, write=False)

    def _record(self, serving: ServedModel, *, write: bool) -> CostRecord:
        if serving.look():
            self._utilization.outdate()
            self._throughput.unlike("the model changed during these steps")
        notes = list(self._notes)
        metrics = serving.figures(notes)
        window = self._throughput.take() if write else None
        if window is not None:
            metrics["training/step_s"] = window.seconds / window.steps
            metrics |= self._utilization.figures(window, notes)
        if self._utilization.note:
            notes.append(self._utilization.note)
        self.last = CostRecord(self._step, metrics, tuple(dict.fromkeys(notes)))
        if write:
            for sink in self._sinks:
                sink.write(self._step, metrics)
        serving.check_budgets(stacklevel=7)
        return self.last

    def pause(self) -> None:
        """Stop the clock, for validation or a checkpoint; `resume` restarts it."""
        if self.enabled:
            self._throughput.pause()

    def resume(self) -> None:
        """Restart the clock."""
        if self.enabled:
            self._throughput.resume()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Call `pause` before and `resume` after a block."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint, as plain JSON values: the step and the totals of the training."""
        return {"schema_version": _SCHEMA_VERSION, "step": self._step, "totals": dict(vars(self._utilization.totals))}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state of `state_dict`.

        Raises:
            InputError: The state has another version, or other keys.
        """
        if state.get("schema_version") != _SCHEMA_VERSION or not {"step", "totals"} <= state.keys():
            raise InputError(
                f"the state has schema_version {state.get('schema_version')!r} and keys {sorted(state)}; expected "
                f"version {_SCHEMA_VERSION}, as CostTracker.state_dict() returns it"
            )
        self._step = int(state["step"])
        self._utilization.totals = Totals(**state["totals"])

    def close(self) -> None:
        """Close the sinks. A later step still counts, and writes nothing."""
        sinks, self._sinks = self._sinks, []
        for sink in sinks:
            sink.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _check_items(*examples: Example) -> None:
    for example in examples:
        try:
            sizes = example.sizes()
        except (ShapeError, IndexError, KeyError, TypeError):  # the preparation fails alike and reports it
            continue
        empty = [name for name, size in zip(example.names, sizes, strict=True) if size == 0]
        if empty:
            raise InputError(f"{', '.join(empty)} of the example inputs is 0; pass an example with at least one item")
