"""A sample of torchvision's models compared with its published figures, to the printed digits.

The whole of it is `python tests/zoo/run.py --library torchvision`.
"""

from __future__ import annotations

import pytest

import pyinfercost as ic

torchvision = pytest.importorskip("torchvision")

from zoo.case import Case  # noqa: E402 - needs torchvision, as its cases do
from zoo.torchvision_models import BOXES_FOUND, GIGA, cases  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::UserWarning:torch", "ignore::FutureWarning")]

CASES = {case.name: case for case in cases()}
SAMPLE = [
    "resnet18:IMAGENET1K_V1",
    "efficientnet_v2_s:IMAGENET1K_V1",
    "vit_b_16:IMAGENET1K_SWAG_E2E_V1",
    "deeplabv3_mobilenet_v3_large:COCO_WITH_VOC_LABELS_V1",
    "lraspp_mobilenet_v3_large:COCO_WITH_VOC_LABELS_V1",
    "r2plus1d_18:KINETICS400_V1",
    "swin3d_t:KINETICS400_V1",
    "raft_small:C_T_V2",
    # One of each family of detectors.
    "fasterrcnn_mobilenet_v3_large_320_fpn:COCO_V1",
    "fasterrcnn_resnet50_fpn:COCO_V1",
    "maskrcnn_resnet50_fpn:COCO_V1",
    "keypointrcnn_resnet50_fpn:COCO_V1",
    "retinanet_resnet50_fpn:COCO_V1",
    "fcos_resnet50_fpn:COCO_V1",
    "ssd300_vgg16:COCO_V1",
    "ssdlite320_mobilenet_v3_large:COCO_V1",
]


def published(case: Case) -> tuple[float, int]:
    model, _, weights = case.name.partition(":")
    meta = torchvision.models.get_model_weights(model)[weights].meta
    return meta["_ops"], meta["num_params"]


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLE)
def test_published_figures(name: str) -> None:
    case = CASES[name]
    module, args, kwargs = case.build()
    graph = ic.capture(module, ic.Inputs(args, kwargs), **case.sizes)
    counts = ic.count(graph)
    assert counts.unmodelled == {}
    assert (round(counts.total.macs / GIGA, 3), counts.total.parameters) == published(case)
    assert ic.count(ic.Graph.from_json(graph.to_json())).total.to_dict() == counts.total.to_dict()


def test_every_model_is_listed_once_per_set_of_weights() -> None:
    listed = {case.name.partition(":")[0] for case in CASES.values()}
    quantized = {
        name
        for name in torchvision.models.list_models()
        if ".quantization." in torchvision.models.get_model_builder(name).__module__
    }
    assert listed == set(torchvision.models.list_models()) - quantized
    assert BOXES_FOUND.keys() <= CASES.keys()
    for case in CASES.values():
        if ":" in case.name:
            ops, parameters = published(case)
            assert case.flops() == 2 * round(ops * GIGA)
            assert case.parameters() == parameters


@pytest.mark.slow
def test_boxes_found_are_the_difference_between_published_figures() -> None:
    """The work of the heads per box, written out, times how many boxes were found."""
    per_box = {
        "mask": 4 * 14 * 14 * 256 * 256 * 9 + 4 * 14 * 14 * 256 * 256 + 28 * 28 * 256 * 91,
        "keypoint": 14 * 14 * 512 * (256 * 9 + 7 * 512 * 9 + 17 * 16),
        "proposal": 7 * 7 * 256 * 1024 + 1024 * 1024 + 1024 * 91 * 5,
    }
    ops = {name: published(case)[0] * GIGA for name, case in CASES.items() if ":" in name}
    digits = GIGA / 1000  # of each of two figures, half of it
    found = ops["maskrcnn_resnet50_fpn_v2:COCO_V1"] - ops["fasterrcnn_resnet50_fpn_v2:COCO_V1"]
    assert abs(found - 100 * per_box["mask"]) <= digits
    assert ops["maskrcnn_resnet50_fpn:COCO_V1"] == ops["fasterrcnn_resnet50_fpn:COCO_V1"]
    found = ops["keypointrcnn_resnet50_fpn:COCO_V1"] - ops["keypointrcnn_resnet50_fpn:COCO_LEGACY"]
    assert abs(found - per_box["keypoint"]) <= digits
    case = CASES["fasterrcnn_mobilenet_v3_large_fpn:COCO_V1"]
    module, args, kwargs = case.build()
    assert abs(
        ic.count(ic.capture(module, ic.Inputs(args, kwargs))).total.macs - ops[case.name] - 1000 * per_box["proposal"]
    ) <= (digits)


@pytest.mark.slow
def test_a_detector_counts_what_it_is_told_to_find() -> None:
    """One graph at any number of proposals that a second stage keeps, up to the most that it takes."""
    graph = ic.capture("torchvision:fasterrcnn_resnet50_fpn")
    most = ic.count(graph)
    fewer = ic.capture("torchvision:fasterrcnn_resnet50_fpn", **{"rpn.nms": 300})
    per_proposal = 7 * 7 * 256 * 1024 + 1024 * 1024 + 1024 * 91 * 5
    assert most.total.macs - ic.count(fewer).total.macs == 700 * per_proposal
    assert ic.count(graph, **{"rpn.nms": 2000}).total.macs == most.total.macs  # 1000 are kept
    with pytest.raises(ValueError, match=r"holds only where min\(1000, rpn.nms\) == 1000"):
        ic.count(graph, **{"rpn.nms": 300})
    with pytest.raises(ValueError, match=r"'rpn.nms' .*at most 4507, which is"):
        ic.count(graph, **{"rpn.nms": 5000})


@pytest.mark.parametrize("name", ["googlenet", "quantized_googlenet"])
@pytest.mark.sample(1)
def test_specs_leave_out_the_heads_that_published_weights_drop(name: str) -> None:
    meta = next(iter(torchvision.models.get_model_weights(name))).meta
    total = ic.count(ic.capture(f"torchvision:{name}", batch=1)).total
    assert (total.parameters, round(total.macs / GIGA, 3)) == (meta["num_params"], meta["_ops"])
