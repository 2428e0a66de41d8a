"""Table of rules for passing channels through operators. An operator without a rule fixes the dimensions it reads."""

from __future__ import annotations

from functools import cache
from types import MappingProxyType

from ... import _core
from ...errors import TooLargeError
from . import layers, pointwise, reduction_rules, views
from .units import LockedError
from .walk import Rule, Walk

BY_RELATION = MappingProxyType(
    {
        "like_first": pointwise.like_self,
        "gated": pointwise.gated,
        "regroup": views.regroup,
        **dict.fromkeys(("permute", "swap_dims", "swap_axes", "swap_last"), views.turn),
        "unsqueeze": views.unsqueeze,
        "squeeze": views.squeeze,
        "split": views.split,
        "cut": views.cut,
        "take_out": views.take_out,
        "concatenate": views.concatenate,
        "stack": views.stack,
        "expand": views.expand,
        "repeat": views.repeat,
        "repeat_each": views.repeat_interleave,
        "pad": views.pad,
        "triangle": reduction_rules.triangle,
        **dict.fromkeys(("to_complex", "to_pairs"), reduction_rules.complex_pairs),
        **dict.fromkeys(("sum", "statistic", "extreme"), reduction_rules.reduce),
        **dict.fromkeys(("along", "along_last", "along_dims"), reduction_rules.along),
        "row_norm": pointwise.row_norm,
        "channel_norm": pointwise.channel_norm,
        "group_norm": pointwise.group_norm,
        "embedding": layers.embedding,
        **dict.fromkeys(("index", "index_select"), reduction_rules.look_up),
        "linear": layers.linear,
        **dict.fromkeys(("mm", "addmm", "baddbmm", "matmul"), layers.product),
        "einsum": layers.einsum,
        "convolution": layers.convolution,
        "attention": layers.attention,
    }
)
"""Rules by the relation of an operator's row."""


def _rows(rule: Rule, names: str) -> dict[str, Rule]:
    return {f"aten.{name}": rule for name in names.split()}


# Of operators whose relation is another, or whose row has none: layouts divide none of their tensors. Channels of
# operators with None are fixed.
_BY_NAME: MappingProxyType[str, Rule | None] = MappingProxyType(
    {
        "higher_order.flex_attention": None,
        "aten._scaled_dot_product_fused_attention_overrideable": None,
        **dict.fromkeys(("aten.imag", "aten.quantize_per_tensor", "aten.t_copy")),
        **_rows(layers.convolution, "_convolution conv_transpose1d conv_transpose2d conv_transpose3d"),
        **_rows(layers.product, "mv"),
        **_rows(pointwise.prelu, "prelu"),
        **_rows(pointwise.pointwise, "copy max.other min.other"),
        **_rows(
            pointwise.channel_norm,
            "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training _batch_norm_no_update "
            "_batch_norm_impl_index cudnn_batch_norm instance_norm",
        ),
        "timm.fast_group_norm": pointwise.group_norm,
        **_rows(
            pointwise.like_self,
            "resolve_conj resolve_neg alias_copy detach_copy pin_memory dropout native_dropout feature_dropout "
            "alpha_dropout feature_alpha_dropout bernoulli uniform normal_",
        ),
        **_rows(views.turn, "mH adjoint movedim moveaxis"),
        **_rows(
            views.pad,
            "reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d",
        ),
        **_rows(views.shuffle, "pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle"),
        **_rows(reduction_rules.reduce, "nanmean nansum aminmax count_nonzero std_mean"),
        **_rows(
            reduction_rules.along,
            "special_softmax cummax cummin logcumsumexp argmax argmin renorm kthvalue median mode",
        ),
        **_rows(reduction_rules.sampled, "grid_sampler grid_sampler_2d grid_sampler_3d"),
        "torchvision.roi_align": reduction_rules.sampled,
        "torchvision.roi_pool": reduction_rules.sampled,
        **_rows(reduction_rules.windows, "unfold"),
    }
)

_BY_FAMILY = MappingProxyType(
    {
        "pointwise": pointwise.pointwise,
        "special": pointwise.pointwise,
        "pooling": reduction_rules.spatial,
        "creation": reduction_rules.made,
    }
)
_NOT_POINTWISE = ("fake_quantize", "mvlgamma", "max_unpool", "fractional", "resize", "_sobol", "binomial", "_sample")


@cache
def rule_of(op: str, overload: str) -> Rule | None:
    """Return the rule of an operator; None if there is none."""
    plain = op.rstrip("_")
    for name in (f"{plain}.{overload}", op, plain):
        if name in _BY_NAME:
            return _BY_NAME[name]
    row = _core.find_rule(f"{op}.{overload}")
    if row is not None and row.relation in BY_RELATION:
        return BY_RELATION[row.relation]
    if plain.startswith(("aten.upsample_", "aten._upsample_")):
        return reduction_rules.spatial
    if row is None or any(part in op for part in _NOT_POINTWISE):
        return None
    return _BY_FAMILY.get(row.family)


def follow(walk: Walk) -> None:
    """Apply the rules to all nodes. If a rule is missing or fails, the node's dimensions are fixed with a reason."""
    for node in walk.nodes:
        if not node.results:
            continue
        place = f" of {node.module}" if node.module else ""
        rule = rule_of(node.op, node.overload)
        if rule is None:
            walk.lock(node, f"there is no channel rule for {node.op}{place}")
            continue
        if not node.operands:
            rule = reduction_rules.made
        try:
            rule(walk, node)
        except LockedError as why:
            walk.lock(node, f"{why} ({node.op}{place})")
        except TooLargeError:
            raise
        except (IndexError, TypeError, ValueError) as why:  # an unsupported form of an argument
            walk.lock(node, f"{node.op}{place} is called in an unsupported form ({why})")
