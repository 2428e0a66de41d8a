"""Hosts of GPUs: the time to issue operators is a setting of a machine, and its spread is that of known hosts."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from support.single_node import T, single_node
from support.toy_graphs import transformer

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.hardware.catalog_names import CATALOG
from pyinfercost.hardware.hosts import HOSTS, host_seconds

GPU = "a100-sxm-80gb"
SMALL = single_node("aten.relu", {"self": T((8,))}, T((8,)))
LARGE = single_node("aten.relu", {"self": T((2**30,))}, T((2**30,)))


def launches_s(graph: ic.Graph, **on: object) -> float:
    return ic.estimate(graph, hardware=GPU, **on).latency_s - start_s()


def start_s() -> float:
    return ic.hardware.load(GPU).constants["forward.start_s"]


def test_an_operator_takes_the_time_of_its_host() -> None:
    assert launches_s(SMALL, host=40) == pytest.approx(40e-6)
    assert launches_s(SMALL, host="12.5") == pytest.approx(12.5e-6)
    for name, host in HOSTS.items():
        assert launches_s(SMALL, host=name) == pytest.approx(1e-6 * host.us_per_operator)


def test_compiled_code_takes_the_host_in_proportion() -> None:
    slow, fast = (launches_s(SMALL, host=each, execution="compiled") for each in (40, 10))
    assert slow == pytest.approx(4 * fast)
    assert launches_s(SMALL, host=40, execution="cuda_graph") == launches_s(SMALL, host=10, execution="cuda_graph")


def test_large_kernels_do_not_wait_for_a_host() -> None:
    assert launches_s(LARGE, host=40) == launches_s(LARGE, host=10)
    known = ic.estimate(LARGE, hardware=GPU)
    assert known.latency_high_s / known.latency_s < 1.2


def test_the_default_admits_the_hosts_that_were_measured() -> None:
    default = ic.estimate(SMALL, hardware=GPU)
    for name in HOSTS:
        named = ic.estimate(SMALL, hardware=GPU, host=name)
        assert default.latency_low_s < named.latency_s < default.latency_high_s
        assert named.latency_high_s / named.latency_s < default.latency_high_s / default.latency_s


def test_the_band_is_that_of_the_slower_of_host_and_device() -> None:
    # A device that is hardly faster than its host: the host may be the slower one.
    for elements in (2**22, 2**23, 2**24, 2**25):
        graph = single_node("aten.relu", {"self": T((elements,))}, T((elements,)))
        found, fixed = (ic.estimate(graph, hardware=GPU, host=host) for host in (None, 25))
        assert found.latency_s == pytest.approx(fixed.latency_s)
        assert found.latency_high_s >= fixed.latency_high_s


def test_a_calibrated_gpu_has_its_own_host(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    own = '\n[calibration.overheads]\nsource = "measured here"\ndispatch_us = 9.0\n'
    path.write_text((CATALOG / f"{GPU}.toml").read_text() + own)
    machine = ic.hardware.load(path)
    assert machine.overheads_s["dispatch"] == pytest.approx(9e-6)
    assert "forward.host_spread" not in machine.constants
    assert "forward.host_spread" in ic.hardware.load(GPU).constants


def test_the_report_names_the_host() -> None:
    several = transformer()
    assert "25.00 us per operator is assumed: --host desktop (16.8), cloud (37.3)" in str(
        ic.estimate(several, hardware=GPU, batch=1)
    )
    stated = str(ic.estimate(several, hardware=GPU, host="cloud", batch=1))
    assert "37.30 us per operator" in stated
    assert "is assumed" not in stated
    assert "us per operator" not in str(ic.estimate(LARGE, hardware=GPU))


def test_sweeps_have_hosts_as_an_axis() -> None:
    sweep = ic.sweep(SMALL, hardware=GPU, host=[10, "cloud"], sustained=False)
    assert [str(host) for host in sweep["host"]] == ["10", "cloud"]
    assert sweep["latency_s"][1] - sweep["latency_s"][0] == pytest.approx(27.3e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"host": "fast"}, r"host is 'fast'; expected desktop, cloud, or the microseconds"),
        ({"host": 0}, r"host is 0; expected desktop"),
        ({"host": 25, "hardware": "epyc-7763"}, "host is given, but 'epyc-7763' is of kind 'cpu'; expected a GPU"),
        ({"host": 25, "hardware": ic.hardware.load(GPU)}, "is already loaded; expected an id or a path"),
        ({"host": 25, "hardware": None}, "host is given without hardware"),
    ],
)
def test_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ic.Deployment(**{"hardware": GPU, **options})


def test_another_machine_has_another_host() -> None:
    assert ic.Deployment(hardware=GPU, host="cloud").replace(hardware="l4").host is None
    assert host_seconds("cloud") == pytest.approx(37.3e-6)


@pytest.mark.torch
def test_the_command_line() -> None:
    result = CliRunner().invoke(main, ["compare", "resnet18", "-H", "l4,a10g", "--host", "cloud", "--format", "json"])
    assert result.exit_code == 0, result.output


def test_documents_and_changes_have_the_host() -> None:
    several = transformer()
    found = {host: ic.profile(several, hardware=GPU, host=host, batch=1) for host in (None, "cloud")}
    documents = {host: profile.to_dict()["estimate"]["host"] for host, profile in found.items()}
    assert documents[None] == {"operator_s": pytest.approx(25e-6), "is_assumed": True}
    assert documents["cloud"] == {"operator_s": pytest.approx(37.3e-6), "is_assumed": False}
    assert ic.estimate(several, hardware="epyc-7763", batch=1).to_dict()["estimate"]["host"] is None
    told = "host differs: 25.00 us per operator before, 37.30 us per operator after; this changes times, too"
    assert told in ic.compare(before=found[None], after=found["cloud"]).warnings
    other = ic.profile(several, hardware="l4", host="cloud", batch=1)
    assert not any("host differs" in text for text in ic.compare(before=found[None], after=other).warnings)


def test_comparisons_name_the_host() -> None:
    several = transformer()
    text = ic.compare(several, hardware=[GPU, "l4"], batch=1).to_text()
    assert text.count("25.00 us per operator is assumed: --host desktop (16.8), cloud (37.3) or microseconds") == 1
    assert "per operator" not in ic.compare(several, hardware="epyc-7763", batch=1).to_text()


def test_sweeps_name_an_assumed_host(tmp_path: Path) -> None:
    path = tmp_path / "small.json"
    path.write_text(transformer().to_json())

    def printed(*options: str) -> str:
        result = CliRunner().invoke(main, ["sweep", str(path), "--batch", "1", *options])
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split())

    told = "25.00 us per operator is assumed"
    assert told in printed("-H", f"{GPU},l4")
    assert told not in printed("-H", GPU, "--host", "30")
    assert told not in printed("-H", "epyc-7763")
    assert told not in printed("-H", GPU, "--execution", "cuda_graph")
