"""Plots: data equals the documents, only the given axes change, and errors state a remedy."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.toy_graphs import blocks, transformer

import pyinfercost as ic
from pyinfercost.report.colors import BOUND
from pyinfercost.report.plots.breakdown import VALUES, breakdown_of
from pyinfercost.report.plots.memory import memory_of
from pyinfercost.report.roofline import roofline_of

matplotlib = pytest.importorskip(
    "matplotlib", reason="plots are drawn by matplotlib, which is not installed; run pip install 'pyinfercost[plot]'"
)
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

PRICES = {"l4": 0.8, "a100-sxm-80gb": 2.0}


@pytest.fixture(autouse=True)
def closed() -> Any:
    """Figures of a test end with it, and no setting of matplotlib has changed."""
    before = dict(matplotlib.rcParams)
    yield
    plt.close("all")
    assert dict(matplotlib.rcParams) == before


@pytest.fixture(scope="module")
def profile() -> ic.results.Profile:
    return ic.profile(
        transformer(2, 256, 4), hardware="a100-sxm-80gb", precision="fp16", execution="compiled", batch=64
    )


@pytest.fixture(scope="module")
def document(profile: ic.results.Profile) -> dict[str, Any]:
    return profile.to_dict()


@pytest.fixture(scope="module")
def sweep() -> ic.results.Sweep:
    graph = transformer(2, 512, 8)
    return ic.sweep(
        graph,
        hardware=list(PRICES),
        precision=["fp32", "fp16"],
        execution="cuda_graph",
        batch=range(1, 129),
        price=PRICES,
    )


def texts_of(ax: Any) -> str:
    return "\n".join([ax.get_title(loc="left"), *(text.get_text() for text in ax.texts)])


def with_gid(ax: Any, gid: str) -> list[Any]:
    return [line for line in ax.lines if line.get_gid() == gid]


# ---- the roofline ----


def test_dots_lie_where_the_document_says(profile: ic.results.Profile, document: dict[str, Any]) -> None:
    (dots,) = profile.plot_roofline().collections
    layers = [layer for layer in document["layers"] if layer["latency_s"] and layer["kernel_flops"]]
    layers.sort(key=lambda layer: -layer["latency_s"])
    wanted = [
        (layer["kernel_flops"] / layer["kernel_bytes"], layer["kernel_flops"] / layer["latency_s"]) for layer in layers
    ]
    assert np.allclose(dots.get_offsets(), wanted)
    areas = dots.get_sizes() / dots.get_sizes().sum()
    seconds = np.asarray([layer["latency_s"] for layer in layers])
    assert np.allclose(areas, seconds / seconds.sum())
    colors = [matplotlib.colors.to_hex(color) for color in dots.get_facecolor()]
    assert colors == [BOUND[layer["bound"]] for layer in layers]


def test_a_roof_for_each_rate_and_a_slope_for_each_memory(
    profile: ic.results.Profile, document: dict[str, Any]
) -> None:
    ax = profile.plot_roofline()
    line = roofline_of(document)
    drawn = [artist.get_ydata()[0] for artist in with_gid(ax, "roof")]
    assert sorted(drawn) == sorted(roof.flop_per_s for roof in line.roofs if roof.used)
    slopes = [artist.get_ydata() / artist.get_xdata() for artist in with_gid(ax, "slope")]
    assert np.allclose([slope[0] for slope in slopes], [slope.byte_per_s for slope in line.slopes])
    ridges = [artist.get_xdata()[0] for artist in with_gid(ax, "ridge")]
    assert ridges == [ridge.intensity for ridge in line.ridges if ridge.level == "dram"]
    assert with_gid(ax, "unused roof")
    assert not with_gid(profile.plot_roofline(unused=False), "unused roof")


def test_what_has_no_dot_is_said(profile: ic.results.Profile, document: dict[str, Any]) -> None:
    assert "no dot" not in texts_of(profile.plot_roofline())
    copying = json.loads(json.dumps(document))
    timed = [layer for layer in copying["layers"] if layer["latency_s"]]
    for layer in timed[:2]:
        layer["kernel_flops"] = 0.0
    share = sum(layer["latency_s"] for layer in timed[:2]) / sum(layer["latency_s"] for layer in timed)
    line = roofline_of(copying)
    assert line.without_flops == 2
    assert line.without_flops_share == pytest.approx(share)
    ax = ic.plots.plot_roofline(copying)
    assert "2 layers compute nothing" in texts_of(ax)
    assert len(ax.collections[0].get_offsets()) == len(timed) - 2
    assert "no dot" not in texts_of(ic.plots.plot_roofline(copying, caption=False))


@pytest.mark.slow
def test_several_profiles_on_one_roofline(profile: ic.results.Profile) -> None:
    other = ic.profile(transformer(2, 256, 4), hardware="l4", batch=64)
    ax = ic.plots.plot_roofline([profile, other])
    assert len(ax.collections) == 2
    wanted = [roof for given in (profile, other) for roof in roofline_of(given.to_dict()).roofs if roof.used]
    assert len(with_gid(ax, "roof")) == len(wanted)
    same = ic.plots.plot_roofline([profile, profile])
    assert len(with_gid(same, "roof")) == len([roof for roof in roofline_of(profile.to_dict()).roofs if roof.used])


@pytest.mark.slow
def test_a_second_plot_keeps_the_first_in_sight(profile: ic.results.Profile) -> None:
    ax = ic.plots.plot_roofline(ic.profile(blocks(), hardware="l4", batch=2))
    before = (*ax.get_xlim(), *ax.get_ylim())
    profile.plot_roofline(ax)
    after = (*ax.get_xlim(), *ax.get_ylim())
    assert after[0] <= before[0] and after[1] >= before[1]  # noqa: PT018 - two ends of one range
    assert after[2] <= before[2] and after[3] >= before[3]  # noqa: PT018


def test_labels_of_a_roofline_do_not_overlap(profile: ic.results.Profile) -> None:
    ax = profile.plot_roofline()
    ax.figure.canvas.draw()
    boxes = [matplotlib.text.Text.get_window_extent(text) for text in ax.texts]
    assert len(boxes) > 5
    overlapping = [(i, j) for i, one in enumerate(boxes) for j, two in enumerate(boxes[:i]) if one.overlaps(two)]
    assert not overlapping


# ---- the breakdown ----


@pytest.mark.parametrize("value", list(VALUES))
@pytest.mark.parametrize("by", ["module", "op", "bound", "effect"])
def test_bars_add_up_to_the_whole(document: dict[str, Any], by: str, value: str) -> None:
    result = breakdown_of(document, by=by, value=value, top=3)
    ax = ic.plots.plot_breakdown(document, by=by, value=value, top=3)
    assert len(result.parts) <= 3
    assert sum(part.share for part in result.parts) == pytest.approx(1)
    assert sum(patch.get_width() for patch in ax.patches) == pytest.approx(result.whole)
    wanted = {
        "latency_s": document["estimate"]["latency_s"],
        "energy_j": document["estimate"]["energy_j"],
        "flops": document["totals"]["contraction_flops"] + document["totals"]["pointwise_flops"],
        "traffic_bytes": document["totals"]["bytes_read"] + document["totals"]["bytes_written"],
    }[value]
    assert result.whole == pytest.approx(wanted)


def test_modules_down_to_a_depth(document: dict[str, Any]) -> None:
    layers = [layer for layer in document["layers"] if layer["module"].startswith("1.")]
    seconds = sum(layer["latency_s"] for layer in layers)
    parts = {part.name: part for part in breakdown_of(document, depth=1).parts}
    assert parts["1"].value == pytest.approx(seconds)
    deeper = {part.name for part in breakdown_of(document, depth=None, top=None).parts}
    assert "1.up" in deeper
    merged = {part.name: part for part in breakdown_of(document, depth=None, top=None, merge=True).parts}
    both = [layer["latency_s"] for layer in document["layers"] if layer["module"] in ("0.up", "1.up")]
    assert merged["*.up"].value == pytest.approx(sum(both))


def test_work_in_the_kernel_of_another_is_fused(document: dict[str, Any]) -> None:
    fused = [
        layer["contraction_flops"] + layer["pointwise_flops"]
        for layer in document["layers"]
        if layer["latency_s"] == 0 and layer["bound"] is not None
    ]
    parts = {part.name: part for part in breakdown_of(document, by="bound", value="flops").parts}
    assert sum(fused) > 0
    assert parts["fused"].value == sum(fused)


def test_counts_need_no_machine_and_say_what_is_unknown() -> None:
    counted = ic.profile(blocks(custom_op=True), batch=4)
    result = breakdown_of(counted.to_dict(), value="flops")
    assert [list(part.segments) for part in result.parts] == [["unbound"]] * len(result.parts)
    counted.plot_breakdown(value="traffic_bytes")
    timed = ic.profile(blocks(custom_op=True), hardware="l4", batch=4)
    assert breakdown_of(timed.to_dict()).unknown == 1
    assert "1 layer is not modeled" in texts_of(timed.plot_breakdown())


# ---- memory ----


def test_the_area_is_what_is_held(profile: ic.results.Profile, document: dict[str, Any]) -> None:
    ax = profile.plot_memory(fixed=True)
    area = ax.collections[-1].get_paths()[0].vertices
    fixed = (
        document["totals"]["parameter_bytes"] + document["totals"]["buffer_bytes"] + document["memory"]["input_bytes"]
    )
    live = [layer["live_activation_bytes"] for layer in document["layers"]]
    assert area[:, 1].min() == fixed
    assert set(np.asarray(live) + fixed) <= set(area[:, 1])
    assert area[:, 1].max() == document["totals"]["peak_memory_bytes"]
    assert document["memory"]["peak_op"].split(".")[1] in texts_of(ax)


def test_the_memory_of_the_machine_is_a_line_where_it_is_in_reach(document: dict[str, Any]) -> None:
    far = ic.plots.plot_memory(document, fixed=True)
    assert "85.90 GB" in texts_of(far)  # 80 GiB
    near = json.loads(json.dumps(document))
    near["estimate"]["machine"]["memory"][-1]["capacity_bytes"] = 2.0 * document["totals"]["peak_memory_bytes"]
    lines = [line.get_ydata()[0] for line in ic.plots.plot_memory(near, fixed=True).lines]
    assert 2.0 * document["totals"]["peak_memory_bytes"] in lines


def test_weights_that_would_hide_the_rest_are_left_out(document: dict[str, Any]) -> None:
    heavy = json.loads(json.dumps(document))
    heavy["totals"]["parameter_bytes"] += 10**12
    heavy["totals"]["peak_memory_bytes"] += 10**12
    ax = ic.plots.plot_memory(heavy)
    assert len(ax.collections) == 1
    assert "not drawn" in texts_of(ax)
    assert len(ic.plots.plot_memory(heavy, fixed=True).collections) == 3


def test_sections_cover_all_nodes(document: dict[str, Any]) -> None:
    sections = memory_of(document).sections
    assert sections[0].first == 0
    assert sections[-1].end == len(document["layers"])
    assert all(one.end == two.first for one, two in pairwise(sections))


# ---- as users of matplotlib expect ----


def every_plot(profile: ic.results.Profile, sweep: ic.results.Sweep) -> list[Any]:
    return [profile.plot_roofline, profile.plot_breakdown, profile.plot_memory, sweep.plot]


@pytest.mark.slow
def test_given_axes_are_used_and_no_others(profile: ic.results.Profile, sweep: ic.results.Sweep) -> None:
    for plot in every_plot(profile, sweep):
        figure, (left, right) = plt.subplots(1, 2, layout="constrained")
        assert plot(ax=left) is left
        assert plt.get_fignums() == [figure.number]
        assert not right.has_data()
        assert plt.gca() is right  # the current axes stay what they were
        figure.canvas.draw()
        plt.close(figure)
        made = plot()
        assert plt.get_fignums() == [made.figure.number]
        plt.close("all")


def test_titles_captions_and_legends_can_be_left_out(profile: ic.results.Profile, sweep: ic.results.Sweep) -> None:
    for plot in every_plot(profile, sweep):
        bare = plot(title=False, caption=False, legend=False)
        assert bare.get_title(loc="left") == ""
        assert bare.get_legend() is None
        assert not [text for text in bare.texts if text.get_gid() == "caption"]
        assert plot(title="mine").get_title(loc="left") == "mine"


def test_options_of_matplotlib_are_passed_on(profile: ic.results.Profile, sweep: ic.results.Sweep) -> None:
    assert profile.plot_roofline(alpha=0.3).collections[0].get_alpha() == 0.3
    assert profile.plot_breakdown(height=0.5).patches[0].get_height() == pytest.approx(0.5)
    assert profile.plot_memory(alpha=0.2).collections[-1].get_alpha() == 0.2
    assert sweep.plot(linewidth=4).lines[0].get_linewidth() == 4


@pytest.mark.slow
def test_any_style_will_do(profile: ic.results.Profile, sweep: ic.results.Sweep) -> None:
    for style in ("dark_background", "ggplot", "grayscale"):
        with plt.style.context(style):
            for plot in every_plot(profile, sweep):
                plot().figure.canvas.draw()
            plt.close("all")


@pytest.mark.slow
def test_profiles_from_files_are_drawn(tmp_path: Path, profile: ic.results.Profile) -> None:
    path = tmp_path / "profile.json"
    path.write_text(profile.to_json(), encoding="utf-8")
    for read in (path, str(path), json.loads(path.read_text(encoding="utf-8"))):
        (dots,) = ic.plots.plot_roofline(read).collections
        assert np.array_equal(dots.get_offsets(), profile.plot_roofline().collections[0].get_offsets())


# ---- what is refused ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "layer"}, r"by is 'layer'; expected one of 'module', 'op', 'bound', 'effect'"),
        ({"value": "watts"}, r"value is 'watts'; expected one of 'flops', .*"),
        ({"depth": 0}, r"depth must be at least 1"),
        ({"top": 0}, r"top must be at least 1"),
    ],
)
def test_wrong_words_of_a_breakdown(profile: ic.results.Profile, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        profile.plot_breakdown(**options)


def test_profiles_that_do_not_have_it() -> None:
    counted = ic.profile(blocks(), batch=2)
    with pytest.raises(ValueError, match="profile with hardware="):
        counted.plot_roofline()
    with pytest.raises(ValueError, match="value='flops'"):
        counted.plot_breakdown()
    with pytest.raises(ValueError, match="has no layers"):
        ic.plots.plot_memory({"layers": [], "totals": {}, "estimate": None})
    with pytest.raises(ValueError, match="is not a profile"):
        ic.plots.plot_memory({"points": []})
    with pytest.raises(TypeError, match="of type int"):
        ic.plots.plot_memory(3)
    with pytest.raises(TypeError, match="expected matplotlib Axes"):
        counted.plot_memory(ax=plt.subplots(1, 2)[1])
    with pytest.raises(ValueError, match="profile is an empty sequence"):
        ic.plots.plot_roofline([])


def test_without_matplotlib_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import pyinfercost as ic\n"
        "from support.toy_graphs import blocks\n"
        "profile = ic.profile(blocks(), hardware='l4', batch=2)\n"
        "try:\n"
        "    profile.plot_roofline()\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    tests = Path(__file__).parents[1]
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tests)
    assert "pip install 'pyinfercost[plot]'" in result.stdout
