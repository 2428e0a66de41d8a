"""Live reports in a browser: each point that the controls ask for is that of a profile in Python."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.browsing import data, opened
from support.language_configs import LLAMA, spec_of
from support.page_checks import CLIPPED
from support.report_pages import EVIL, evil_profile
from support.toy_graphs import blocks, transformer

import pyinfercost as ic

pytestmark = pytest.mark.browser

SAME = 1e-12
RESTED = "html[data-rested]"


@pytest.fixture(scope="module")
def profile() -> ic.results.Profile:
    return ic.profile(transformer(), hardware="t4", precision="fp16", price="on-demand", batch=8, sequence=128)


@pytest.fixture(scope="module")
def file(profile: ic.results.Profile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(profile.to_html(hint="with CUDA graphs it is faster"), encoding="utf-8")
    return path


class Prepared:
    """A browser whose pages run a script first."""

    def __init__(self, browser: Any, script: str) -> None:
        self._browser, self._script = browser, script

    def new_context(self) -> Any:
        context = self._browser.new_context()
        context.add_init_script(self._script)
        return context


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def settle(page: Any, act: Any) -> None:
    """Do something that changes the point, and wait for its figures."""
    before = settled(page)
    act()
    wait_for(page, lambda: settled(page) > before)


def settled(page: Any) -> int:
    return int(page.get_attribute("html", "data-settled") or 0)


def wait_for(page: Any, holds: Callable[[], bool]) -> None:
    """Wait until something holds; the policy of the page refuses functions that playwright would wait for."""
    for _ in range(1200):
        if holds():
            return
        page.wait_for_timeout(50)
    raise AssertionError("the page does not come to rest")


def choose(page: Any, name: str, value: str) -> None:
    if page.locator(f"#controls select[name='{name}']").count():
        settle(page, lambda: page.select_option(f"#controls select[name='{name}']", value))
    else:
        field = page.locator(f"#controls input[name='{name}']")
        settle(page, lambda: (field.fill(value), field.press("Enter"), field.blur()))


def headline(page: Any) -> dict[str, float]:
    keys, values = (data(page, "#headline output", name) for name in ("key", "value"))
    return {key: float(value) for key, value in zip(keys, values, strict=True) if value}


def figures_of(point: ic.results.Profile) -> dict[str, float]:
    document = point.to_dict()
    totals, estimate = document["totals"], document["estimate"]
    return {
        **{key: estimate[key] for key in ("latency_s", "throughput_per_s", "energy_j", "cost_usd")},
        "peak_memory_bytes": totals["peak_memory_bytes"],
        "flops": totals["contraction_flops"] + totals["pointwise_flops"],
        "traffic_bytes": totals["bytes_read"] + totals["bytes_written"],
        "parameters": totals["parameters"],
    }


def check(page: Any, point: ic.results.Profile) -> None:
    """The figures, and the time of each row of the tree, are those of a profile."""
    expected = {key: value for key, value in figures_of(point).items() if value is not None}
    assert headline(page) == pytest.approx(expected, rel=SAME, abs=0)
    (total,) = data(page, "#tree .foot [data-key=latency]", "v")
    assert float(total) == pytest.approx(sum(layer["latency_s"] for layer in point.to_dict()["layers"]), rel=1e-9)
    assert point.estimate is not None
    assert f"on {point.estimate.machine.name}" in page.inner_text("#subtitle")


def test_each_point_is_that_of_a_profile(browser: Any, file: Path, profile: ic.results.Profile) -> None:
    with opened(browser, file) as page:
        check(page, profile)
        assert page.inner_text("#sentence").endswith("with CUDA graphs it is faster.")
        known: dict[str, Any] = {}
        for name, value, option in (
            ("machine", "l4", {"hardware": "l4"}),
            ("execution", "compiled", {"execution": "compiled"}),
            ("size.batch", "64", {"batch": 64}),
            ("precision", "bf16", {"precision": "bf16"}),
            ("size.sequence", "77", {"sequence": 77}),
            ("machine", "xeon-8380", {"hardware": "xeon-8380"}),
            ("machine", "t4", {"hardware": "t4"}),
        ):
            choose(page, name, value)
            known |= option
            check(page, ic.profile(profile, **known))
            assert "CUDA graphs it is" not in page.inner_text("#sentence")  # the hint is for the reported point
        machine = ic.profile(profile, **known).estimate.machine  # type: ignore[union-attr]
        choose(page, "bandwidth", "2")
        faster = ic.profile(profile, **{**known, "hardware": machine.scaled(bandwidth=2)})
        assert headline(page)["latency_s"] == pytest.approx(faster.estimate.latency_s, rel=SAME)  # type: ignore[union-attr]
        settle(page, lambda: page.get_by_text("As it began").click())
        check(page, profile)


@pytest.mark.slow
def test_a_link_keeps_the_view_and_garbage_is_ignored(browser: Any, file: Path, profile: ic.results.Profile) -> None:
    with opened(browser, file, ready=RESTED) as page:

        def at(hash_: str) -> None:
            settle(page, lambda: page.evaluate("hash => { location.hash = hash; }", hash_))

        at("#machine=l4&size.batch=3&usd_per_h=2")
        check(page, ic.profile(profile, hardware="l4", batch=3, price=2.0))
        for garbage in (
            "#machine=<img src=x onerror=alert(1)>&precision=fp0",
            "#size.batch=1e99&size.sequence=-4&size.nope=3&bandwidth=NaN&compute=1e400&devices=Infinity",
            "#sizes=1&phase=__proto__&engine=constructor&execution=toString&format=x&place=__proto__",
            "#%E0%A4%A&=&&&==&utilization=0&limit_s=x&tensor=7&expert=99",
        ):
            at(garbage)
            assert page.inner_text("#fixed") == "" or page.inner_text("#fixed").startswith("There is no such point")
            at("#")
            check(page, profile)


@pytest.mark.parametrize("typed", ["-5", "1e999"])
@pytest.mark.sample(1)
def test_a_price_that_is_none_is_that_of_the_catalog(
    browser: Any, file: Path, profile: ic.results.Profile, typed: str
) -> None:
    with opened(browser, file) as page:
        choose(page, "usd_per_h", "3")
        check(page, ic.profile(profile, price=3.0))
        choose(page, "usd_per_h", typed)
        check(page, profile)
        assert page.input_value("#controls input[name=usd_per_h]") == ""


@pytest.mark.slow
def test_a_drag_ends_at_its_last_point(browser: Any, file: Path, profile: ic.results.Profile) -> None:
    with opened(browser, file) as page:
        slider = page.get_by_label("batch", exact=True)
        slider.evaluate(
            """range => { for (let at = 0; at <= 400; at += 4) {
                range.value = at; range.dispatchEvent(new Event("input", { bubbles: true })); } }"""
        )
        batch = int(page.input_value("#controls input[name='size.batch']"))
        assert batch > 100
        wait_for(page, lambda: settled(page) > 100)
        check(page, ic.profile(profile, batch=batch))


@pytest.mark.slow
def test_the_catalog_and_the_curve_choose_points(browser: Any, file: Path, profile: ic.results.Profile) -> None:
    with opened(browser, file, ready=RESTED) as page:
        rows = page.locator("#catalog-table tbody tr")
        assert rows.count() >= 12
        first = rows.first
        name, batch = first.locator("button").inner_text(), int(first.locator("td").first.inner_text())
        settle(page, lambda: first.locator("button").click())
        assert page.input_value("#controls input[name='size.batch']") == str(batch)
        (chosen,) = [each for each in ic.hardware.names() if each == page.input_value("#controls select[name=machine]")]
        assert ic.hardware.load(chosen).name == name
        check(page, ic.profile(profile, hardware=chosen, batch=batch))
        page.focus("#curve")
        settle(page, lambda: page.keyboard.press("ArrowLeft"))
        assert int(page.input_value("#controls input[name='size.batch']")) < batch


BROKEN = {
    "assembly": ("delete window.WebAssembly;", "no WebAssembly"),
    "workers": ("delete window.Worker;", "no WebAssembly"),
    "a worker": ("window.Worker = class { constructor() { throw new Error('no worker'); } };", "no worker"),
}


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.sample(2)
def test_without_a_running_core_the_stored_point_is_shown(
    browser: Any, file: Path, profile: ic.results.Profile, what: str
) -> None:
    script, said = BROKEN[what]
    with opened(Prepared(browser, script), file) as page:
        check(page, profile)
        assert said in page.inner_text("#fixed")
        assert page.locator("#settings").is_hidden()
        assert page.locator("#roofline canvas").is_visible()


def test_a_browser_that_cannot_unpack_shows_the_figures_as_text(browser: Any, file: Path) -> None:
    with opened(Prepared(browser, "delete window.DecompressionStream;"), file) as page:
        assert "827.2 us" in page.inner_text("body > pre")


def test_a_layout_that_the_page_cannot_change_stays(browser: Any, tmp_path: Path) -> None:
    profile = ic.profile(transformer(), hardware="t4", layout="tensor=2,sequence=1", price=1.0, batch=8, sequence=128)
    with opened(browser, written(tmp_path / "stages.html", profile.to_html())) as page:
        assert "has sequence, which the page cannot change" in page.inner_text("#fixed")
        assert headline(page)["latency_s"] == profile.to_dict()["estimate"]["latency_s"]
        assert page.locator("#layout-panel").is_visible()
        assert page.locator("#settings").is_hidden()


def test_hostile_names_of_a_graph_stay_text(browser: Any, tmp_path: Path) -> None:
    with opened(browser, written(tmp_path / "evil.html", evil_profile().to_html()), ready=RESTED) as page:
        choose(page, "machine", "l4")
        page.click("#expand")
        assert page.evaluate("window.taken") is None
        assert page.locator("#tree img, #details img, #tree b, #tree i, main script, #controls img").count() == 0
        shown = page.inner_text("#tree")
        for name in EVIL:
            assert name in shown
        assert "evil.<i>op</i>" in page.inner_text("#ledger")
        page.get_by_text("Copy the command").click()
        assert page.locator("#command *").count() == 0


@pytest.mark.slow
def test_models_at_the_edge(browser: Any, tmp_path: Path) -> None:
    """One op, an op that is not modeled, and no op at all."""
    builder = ic.GraphBuilder("one")
    x, y = builder.tensor("float32", (8, 8), role="input"), builder.tensor("float32", (8, 8))
    builder.node("aten.relu.default", {"self": x}, [y], module="act")
    empty = ic.GraphBuilder("empty")
    z = empty.tensor("float32", (8, 8), role="input")
    graphs = (builder.build([x], [y]), blocks(custom_op=True), empty.build([z], [z]))
    for number, graph in enumerate(graphs):
        profile = ic.profile(graph, hardware="t4", price="on-demand")
        with opened(browser, written(tmp_path / f"{number}.html", profile.to_html()), ready=RESTED) as page:
            choose(page, "machine", "l4")
            expected = ic.profile(profile, hardware="l4").to_dict()["estimate"]
            assert headline(page)["latency_s"] == pytest.approx(expected["latency_s"], rel=SAME)
            assert page.inner_text("#fixed") == ""
            assert ("mylib.mix" in page.inner_text("#ledger")) == (number == 1)
            assert page.locator("#catalog-table tbody tr").count() > 0 or number == 2


@pytest.mark.slow
def test_devices_of_a_stored_layout_are_shown_and_can_be_changed(browser: Any, tmp_path: Path) -> None:
    profile = ic.profile(transformer(), hardware="a100-sxm-80gb", layout="data=2", price=1.0, batch=8, sequence=128)
    with opened(browser, written(tmp_path / "two.html", profile.to_html()), ready=RESTED) as page:
        assert page.locator("#layout-panel").is_visible()
        check_time(page, profile)
        choose(page, "devices", "4")
        check_time(page, ic.profile(profile, layout="data=4"))


def command_of(page: Any) -> list[str]:
    page.get_by_text("Copy the command").click()
    return shlex.split(page.input_value("#copied"))


@pytest.mark.slow
def test_whole_instances_are_paid_for_as_on_the_command_line(browser: Any, tmp_path: Path) -> None:
    """Offers of MI300X have eight of them, so that two pay for eight."""
    graph, options = transformer(), {"hardware": "mi300x", "batch": 8, "sequence": 128}
    profile = ic.profile(graph, layout="pipeline=2", price="on-demand", **options)
    with opened(browser, written(tmp_path / "two.html", profile.to_html()), ready=RESTED) as page:
        for turn in range(2):  # as it is stored, and as the page estimates it
            check_paid(page, profile)
            assert "1 instance of 8 devices, 6 of them unused" in page.inner_text("#headline")
            assert command_of(page)[-8:-4] == ["--layout", "pipeline=2", "--price", "on-demand"]
            if not turn:
                choose(page, "machine", "l4")
                choose(page, "machine", "mi300x")
        choose(page, "layout", "1 1")
        check_paid(page, ic.profile(graph, devices=2, price="on-demand", **options))
        assert command_of(page)[-8:-4] == ["--layout", "data=2", "--price", "on-demand"]
        choose(page, "usd_per_h", "3")
        check_paid(page, ic.profile(graph, layout="data=2", price=3.0, **options))
        choose(page, "usd_per_h", "")
        choose(page, "devices", "1")
        check_paid(page, ic.profile(graph, price="on-demand", **options))
        assert command_of(page)[-6:-4] == ["--price", "on-demand"]


@pytest.mark.parametrize(
    "way", [{"devices": 3}, {"layout": "tensor=1"}, {"layout": "data=2"}, {"layout": "pipeline=2"}]
)
@pytest.mark.parametrize("price", ["on-demand", "spot", "aws/p5.48xlarge:spot", 1.25])
@pytest.mark.sample(1)
def test_the_first_point_pays_what_its_profile_does(
    browser: Any, tmp_path: Path, way: dict[str, Any], price: str | float
) -> None:
    options = {"hardware": "h100-sxm-80gb", "batch": 8, "sequence": 128, **way}
    profile = ic.profile(transformer(), price=price, **options)
    with opened(browser, written(tmp_path / "first.html", profile.to_html()), ready=RESTED) as page:
        choose(page, "size.batch", "9")
        check_paid(page, ic.profile(profile, batch=9))
        words = command_of(page)
        assert words[words.index("--price") + 1] == str(price)


def check_paid(page: Any, point: ic.results.Profile) -> None:
    known = figures_of(point)
    keys = ("latency_s", "throughput_per_s", "energy_j", "cost_usd")
    shown = headline(page)
    assert {key: shown[key] for key in keys} == pytest.approx({key: known[key] for key in keys}, rel=SAME, abs=0)


def check_time(page: Any, point: ic.results.Profile) -> None:
    assert point.estimate is not None
    assert headline(page)["latency_s"] == pytest.approx(point.estimate.latency_s, rel=SAME)


@pytest.mark.parametrize("size", ["wide", "tablet", "phone"])
@pytest.mark.sample(1)
def test_nothing_is_clipped_beside_the_settings(browser: Any, file: Path, size: str) -> None:
    with opened(browser, file, size=size, ready=RESTED) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
        assert page.evaluate(CLIPPED) == []
        page.emulate_media(media="print")
        assert page.locator("#settings").is_hidden()
        page.emulate_media(media="screen")


def test_settings_can_be_used_with_the_keyboard(browser: Any, file: Path, profile: ic.results.Profile) -> None:
    with opened(browser, file) as page:
        slider = page.get_by_label("batch", exact=True)
        slider.focus()
        settle(page, lambda: page.keyboard.press("ArrowRight"))
        batch = int(page.input_value("#controls input[name='size.batch']"))
        assert batch > 8
        check(page, ic.profile(profile, batch=batch))
        assert slider.get_attribute("aria-valuetext") == str(batch)
        unlabeled = page.eval_on_selector_all(
            "#controls input, #controls select, #controls button",
            "found => found.filter(one => !one.labels?.length && !one.ariaLabel && !one.textContent).length",
        )
        assert unlabeled == 0


@pytest.mark.torch
def test_both_phases_of_a_language_model(browser: Any, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    spec = spec_of(tmp_path, LLAMA)
    result = ic.profile(spec, prompt=32, batch=2, hardware="l4", price="on-demand")
    text = result.to_html()
    with opened(browser, written(tmp_path / "both.html", text), ready=RESTED) as page:
        assert "to the first token, then" in page.inner_text("#phases-panel")
        check_time(page, result.decode)
        choose(page, "phase", "prefill")
        check_time(page, result.prefill)
        choose(page, "machine", "t4")
        check_time(page, ic.profile(result.prefill, hardware="t4"))
        choose(page, "engine", "vllm")  # q_proj, k_proj and v_proj are one product
        _, model, head, *_ = data(page, "#tree [data-key=parameters]", "v")
        assert int(model) + int(head) == result.decode.to_dict()["totals"]["parameters"]


def test_the_command_has_the_host_of_the_stored_machine(browser: Any, tmp_path: Path) -> None:
    profile = ic.profile(transformer(), hardware="l4", host="cloud", batch=1, sequence=128)
    with opened(browser, written(tmp_path / "host.html", profile.to_html()), ready=RESTED) as page:
        assert "--host cloud" in " ".join(command_of(page))
        check_time(page, profile)
        choose(page, "machine", "t4")
        assert "--host" not in command_of(page)
        choose(page, "machine", "l4")
        check_time(page, profile)
