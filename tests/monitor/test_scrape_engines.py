"""Pages of engines of several versions, read into figures of the catalog: expected values were read off by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import engine_pages as pages

from pyinfercost.monitor.engine_totals import Change, EngineTotals
from pyinfercost.monitor.engines import ENGINES
from pyinfercost.monitor.scraping import parse
from pyinfercost.results.live import series
from pyinfercost.results.live_figures import LIVE_FIGURES

OK, ERROR, CANCELLED = (series("requests", outcome=each) for each in ("ok", "error", "cancelled"))


def read(engine: str, *contents: str, model: str | None = None, from_zero: bool = True) -> tuple[EngineTotals, Change]:
    table = ENGINES[engine]
    totals = EngineTotals(table, model)
    for place, content in enumerate(contents):
        page = parse(content, table.wanted())
        assert page.is_whole
        change = totals.read(page, from_zero=from_zero and not place)
        assert change is not None
    return totals, change


def of(totals: EngineTotals) -> dict[str, float]:
    found = {each.figure: value for each, value in {**totals.counters, **totals.gauges}.items() if not each.labels}
    found |= {each.labels[0][1]: value for each, value in totals.counters.items() if each.labels}
    return found


def test_sglang() -> None:
    totals, change = read("sglang", pages.SGLANG)
    assert of(totals) == {
        "ok": 11008,
        "cancelled": 12,
        "prompt_tokens": 8128902,
        "cached_prompt_tokens": 61028,
        "output_tokens": 7557572,
        "queue_s": 1200,
        "preemptions": 3,
        "in_flight": 162,
        "waiting": 2826,
        "kv_cache_use_share": 0.28,
    }
    assert change.parts == {"decode_s": 150000, "decode_tokens": 7546564, "busy_s": 1000}
    ttft = totals.distributions[series("ttft_s")]
    assert (ttft.bounds, ttft.counts, ttft.total) == ((0.1, 1.0), (8000, 3000, 8), 2351.5)
    assert totals.distributions[series("tpot_s")].count == 7546564


def test_sglang_with_names_of_0_4() -> None:
    totals, change = read("sglang", pages.SGLANG_OLD)
    assert of(totals) == {"prompt_tokens": 100, "output_tokens": 60, "in_flight": 2}
    assert change.parts == {"decode_s": 1.5, "decode_tokens": 50}
    assert totals.distributions[series("tpot_s")].counts == (50, 0)


def test_triton_adds_models_or_picks_one() -> None:
    totals, change = read("triton", pages.TRITON)
    found = of(totals)
    assert found["ok"] == 1650
    assert found["items"] == 6480
    assert (found["cancelled"], found["error"]) == (2, 8)
    assert found["queue_s"] == pytest.approx(1.8)
    assert found["service_s"] == pytest.approx(32.2)
    assert found["energy_j"] == 200034.75
    assert (found["power_w"], found["waiting"]) == (120, 7)
    assert change.parts == pytest.approx({"batches": 845, "batch_requests": 1650, "batch_s": 32.2})
    first = totals.distributions[series("ttft_s")]
    assert (first.bounds, first.counts, first.total) == ((0.1, 0.5), (4, 5, 1), 2.5)  # of milliseconds
    alone, _ = read("triton", pages.TRITON, model="bert")
    assert (of(alone)["ok"], of(alone)["items"]) == (40, 40)


def test_triton_with_tensorrt_llm() -> None:
    found = of(read("triton", pages.TRITON_TRTLLM)[0])
    assert found == {
        "ok": 12,
        "prompt_tokens": 4321,
        "output_tokens": 1234,
        "in_flight": 8,
        "waiting": 5,
        "kv_cache_use_share": 0.4,
    }


def test_tgi() -> None:
    totals, change = read("tgi", pages.TGI)
    assert of(totals) == {
        "ok": 240,
        "error": 5,
        "prompt_tokens": 60000,
        "output_tokens": 36240,
        "queue_s": 20.25,
        "service_s": 880.25,
        "in_flight": 6,
        "waiting": 4,
    }
    assert change.parts == {"steps": 9230, "decode_steps": 9000, "busy_s": 203, "decode_steps_s": 180}
    assert totals.distributions[series("request_output_tokens")].counts == (120, 120)


def test_vllm_of_the_first_engine() -> None:
    totals, change = read("vllm", pages.VLLM_V0)
    assert of(totals) == {
        "ok": 100,
        "prompt_tokens": 5000,
        "output_tokens": 2100,
        "preemptions": 4,
        "in_flight": 3,
        "waiting": 1,
        "kv_cache_use_share": 0.375,
    }
    assert change.parts == {"decode_s": 40, "decode_tokens": 2000}


def test_vllm_of_0_8_with_two_copies() -> None:
    assert of(read("vllm", pages.VLLM_BLOCKS)[0]) == {"cached_prompt_tokens": 345, "kv_cache_use_share": 0.375}


def test_recorded_pages_of_vllm_0_32(shared: Path) -> None:
    contents = [(shared / "live" / f"vllm_metrics_{name}.txt").read_text() for name in ("before", "after")]
    totals, change = read("vllm", *contents, from_zero=False)
    found = of(totals)
    assert (found["prompt_tokens"], found["output_tokens"]) == (33034, 9526)
    assert (found["ok"], found["error"], found["cancelled"]) == (120, 0, 0)
    assert found["kv_cache_use_share"] == 0
    assert change.parts["steps"] == 2688 - 496
    assert change.parts["decode_tokens"] == 14341 - 4935
    assert change.parts["decode_s"] == pytest.approx(920.7084109940142 - 289.24284987500414)
    assert totals.distributions[series("ttft_s")].count == 120
    assert totals.distributions[series("ttft_s")].total == pytest.approx(129.28467345237732 - 56.10882759094238)
    assert totals.distributions[series("request_output_tokens")].total == 9526
    assert totals.shapes["step_tokens"].count == 2192


@pytest.mark.parametrize("name", list(ENGINES))
def test_tables_name_figures_of_the_catalog(name: str) -> None:
    engine = ENGINES[name]
    assert engine.name == name
    for each in (*engine.counters, *engine.gauges, *engine.histograms):
        kind = LIVE_FIGURES[each.figure].kind
        table = {"counter": engine.counters, "gauge": engine.gauges, "histogram": engine.histograms}[kind]
        assert each in table
    assert engine.hint


def test_an_update_that_changes_names_is_followed() -> None:
    """An engine that is updated has counters from 0, some of them by other names."""
    new = pages.VLLM_V0.replace("gpu_cache_usage_perc", "kv_cache_usage_perc").replace("0.375", "0.5")
    new = new.replace("time_per_output_token_seconds", "inter_token_latency_seconds")
    new = new.replace("vllm:generation_tokens_total", "vllm:generation_tokens").replace("2100.0", "50.0")
    new = new.replace("5000.0", "30.0")
    totals, change = read("vllm", pages.VLLM_V0, new)
    found = of(totals)
    assert change.restarted
    assert (found["prompt_tokens"], found["output_tokens"], found["ok"]) == (5030, 2150, 200)
    assert found["kv_cache_use_share"] == 0.5
    assert totals.distributions[series("tpot_s")].count == 4000


def test_a_name_that_changes_while_the_process_runs_is_noted() -> None:
    new = pages.VLLM_V0.replace("gpu_cache_usage_perc", "kv_cache_usage_perc")
    totals, change = read("vllm", pages.VLLM_V0, new)
    assert not change.restarted
    assert of(totals)["kv_cache_use_share"] == 0.375
    assert [note for note in totals.notes if "vllm:kv_cache_usage_perc since vllm:gpu_cache_usage_perc" in note]
    totals, _ = read("vllm", new, new.replace("vllm:kv_cache_usage_perc", "vllm:other"))
    assert "kv_cache_use_share" not in of(totals)
    assert [note for note in totals.notes if "kv_cache_use_share is no longer read" in note]
