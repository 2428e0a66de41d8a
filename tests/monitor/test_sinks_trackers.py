"""Sinks for experiment trackers: sent records are read back from storage."""

from __future__ import annotations

import sys
import types
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from pyinfercost.monitor import MLflow, Prometheus, WandB, open_sink
from pyinfercost.monitor.sinks.experiment_trackers import mlflow_name
from pyinfercost.monitor.sinks.prometheus import series_of

FIGURES = {"cost/l4/latency_s": 0.25, "cost/h100:8/latency_s": 0.125, "training/mfu": 0.5, "sparsity/zero_share": nan}


class FakeRun:
    """What wandb gives for a run; its `log` would take `step`, and must not be given one."""

    def __init__(self) -> None:
        self.axes: dict[str, Any] = {}
        self.logged: list[dict[str, Any]] = []
        self.finished = 0

    def define_metric(self, name: str, step_metric: str | None = None, **_: Any) -> None:
        assert self.axes.get(name, step_metric) == step_metric
        self.axes[name] = step_metric

    def log(self, data: dict[str, Any], step: int | None = None, **options: Any) -> None:
        assert step is None, "the run's own step belongs to whoever trains"
        assert not options
        self.logged.append(data)

    def finish(self) -> None:
        self.finished += 1


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stand-in for the package."""
    module = types.ModuleType("wandb")
    module.run, module.started = None, []  # type: ignore[attr-defined]

    def init(**options: Any) -> FakeRun:
        module.started.append(options)
        module.run = module.run or FakeRun()
        return module.run  # type: ignore[no-any-return]

    module.init = init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def test_wandb_has_an_axis_of_its_own(wandb: Any) -> None:
    run = FakeRun()
    sink = WandB(run)
    sink.write(10, FIGURES)
    sink.write(20, {"cost/l4/latency_s": 0.5, "plain": 1})
    sink.close()
    assert run.logged == [{**FIGURES, "cost/step": 10}, {"cost/l4/latency_s": 0.5, "plain": 1, "cost/step": 20}]
    assert next(iter(run.axes.items())) == ("cost/step", None)
    axes = {name: step for name, step in run.axes.items() if name != "cost/step"}
    assert axes == dict.fromkeys(["cost/*", "training/*", "sparsity/*", "plain"], "cost/step")
    assert not run.finished
    assert not wandb.started


def test_wandb_takes_the_active_run_or_starts_one(wandb: Any) -> None:
    sink = open_sink("wandb:costs")
    assert not wandb.started  # every process makes the sink, one writes
    sink.write(1, FIGURES)
    run = wandb.run
    assert wandb.started == [{"project": "costs"}]
    sink.close()
    sink.close()
    assert run.finished == 1
    other = open_sink("wandb")
    other.write(2, FIGURES)
    given = WandB(name="x")  # wandb.init gives the run that is active, which is not for us to finish
    given.write(3, FIGURES)
    other.close()
    given.close()
    assert run.finished == 1
    assert len(run.logged) == 3


@pytest.fixture
def mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The package, with a folder of its own."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    module = pytest.importorskip("mlflow", reason="needs mlflow: pip install 'pyinfercost[mlflow]'")
    uri = module.get_tracking_uri()
    module.set_tracking_uri((tmp_path / "runs").as_uri())
    yield module
    module.set_tracking_uri(uri)


def history(mlflow: Any, run_id: str, name: str) -> list[tuple[int, float]]:
    return [(entry.step, entry.value) for entry in mlflow.MlflowClient().get_metric_history(run_id, name)]


def only_run(mlflow: Any) -> Any:
    (run,) = mlflow.search_runs(output_format="list", search_all_experiments=True)
    return run


def test_mlflow_makes_a_run(mlflow: Any) -> None:
    sink = MLflow(experiment="costs", run_name="one")
    assert not mlflow.search_runs(output_format="list", search_all_experiments=True)
    sink.write(10, FIGURES)
    assert mlflow.active_run() is None
    run = only_run(mlflow)
    assert run.info.status == "RUNNING"
    assert run.info.run_name == "one"
    sink.write(20, {"cost/l4/latency_s": 0.5, "training/mfu": inf})
    sink.close()
    sink.close()
    run = only_run(mlflow)
    assert run.info.status == "FINISHED"
    assert mlflow.get_experiment(run.info.experiment_id).name == "costs"
    assert history(mlflow, run.info.run_id, "cost/l4/latency_s") == [(10, 0.25), (20, 0.5)]
    assert history(mlflow, run.info.run_id, "training/mfu") == [(10, 0.5)]
    assert run.data.metrics.keys() == {"cost/l4/latency_s", "cost/h100_8/latency_s", "training/mfu"}


def test_mlflow_logs_to_the_active_run(mlflow: Any) -> None:
    with mlflow.start_run() as active:
        sink = open_sink("mlflow")
        sink.write(1, {f"training/{number}": number for number in range(1500)})  # more than a request takes
        sink.close()
        assert mlflow.active_run().info.run_id == active.info.run_id
    assert len(mlflow.get_run(active.info.run_id).data.metrics) == 1500
    given = MLflow(active.info.run_id)
    given.write(2, FIGURES)
    given.close()
    assert history(mlflow, active.info.run_id, "cost/l4/latency_s") == [(2, 0.25)]


def test_mlflow_is_given_a_run_or_told_what_it_should_be() -> None:
    with pytest.raises(ValueError, match="pass run_id alone"):
        MLflow("abc", experiment="costs")


@pytest.mark.parametrize(
    ("name", "legal"),
    [
        ("cost/l4/latency_s", "cost/l4/latency_s"),
        ("cost/a (b)@8/x", "cost/a _b__8/x"),
        ("/cost//../x", "cost/x"),
        ("x" * 300, "x" * 250),
    ],
)
def test_names_that_mlflow_takes(name: str, legal: str) -> None:
    assert mlflow_name(name) == legal


def samples(registry: Any) -> dict[tuple[str, str | None], float]:
    return {
        (sample.name, sample.labels.get("hardware")): sample.value
        for metric in registry.collect()
        for sample in metric.samples
    }


@pytest.fixture
def registry() -> Any:
    """One that no other test has."""
    client = pytest.importorskip("prometheus_client", reason="needs it: pip install 'pyinfercost[prometheus]'")
    return client.CollectorRegistry()


def test_prometheus_keeps_the_latest(registry: Any) -> None:
    sink = Prometheus(registry)
    sink.write(10, FIGURES)
    expected = {
        ("pyinfercost_step", None): 10,
        ("pyinfercost_cost_latency_seconds", "l4"): 0.25,
        ("pyinfercost_cost_latency_seconds", "h100:8"): 0.125,
        ("pyinfercost_training_mfu", None): 0.5,
    }
    assert samples(registry) == expected
    again = Prometheus(registry)  # a registry takes a name once
    again.write(20, {"cost/l4/latency_s": nan, "training/mfu": inf, "cost/l4/gone_s": nan})
    del expected["pyinfercost_cost_latency_seconds", "l4"], expected["pyinfercost_training_mfu", None]
    expected["pyinfercost_step", None] = 20
    assert samples(registry) == expected
    again.write(30, {"cost/l4/latency_s": 0.5, "training/mfu": 0.25, "cost/epochs": 2})
    again.close()
    found = samples(registry)
    assert found["pyinfercost_cost_latency_seconds", "l4"] == 0.5
    assert found["pyinfercost_training_mfu", None] == 0.25
    assert found["pyinfercost_cost_epochs", ""] == 2
    from prometheus_client import generate_latest

    assert b'pyinfercost_cost_latency_seconds{hardware="l4"} 0.5' in generate_latest(registry)


@pytest.mark.parametrize(
    ("name", "gauge", "hardware"),
    [
        ("cost/l4/energy_j", "x_cost_energy_joules", "l4"),
        ("cost/l4/cost_usd", "x_cost_cost_usd", "l4"),
        ("cost/l4/peak_memory_bytes", "x_cost_peak_memory_bytes", "l4"),
        ("cost/l4/backward/latency_s", "x_cost_backward_latency_seconds", "l4"),
        ("cost/total_usd", "x_cost_total_usd", ""),
        ("sparsity/zero_share", "x_sparsity_zero_ratio", None),
        ("training/items_per_s", "x_training_items_per_second", None),
        ("training/a-b", "x_training_a_b", None),
    ],
)
def test_names_for_prometheus(name: str, gauge: str, hardware: str | None) -> None:
    assert series_of(name, "x") == (gauge, hardware)


def test_a_prefix_has_to_be_a_name(registry: Any) -> None:
    Prometheus(registry, prefix="my_runs").write(1, {})
    assert samples(registry) == {("my_runs_step", None): 1}
    with pytest.raises(ValueError, match="prefix is 'a-b', which Prometheus rejects"):
        Prometheus(registry, prefix="a-b")
