"""The cost of training with the Trainer of `transformers`: `Trainer(callbacks=[CostCallback(hardware=["l4"])])`."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .adapter_base import Attached, precision_of
from .lazy_bases import names_of
from .inputs import is_function

if TYPE_CHECKING:
    from .record import CostRecord
    from .tracker import CostTracker

_HELP = "give inputs=, an example of what the model gets"


class CostCallback:
    """Tracks what training costs; an object of it is a `TrainerCallback`.

    The Trainer does not show its batches to callbacks. So every batch is taken to be as large as the example, unless
    `watch_forward` is set. Evaluation and checkpoints are left out of the tracker's time. Its state is in checkpoints,
    and is taken up again with or without `restore_callback_states_from_checkpoint`.

    A callback does not know its Trainer either: given in `callbacks=[...]`, the latest record joins the Trainer's next
    log, where `state.log_history` and the callbacks after this one have it; loggers that the Trainer has made itself
    come before it. With `CostCallback(...).add_to(trainer)` each record goes to all of them, when it is made.

    Args:
        inputs: What the model gets: an example (a tensor, a tuple, or a dictionary of keywords), or a function from a
            batch to that. None takes the first item of the training data, as often as a device has items in a batch,
            through the collator, after which all random numbers are as before; where data has no items, the
            `dummy_inputs` of the model.
        log: Whether the Trainer's logs get the figures.
        watch_forward: Reads the shapes of each batch by a hook on the model while it trains, for batches of different
            lengths. A hook may break the graph of a compiled model.
        **settings: Of `CostTracker`. Where no `precision` is given, `fp16` and `bf16` of the arguments are taken over.

    Raises:
        ImportError: There is no transformers.
        TypeError: There is no such setting.
    """

    _given: dict[str, Any]
    _trainer: weakref.ref[Any] | None

    def __new__(cls, *_: Any, **__: Any) -> CostCallback:
        """An object of a class of its own, which has the bases of the framework.

        On resuming, the Trainer may put `type(callback)(**state["args"])` in the callback's place. What was given here
        is no JSON and cannot come from a checkpoint, so that class knows it.
        """
        if hasattr(cls, "_given"):
            return object.__new__(cls)
        try:
            from transformers.trainer_callback import ExportableState, TrainerCallback
        except ImportError as error:
            raise ImportError(
                f"CostCallback needs transformers, which cannot be imported ({error}): pip install "
                "'pyinfercost[training]'",
                name="transformers",
            ) from error
        names = {**names_of(cls), "_given": {}, "_trainer": None}
        made: type[CostCallback] = type(cls.__name__, (cls, TrainerCallback, ExportableState), names)
        return object.__new__(made)

    def __init__(self, inputs: Any = None, *, log: bool = True, watch_forward: bool = False, **settings: Any) -> None:
        given = {"inputs": inputs, "log": log, "watch_forward": watch_forward, "settings": settings}
        if not type(self)._given:
            type(self)._given = given
        else:  # made anew by the Trainer
            given = type(self)._given
        self._inputs = given["inputs"]
        self._log = given["log"]
        self._watch_forward = given["watch_forward"]
        self._attached = Attached("CostCallback for transformers", given["settings"])
        self._batch: Any = None
        self._model: weakref.ref[Any] | None = None
        self._hook: Any = None
        self._record: CostRecord | None = None

    @property
    def tracker(self) -> CostTracker | None:
        """The tracker, while there is one."""
        return self._attached.tracker

    @property
    def cost_state(self) -> dict[str, Any]:
        """The tracker's state, under the name that a checkpoint has it."""
        return self._attached.state_dict()

    @cost_state.setter
    def cost_state(self, state: dict[str, Any]) -> None:
        self._attached.load_state_dict(state)

    def state(self) -> dict[str, Any]:
        """What the Trainer keeps in a checkpoint."""
        return {"args": {}, "attributes": {"cost_state": self.cost_state}}

    def add_to(self, trainer: Any) -> CostCallback:
        """Adds this to a Trainer, so that records go to its loggers when they are made."""
        trainer.add_callback(self)
        type(self)._trainer = weakref.ref(trainer)
        return self

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Makes the tracker."""
        attached, model, given = self._attached, kwargs["model"], self._inputs
        attached.guard.run(self._take_state, state)
        if given is None or is_function(given):
            self._batch = attached.guard.run(_example_batch, args, state, model, kwargs.get("train_dataloader"))
        else:
            self._batch = given
        attached.know(model, given)
        precision = "fp16" if getattr(args, "fp16", False) else "bf16" if getattr(args, "bf16", False) else None
        mixed = precision_of(precision)
        attached.start(model, self._batch, precision=mixed, training_precision=mixed)
        if self._watch_forward and attached.tracker is not None:
            self._hook = model.register_forward_pre_hook(self._on_forward, with_kwargs=True)
        self._model = weakref.ref(model)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Resumes the tracker, whatever came between."""
        self._attached.resume()

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Counts a batch whose gradients are accumulated."""
        if not self._watch_forward:
            self._attached.micro_batch(self._batch)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Counts the batch and the step."""
        if not self._watch_forward:
            self._attached.micro_batch(self._batch)
        record = self._attached.step(state.global_step)
        if record is not None and self._log:
            self._record = record
            known = type(self)._trainer
            trainer = None if known is None else known()
            if trainer is not None:
                self._record = None
                self._attached.guard.run(self._to_loggers, trainer, record, args, state, control, kwargs)
        self._pause_for(control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Pauses the tracker for what comes at the end of an epoch."""
        self._pause_for(control)

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Pauses the tracker until training goes on."""
        self._attached.pause()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Adds the latest record to the Trainer's log, where it has not gone there by itself."""
        if self._record is not None and logs is not None:
            record, self._record = self._record, None
            self._attached.guard.run(_join, record, logs, state.log_history)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Closes the tracker."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
        self._attached.close(kwargs.get("model"))

    def _pause_for(self, control: Any) -> None:
        if control.should_evaluate or control.should_save:
            self._attached.pause()

    def _take_state(self, state: Any) -> None:
        name = type(self).__name__
        stored = state.stateful_callbacks.get(name)
        # The Trainer looks for this name when it saves, and a checkpoint from before this callback does not have it.
        # Of several callbacks of this name it keeps a list, which only its own way of restoring can tell apart.
        if stored is None:
            state.stateful_callbacks[name] = self.state()
        elif isinstance(stored, Mapping) and state.global_step:
            found = stored.get("attributes", {}).get("cost_state")
            if found and self._attached.tracker is None:
                self.cost_state = found

    def _on_forward(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        import torch

        tracker = self._attached.tracker
        # A tracker that captures the model runs this hook as well; nothing has data then.
        if tracker is None or not module.training or not torch.is_grad_enabled() or not self._attached.on:
            return
        if any(getattr(value, "is_meta", False) for value in (*args, *kwargs.values())):
            return
        self._attached.guard.run(tracker.micro_batch, *args, **kwargs)

    def _to_loggers(
        self, trainer: Any, record: CostRecord, args: Any, state: Any, control: Any, kwargs: dict[str, Any]
    ) -> None:
        """Tells whoever takes logs, but for what writes them between the progress bars.

        `Trainer.log` is not for this: it takes back the wish to log the loss, and trainers that derive from it empty
        their averages there.
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
    """A batch of the size of those that come, for one device; chance is left as it is."""
    from torch.utils.data import IterableDataset

    from .random_states import random_states_kept

    dataset, collate = getattr(loader, "dataset", None), getattr(loader, "collate_fn", None)
    has_items = hasattr(dataset, "__getitem__") and not isinstance(dataset, IterableDataset)
    if dataset is not None and has_items and collate is not None:
        size = (state.train_batch_size or args.train_batch_size) // max(args.n_gpu, 1)
        with random_states_kept():
            item = dataset[0]
            return collate([copy.copy(item) for _ in range(size)])  # collators may take keys out of an item
    example = getattr(model, "dummy_inputs", None)
    if example is None:
        raise TypeError(f"the training data has no items to look at, and the model no dummy_inputs; {_HELP}")
    return example
