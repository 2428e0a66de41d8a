"""Names, cores and memory as reported by drivers, and the matching device of the catalog."""

from __future__ import annotations

import pytest

from pyinfercost.hardware.driver_names import identify

GIB = 2**30


@pytest.mark.parametrize(
    ("name", "cores", "gib", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", 132, 79.1, "h100-sxm-80gb"),
        ("NVIDIA H100 PCIe", 114, 79.1, "h100-pcie-80gb"),
        ("NVIDIA H100 NVL", 132, 93.1, "h100-nvl-94gb"),
        ("NVIDIA H200", 132, 139.8, "h200-sxm-141gb"),
        ("NVIDIA A100-SXM4-80GB", 108, 79.2, "a100-sxm-80gb"),
        ("NVIDIA A100 80GB PCIe", 108, 79.2, "a100-pcie-80gb"),
        ("NVIDIA A100-SXM4-40GB", 108, 39.4, "a100-sxm-40gb"),
        ("Tesla T4", 40, 14.6, "t4"),
        ("NVIDIA L4", 58, 22.0, "l4"),
        ("NVIDIA L40S", 142, 44.4, "l40s"),
        ("NVIDIA L40", 142, 44.4, "l40"),
        ("Tesla V100-SXM2-16GB", 80, 15.8, "v100-sxm-16gb"),
        ("NVIDIA RTX 6000 Ada Generation", 142, 47.5, "rtx-6000-ada"),
        ("NVIDIA RTX A6000", 84, 47.5, "rtx-a6000"),
        # Not in the catalog: another card of the name, and a seventh of one.
        ("NVIDIA GeForce RTX 3090 Ti", 84, 23.7, None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", 16, 9.5, None),
        ("Some GPU", 132, 79.1, None),
    ],
)
def test_devices_as_drivers_name_them(name: str, cores: int, gib: float, expected: str | None) -> None:
    assert identify(name, cores=cores, memory_bytes=int(gib * GIB)) == expected


def test_cores_tell_two_cards_of_one_name_apart() -> None:
    assert identify("NVIDIA H100", cores=114, memory_bytes=int(79.1 * GIB)) == "h100-pcie-80gb"
    assert identify("NVIDIA H100", cores=132, memory_bytes=int(79.1 * GIB)) == "h100-sxm-80gb"
    # Peaks are the same, bandwidths are not: no guess.
    assert identify("NVIDIA A100", cores=108, memory_bytes=int(79.2 * GIB)) is None
