"""Adapter to the Trainer of transformers: `Trainer(callbacks=[TransformersCostCallback(hardware=["l4"])])`."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import InputTypeError, MissingLibraryError
from .adapter_base import TrackerAdapter, names_of, precision_of
from .inputs import is_function

if TYPE_CHECKING:
    from ..results.record import CostRecord
    from .tracker import CostTracker

_HELP = "pass inputs=, an example of the model's inputs"


class TransformersCostCallback:
    """`TrainerCallback` of transformers that tracks cost.

    The Trainer does not pass its batches to callbacks. Therefore every batch counts with the size of the example,
    unless `watch_forward` is set. The clock is stopped for evaluation and checkpoints. Checkpoints hold the state,
    which is restored with or without `restore_callback_states_from_checkpoint`.

    A callback does not know its Trainer either. In `callbacks=[...]`, the latest record joins the Trainer's next log:
    `state.log_history` and later callbacks have it, but loggers that the Trainer created itself run earlier. With
    `TransformersCostCallback(...).add_to(trainer)` each record goes to all of them at once.

    Args:
        inputs: Inputs of the model: an example (a tensor, a tuple, or a dictionary of keywords), or a function from a
            batch to one. None collates copies of the first training item, as many as a device has items in a batch, and
            restores all random states; if the data has no items, it takes the model's `dummy_inputs`.
        log: Whether the Trainer's logs receive the figures.
        watch_forward: Read the shapes of each batch with a hook on the model in training, for batches of different
            lengths. A hook can break the graph of a compiled model.
        **settings: Arguments of `CostTracker`. The default `precision` follows `fp16` and `bf16` of the arguments.

    Raises:
        MissingLibraryError: transformers is not installed.
        InputTypeError: A setting has an unknown name.
    """

    _given: dict[str, Any]
    _trainer: weakref.ref[Any] | None

    def __new__(cls, *_: Any, **__: Any) -> TransformersCostCallback:
        """Return an instance of a new class, which also derives from the framework's bases.

        On resuming, the Trainer may replace the callback by `type(callback)(**state["args"])`. The arguments are no
        JSON and cannot come from a checkpoint; therefore that class stores them.
        """
        if hasattr(cls, "_given"):
            return object.__new__(cls)
        try:
            from transformers.trainer_callback import ExportableState, TrainerCallback
        except ImportError as error:
            raise MissingLibraryError(
                f"TransformersCostCallback needs transformers, which cannot be imported ({error}); run pip install "
                "'pyinfercost[training]'",
                name="transformers",
            ) from error
        names = {**names_of(cls), "_given": {}, "_trainer": None}
        made: type[TransformersCostCallback] = type(cls.__name__, (cls, TrainerCallback, ExportableState), names)
        return object.__new__(made)

    def __init__(self, inputs: Any = None, *, log: bool = True, watch_forward: bool = False, **settings: Any) -> None:
        given = {"inputs": inputs, "log": log, "watch_forward": watch_forward, "settings": settings}
        if not type(self)._given:
            type(self)._given = given
        else:  # created by the Trainer on resuming
            given = type(self)._given
        self._inputs = given["inputs"]
        self._log = given["log"]
        self._watch_forward = given["watch_forward"]
        self._adapter = TrackerAdapter("TransformersCostCallback", given["settings"])
        self._batch: Any = None
        self._model: weakref.ref[Any] | None = None
        self._hook: Any = None
        self._record: CostRecord | None = None

    @property
    def tracker(self) -> CostTracker | None:
        """The tracker; None before training and after it."""
        return self._adapter.tracker

    @property
    def cost_state(self) -> dict[str, Any]:
        """The tracker's state, under its name in checkpoints."""
        return self._adapter.state_dict()

    @cost_state.setter
    def cost_state(self, state: dict[str, Any]) -> None:
        self._adapter.load_state_dict(state)

    def state(self) -> dict[str, Any]:
        """Return the state for the Trainer's checkpoint."""
        return {"args": {}, "attributes": {"cost_state": self.cost_state}}

    def add_to(self, trainer: Any) -> TransformersCostCallback:
        """Add this callback to a Trainer, so that its loggers receive records at once; return this callback."""
        trainer.add_callback(self)
        type(self)._trainer = weakref.ref(trainer)
        return self

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Create the tracker."""
        adapter, model, given = self._adapter, kwargs["model"], self._inputs
        adapter.guard.run(self._take_state, state)
        if given is None or is_function(given):
            self._batch = adapter.guard.run(_example_batch, args, state, model, kwargs.get("train_dataloader"))
        else:
            self._batch = given
        adapter.set_inputs(model, given)
        precision = "fp16" if getattr(args, "fp16", False) else "bf16" if getattr(args, "bf16", False) else None
        mixed = precision_of(precision)
        adapter.start(model, self._batch, precision=mixed, training_precision=mixed)
        if self._watch_forward and adapter.tracker is not None:
            self._hook = model.register_forward_pre_hook(self._on_forward, with_kwargs=True)
        self._model = weakref.ref(model)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Resume the tracker."""
        self._adapter.resume()

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count a batch whose gradients are accumulated."""
        if not self._watch_forward:
            self._adapter.micro_batch(self._batch)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count the batch and the step."""
        if not self._watch_forward:
            self._adapter.micro_batch(self._batch)
        record = self._adapter.step(state.global_step)
        if record is not None and self._log:
            self._record = record
            known = type(self)._trainer
            trainer = None if known is None else known()
            if trainer is not None:
                self._record = None
                self._adapter.guard.run(self._to_loggers, trainer, record, args, state, control, kwargs)
        self._pause_for(control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Pause the tracker for evaluation and checkpoints at the end of an epoch."""
        self._pause_for(control)

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Pause the tracker until the next step."""
        self._adapter.pause()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Add the latest record to the Trainer's log, unless `add_to` has sent it there."""
        if self._record is not None and logs is not None:
            record, self._record = self._record, None
            self._adapter.guard.run(_join, record, logs, state.log_history)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the tracker."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
        self._adapter.close(kwargs.get("model"))

    def _pause_for(self, control: Any) -> None:
        if control.should_evaluate or control.should_save:
            self._adapter.pause()

    def _take_state(self, state: Any) -> None:
        name = type(self).__name__
        stored = state.stateful_callbacks.get(name)
        # The Trainer reads this name when it saves, and a checkpoint from before this callback does not have it. For
        # several callbacks of one name the value is a list, which only the Trainer itself can assign to them.
        if stored is None:
            state.stateful_callbacks[name] = self.state()
        elif isinstance(stored, Mapping) and state.global_step:
            found = stored.get("attributes", {}).get("cost_state")
            if found and self._adapter.tracker is None:
                self.cost_state = found

    def _on_forward(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        import torch

        tracker = self._adapter.tracker
        # A capture by the tracker runs this hook, too, on tensors without data.
        if tracker is None or not module.training or not torch.is_grad_enabled() or not self._adapter.on:
            return
        if any(getattr(value, "is_meta", False) for value in (*args, *kwargs.values())):
            return
        self._adapter.guard.run(tracker.micro_batch, *args, **kwargs)

    def _to_loggers(
        self, trainer: Any, record: CostRecord, args: Any, state: Any, control: Any, kwargs: dict[str, Any]
    ) -> None:
        """Pass a record to all callbacks that log, except those that print between progress bars.

        `Trainer.log` is not usable: it resets `control.should_log`, and trainers derived from it reset averages there.
        """
        from transformers.trainer_callback import PrinterCallback, ProgressCallback

        figures = {**record.metrics, **({} if state.epoch is None else {"epoch": state.epoch})}
        state.log_history.append({**figures, "step": state.global_step})
        for callback in trainer.callback_handler.callbacks:
            if callback is not self and not isinstance(callback, (PrinterCallback, ProgressCallback)):
                callback.on_log(args, state, control, logs=dict(figures), **kwargs)


def _join(record: CostRecord, logs: dict[str, Any], history: list[dict[str, Any]]) -> None:
    logs.update(record.metrics)
    if history:
        history[-1].update(record.metrics)


def _example_batch(args: Any, state: Any, model: Any, loader: Any) -> Any:
    """Return a batch of the size of the training's, for one device; random states are restored."""
    from torch.utils.data import IterableDataset

    from .isolation import preserve_random_states

    dataset, collate = getattr(loader, "dataset", None), getattr(loader, "collate_fn", None)
    has_items = hasattr(dataset, "__getitem__") and not isinstance(dataset, IterableDataset)
    if dataset is not None and has_items and collate is not None:
        size = (state.train_batch_size or args.train_batch_size) // max(args.n_gpu, 1)
        with preserve_random_states():
            item = dataset[0]
            return collate([copy.copy(item) for _ in range(size)])  # collators may remove keys of an item
    example = getattr(model, "dummy_inputs", None)
    if example is None:
        raise InputTypeError(f"the training data has no items, and the model no dummy_inputs; {_HELP}")
    return example
