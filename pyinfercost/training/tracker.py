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
from .cost_to_serve import CostToServe, ServedCost, ServingConfig, without_labels
from .isolation import Guard, GuardedSink
from .settings import checked_count, serving_deployments
from .throughput import Throughput, Totals, Window, processes, training_device
from .throughput import utilization as training_utilization
from .training_step import TrainingWork
from .weight_sparsity import PlainNames, zeros_of

if TYPE_CHECKING:
    from types import TracebackType

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
        on: Where and how the model is going to be served: one deployment or several; keywords override their
            fields.
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
        budgets: Limits, each a `CostBudget`; one with the action `"raise"` ends training with a
            `CostBudgetExceededError`.
        training: Whether to report throughput, MFU, HFU and MBU, which need a capture of a training step.
        training_inputs: Example inputs of a training step (with labels), if they differ.
        loss: From the model's result to a scalar, as in `capture`.
        causal: Whether MFU counts only the part of attention that a causal mask keeps.
        accumulation: Forwards per optimizer step, if `micro_batch` is not called.
        training_hardware: The training machine; `"auto"` recognizes the GPU. None, or a CPU without a name: no MFU.
        training_precision: The dtype of products in training (`bf16` under autocast); by default the dtype of the
            weights.
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
        self._sparsity = sparsity
        self._names = PlainNames(model)
        self._sparsity_threads = checked_count("sparsity_threads", sparsity_threads)
        self._devices_per_replica = checked_count("devices_per_replica", devices_per_replica)
        checked_count("accumulation", accumulation)
        self._totals = Totals()
        self._notes: list[str] = []
        self._sinks: list[GuardedSink] = []
        budgets = [budgets] if isinstance(budgets, CostBudget) else list(budgets)
        self._budgets = [WatchedBudget(budget) for budget in budgets]
        deployments = serving_deployments(on, options)
        for name, size in (sizes or {}).items():
            checked_count(f"size {name}", size)
        config = ServingConfig(deployments, sizes, quantize)
        device = training_device(model, training_hardware, training_precision, training_price)
        self._peak, self._usd_per_h = device.peak, device.usd_per_h
        self._notes += device.notes
        if not enabled:
            return
        if processes().rank == 0:  # the other processes neither predict nor write
            self._sinks = [GuardedSink(sink) for sink in open_sinks(sinks)]
        self._serving: CostToServe | None = None
        self._served: ServedCost | None = None
        self._work: TrainingWork | None = None
        self._make_work: Callable[[], TrainingWork] | None = None
        self._work_is_due = training
        self._work_note = ""
        trained = example_of(inputs, dynamic)
        served = without_labels(model, trained)
        if training_inputs is not None:
            trained = example_of(training_inputs, dynamic)
        for example in (served, trained):
            _check_items(example)
        self._guard.run(self._prepare, config, served, trained, loss, causal, training, accumulation)
        self._check_budgets(stacklevel=4)

    def _prepare(
        self,
        config: ServingConfig,
        inputs: Example,
        trained: Example,
        loss: Callable[[Any], Any] | None,
        causal: bool,
        training: bool,
        accumulation: int,
    ) -> None:
        self._read: Callable[..., Sizes] = trained.reader()
        self._throughput = Throughput(trained.sizes(), accumulation)
        if processes().rank != 0:
            return
        self._serving = CostToServe(config, inputs)
        self._served = self._serving.look(self._model)
        if training:
            self._make_work = partial(TrainingWork, self._model, trained, loss=loss, causal=causal)
            self._training_work()

    def _check_budgets(self, *, stacklevel: int) -> None:
        if self._guard.on and self._served is not None:
            for watched in self._budgets:
                watched.check(self._served.graph, stacklevel=stacklevel)

    def _training_work(self) -> TrainingWork | None:
        """Return the work of a training step, captured when it is first needed; None if it cannot be captured."""
        from ..sources.symbols import CaptureError

        if self._work_is_due and self._make_work is not None:
            self._work_is_due, self._work, self._work_note = False, None, ""
            try:
                self._work = self._make_work()
            except CaptureError as error:  # the cost to serve is known all the same
                self._work_note = f"no throughput, MFU and MBU: {error}"
        return self._work

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
        return self._guard.run(self._record, write=True)

    def record(self) -> CostRecord | None:
        """Return a record of the current state, which goes to no sink.

        Returns:
            The record; None if the tracker is disabled, or another process writes.
        """
        if not self.enabled or self._serving is None:
            return None
        return self._guard.run(self._record, write=False)

    def _record(self, *, write: bool) -> CostRecord | None:
        if self._serving is None:
            return None
        served = self._serving.look(self._model)
        metrics: dict[str, float] = dict(served.metrics)
        notes = [*self._notes, *served.notes]
        if self._sparsity:
            zeros = zeros_of(self._model, self._names, threads=self._sparsity_threads)
            metrics |= zeros.metrics
            notes += zeros.notes
            # Weights that were not scanned count as dense.
            effective = sum(n * (1 - zeros.shares.get(name, 0.0)) for name, n in served.flops_of_weight.items())
            of_weights = sum(served.flops_of_weight.values())
            others = metrics["cost/contraction_flops"] - of_weights
            metrics["sparsity/effective_contraction_flops"] = others + effective
            metrics |= self._serving.with_2_4(frozenset(zeros.two_of_four & served.module_of_weight.keys()))
        if self._served is None or served.structure != self._served.structure:
            self._work_is_due = True
            self._throughput.unlike("the model changed during these steps")
        self._served = served
        window = self._throughput.take() if write else None
        if window is not None:
            metrics["training/step_s"] = window.seconds / window.steps
            metrics |= self._utilization(window, notes)
        if self._work_note:
            notes.append(self._work_note)
        self.last = CostRecord(self._step, metrics, tuple(dict.fromkeys(notes)))
        if write:
            for sink in self._sinks:
                sink.write(self._step, metrics)
        self._check_budgets(stacklevel=7)
        return self.last

    def _utilization(self, window: Window, notes: list[str]) -> dict[str, float]:
        """Return throughput and shares of the peak; nothing, and a note, if batches differ from the example."""
        if self._make_work is None:
            return {}
        try:
            if window.seconds <= 0:
                raise ShapeError("no time passed between them")
            if window.unknown:  # no training step is captured either: a model may change at every record
                raise ShapeError(window.unknown)
            work = self._training_work()
            if work is None:
                return {}
            notes += work.notes
            return training_utilization(
                window,
                work,
                self._totals,
                peak=self._peak,
                devices=processes().world_size,
                devices_per_replica=self._devices_per_replica,
                usd_per_h=self._usd_per_h,
            )
        except ShapeError as error:
            notes.append(f"no throughput, MFU and MBU of these steps: {error}")
            return {}

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
        return {"schema_version": _SCHEMA_VERSION, "step": self._step, "totals": dict(vars(self._totals))}

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
        self._totals = Totals(**state["totals"])

    def close(self) -> None:
        """Close the sinks. A later step still counts, and writes nothing."""
        sinks, self._sinks = self._sinks, []
        for sink in sinks:
            sink.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _check_items(example: Example) -> None:
    try:
        sizes = example.sizes()
    except (ShapeError, IndexError, KeyError, TypeError):  # the preparation fails alike and reports it
        return
    empty = [name for name, size in zip(example.names, sizes, strict=True) if size == 0]
    if empty:
        raise InputError(f"{', '.join(empty)} of the example inputs is 0; pass an example with at least one item")
