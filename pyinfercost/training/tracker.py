"""`CostTracker`: what the model in training will cost to serve, and how well training uses its device."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from .budget import CostBudget, Watched
from .devices import processes, training_device
from .example import Dynamic, Example, ShapeError, Sizes, example_of, training_example, without_labels
from .guard import Guard
from .record import CostRecord
from .cost_to_serve import Served, Serving, Way
from .settings import checked_every, machines_of
from .throughput import Throughput, Totals, Window, figures
from .weight_sparsity import PlainNames, zeros_of
from .work import TrainingWork

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from ..monitor.sinks import Sink

_SCHEMA_VERSION = 1


class CostTracker:
    """Predicts, while a model is trained, what it will cost to serve, and measures how training runs.

    One object for any loop. The model is traced on meta tensors when the tracker is made; after that nothing is patched
    and no hook stays, so that training takes the steps that it would take without it, to the last bit. Whatever fails
    in it is told in one warning and switches it off; training goes on.

    Attributes:
        every: steps between two records.
        last: the last record; None before the first.

    Args:
        model: in training, in whatever it is wrapped (`torch.compile`, DDP, FSDP, masks, parametrizations,
            fake quantisation): its cost is that of what is served in the end.
        args: example inputs of a forward that is served, a tuple or a lone one.
        kwargs: named ones.
        hardware: machines to serve on: what `hardware.load` takes, or several.
        precision: the dtype to serve in, as in `estimate`.
        execution: `eager`, `compiled` or `replayed`.
        sizes: values of named sizes to serve at, such as `{"batch": 1}`; the example's where left out.
        dynamic: which dimensions vary, as in `capture`: `{"input_ids": {0: "batch", 1: "sequence"}}`. By default the
            first, where all inputs share it, as `batch`.
        quantize: formats that the weights are going to have, as in `whatif`: the cost with them is under `converted/`.
            By default those that quantisation-aware training prepares.
        price: of an hour of a machine, as in `estimate`, or for each by its id.
        utilisation: share of the paid time in which the machines work.
        region: where they stand, as in `estimate`.
        transfer: how inputs get to the device and results back, as in `estimate`.
        threads: of a CPU to serve on.
        every: a record after every so many optimizer steps.
        sparsity: whether zeros of the weights are counted for each record.
        sparsity_threads: threads of that.
        sinks: where records go: `"stdout"`, `"costs.jsonl"`, `"costs.csv"`, `"tensorboard:DIR"`, `"wandb"`, `"mlflow"`,
            `"prometheus"`, a callable, or a `Sink`; one or several.
        budgets: limits, each a `CostBudget`; one that raises ends training with a `CostBudgetExceededError`.
        training: whether throughput, MFU, HFU and MBU are wanted; they need a capture of a training step.
        training_inputs: example inputs of a training step, where they are others: a tuple of positional ones, or a dict
            of named ones (with labels).
        loss: from what the model returns to a scalar, as in `capture`.
        causal: whether attention counts in MFU what its causal mask keeps alone.
        accumulation: forwards of an optimizer step, where `micro_batch` is not called.
        training_hardware: what is trained on; `"auto"` recognises the GPU. None, or a CPU that is not named: no MFU.
        training_precision: the dtype of products in training (`bf16` under autocast); by default that of the weights.
        training_price: USD of an hour of one training device, or what else `estimate` takes as a price.
        devices_per_replica: devices that share one forward (tensor or pipeline parallel).
        enabled: False for a tracker that does nothing.

    Raises:
        ValueError: for a setting that cannot be; the model's own trouble is a warning.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        args: Any = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        hardware: Any = (),
        precision: str = "native",
        execution: str = "eager",
        sizes: Mapping[str, int] | None = None,
        dynamic: Dynamic | None = None,
        quantize: Any = None,
        price: Any = None,
        utilisation: float = 1.0,
        region: str | None = None,
        transfer: Any = None,
        threads: int | None = None,
        every: int = 10,
        sparsity: bool = True,
        sparsity_threads: int = 1,
        sinks: Any = (),
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
    ) -> None:
        if not isinstance(model, torch.nn.Module):
            raise TypeError(f"model is of type {type(model).__name__}; expected the nn.Module that is trained")
        self.every = checked_every("every", every)
        self.last: CostRecord | None = None
        self._guard = Guard("cost tracking")
        self._model = model
        self._step = 0
        self._wanted = enabled
        self._sparsity = sparsity
        self._names = PlainNames(model)
        self._sparsity_threads = checked_every("sparsity_threads", sparsity_threads)
        self._devices_per_replica = checked_every("devices_per_replica", devices_per_replica)
        checked_every("accumulation", accumulation)
        self._totals = Totals()
        self._notes: list[str] = []
        self._sinks: list[Sink] = []
        budgets = [budgets] if isinstance(budgets, CostBudget) else list(budgets)
        self._budgets = [Watched(budget) for budget in budgets]
        way = Way(
            machines_of(hardware, threads, price=price, utilisation=utilisation, region=region, transfer=transfer),
            precision,
            execution,
            sizes,
            quantize,
            threads,
        )
        device = training_device(model, training_hardware, training_precision, training_price)
        self._peak, self._usd_per_h = device.peak, device.usd_per_h
        self._notes += device.notes
        if not enabled:
            return
        if processes().rank == 0:  # others neither look nor write
            from ..monitor.sinks import sink_of

            self._sinks = [sink_of(each) for each in (sinks if isinstance(sinks, list | tuple) else [sinks])]
        self._serving: Serving | None = None
        self._served: Served | None = None
        self._work: TrainingWork | None = None
        self._make_work: Callable[[], TrainingWork] | None = None
        trained = example_of(args, kwargs, dynamic)
        inputs = without_labels(model, trained)
        if training_inputs is not None:
            trained = training_example(training_inputs, dynamic)
        self._guard.run(self._prepare, way, inputs, trained, loss, causal, training, accumulation)
        self._check_budgets(stacklevel=4)

    def _prepare(
        self,
        way: Way,
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
        self._serving = Serving(way, inputs)
        self._served = self._serving.look(self._model)
        if training:
            self._make_work = partial(TrainingWork, self._model, trained, loss=loss, causal=causal)
            self._work = self._training_work()

    def _check_budgets(self, *, stacklevel: int) -> None:
        if self._guard.on and self._served is not None:
            for watched in self._budgets:
                watched.check(self._served.graph, stacklevel=stacklevel)

    def _training_work(self) -> TrainingWork | None:
        """None, and a note, where a training step of the model cannot be captured: what it costs to serve is known."""
        from ..sources.symbols import CaptureError

        try:
            return None if self._make_work is None else self._make_work()
        except CaptureError as error:
            self._notes.append(f"no throughput, MFU and MBU: {error}")
            return None

    @property
    def enabled(self) -> bool:
        """Whether it still tracks."""
        return self._wanted and self._guard.on

    @property
    def error(self) -> Exception | None:
        """What switched it off; None where nothing has."""
        return self._guard.error

    def __repr__(self) -> str:
        on = "off" if not self.enabled else f"every {self.every} steps"
        return f"<CostTracker of {type(self._model).__name__}: {on}, step {self._step}>"

    def micro_batch(self, *args: Any, lengths: Any = None, **kwargs: Any) -> None:
        """A forward and backward goes through the model; to be called for each, before `step`.

        It is needed where batches differ in their sizes or in how many of them make a step.

        Args:
            *args: the inputs, as the training step gets them; shapes alone are read. None: as the example.
            lengths: real lengths of the sequences of a padded batch, a list or a tensor, which is not read before the
                next record; FLOPs of padding are not useful, and are left out of MFU.
            **kwargs: named inputs.
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
        """The optimizer has stepped.

        Args:
            step: how many steps that makes, where the loop counts them; by default one more than before.

        Returns:
            A record after every `every` steps, on the process that writes; else None.

        Raises:
            CostBudgetExceededError: the model is over a budget that raises.
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
        """A record of now, whatever the step; it goes to no sink. None where the tracker is off or does not write."""
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
            # Weights that were not looked at count as dense.
            effective = sum(n * (1 - zeros.shares.get(name, 0.0)) for name, n in served.flops_of_weight.items())
            of_weights = sum(served.flops_of_weight.values())
            metrics["sparsity/effective_flops"] = metrics["cost/flops"] - of_weights + effective
            metrics |= self._serving.with_2_4(frozenset(zeros.two_of_four & served.module_of_weight.keys()))
        if served is not self._served:
            self._served, self._work = served, self._training_work()
            self._throughput.unlike("the model was changed during these steps")
        window = self._throughput.take() if write else None
        if window is not None:
            metrics["training/step_s"] = window.seconds / window.steps
            if self._work is not None:
                metrics |= self._used(window, self._work, notes)
        self.last = CostRecord(self._step, metrics, tuple(dict.fromkeys(notes)))
        if write:
            for sink in self._sinks:
                sink.write(self._step, metrics)
        self._check_budgets(stacklevel=7)
        return self.last

    def _used(self, window: Window, work: TrainingWork, notes: list[str]) -> dict[str, float]:
        """Throughput and shares of the peak; nothing, and a note, where batches were unlike the example."""
        notes += work.notes
        try:
            if window.unknown:
                raise ShapeError(window.unknown)
            return figures(
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
        """What follows is no training: validation, a checkpoint. `resume` ends it."""
        if self.enabled:
            self._throughput.pause()

    def resume(self) -> None:
        """Training goes on."""
        if self.enabled:
            self._throughput.resume()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """`pause` and `resume` around a block."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, as plain JSON values: the step and what training has taken so far."""
        return {"schema_version": _SCHEMA_VERSION, "step": self._step, "totals": dict(vars(self._totals))}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state_dict`.

        Raises:
            ValueError: it is of another version, or of something else.
        """
        if state.get("schema_version") != _SCHEMA_VERSION or not {"step", "totals"} <= state.keys():
            raise ValueError(
                f"the state has schema_version {state.get('schema_version')!r} and keys {sorted(state)}; expected "
                f"version {_SCHEMA_VERSION}, as CostTracker.state_dict() gives it"
            )
        self._step = int(state["step"])
        self._totals = Totals(**state["totals"])

    def close(self) -> None:
        """Closes the sinks; a later step still counts, and writes nothing."""
        sinks, self._sinks = self._sinks, []
        for sink in sinks:
            self._guard.run(sink.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
