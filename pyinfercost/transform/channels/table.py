"""Table of rules for passing channels through operators. An operator without a rule fixes the dimensions it reads."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from ... import _core
from ...errors import TooLargeError
from . import layers, pointwise, reducing, views
from .units import LockedError
from .walk import Rule, Walk

if TYPE_CHECKING:
    from ..._core import NodeInfo


def _rows(rule: Rule, names: str) -> dict[str, Rule]:
    return {f"aten.{name}": rule for name in names.split()}


RULES = MappingProxyType(
    {
        **_rows(layers.linear, "linear"),
        **_rows(layers.embedding, "embedding"),
        **_rows(
            layers.convolution,
            "conv1d conv2d conv3d convolution _convolution conv_transpose1d conv_transpose2d conv_transpose3d",
        ),
        **_rows(layers.product, "mm addmm bmm baddbmm matmul linalg_matmul mv _addmm_activation"),
        **_rows(layers.einsum, "einsum"),
        **_rows(
            layers.attention,
            "scaled_dot_product_attention _scaled_dot_product_flash_attention "
            "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_efficient_attention "
            "_scaled_dot_product_cudnn_attention _scaled_dot_product_attention_math",
        ),
        **_rows(pointwise.gated, "glu"),
        **_rows(pointwise.prelu, "prelu"),
        **_rows(
            pointwise.channel_norm,
            "batch_norm native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training "
            "_batch_norm_no_update _batch_norm_impl_index cudnn_batch_norm instance_norm",
        ),
        **_rows(pointwise.row_norm, "layer_norm native_layer_norm rms_norm _fused_rms_norm"),
        **_rows(pointwise.group_norm, "group_norm native_group_norm"),
        "timm.fast_group_norm": pointwise.group_norm,
        **_rows(
            pointwise.like_self,
            "to type_as _to_copy clone contiguous alias detach lift_fresh lift_fresh_copy positive resolve_conj "
            "resolve_neg conj _conj real fill zero alias_copy detach_copy pin_memory dropout native_dropout "
            "feature_dropout alpha_dropout feature_alpha_dropout bernoulli uniform normal_",
        ),
        **_rows(
            views.regroup,
            "view _unsafe_view view_as _reshape_alias reshape reshape_as flatten unflatten ravel view_copy",
        ),
        **_rows(
            views.turn,
            "permute transpose t numpy_T mT mH adjoint movedim moveaxis swapaxes swapdims permute_copy transpose_copy",
        ),
        **_rows(views.unsqueeze, "unsqueeze unsqueeze_copy"),
        **_rows(views.squeeze, "squeeze squeeze_copy"),
        **_rows(views.cut, "slice narrow slice_copy narrow_copy"),
        **_rows(
            views.split, "split split_with_sizes chunk unsafe_split unsafe_split_with_sizes unsafe_chunk tensor_split"
        ),
        **_rows(views.take_out, "select unbind select_copy unbind_copy"),
        **_rows(views.concatenate, "cat concat concatenate"),
        **_rows(views.stack, "stack"),
        **_rows(views.expand, "expand expand_as broadcast_to expand_copy"),
        **_rows(views.repeat, "repeat tile"),
        **_rows(views.repeat_interleave, "repeat_interleave"),
        **_rows(
            views.pad,
            "pad constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d "
            "replication_pad2d replication_pad3d",
        ),
        **_rows(views.shuffle, "pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle"),
        **_rows(
            reducing.reduce,
            "sum mean nanmean nansum prod max min amax amin aminmax any all count_nonzero norm linalg_vector_norm var "
            "std var_mean std_mean logsumexp",
        ),
        **_rows(
            reducing.along,
            "softmax _softmax _safe_softmax log_softmax _log_softmax special_softmax cumsum cumprod cummax cummin "
            "logcumsumexp topk sort argsort argmax argmin roll flip renorm kthvalue median mode",
        ),
        **_rows(reducing.triangle, "tril triu"),
        **_rows(reducing.sampled, "grid_sampler grid_sampler_2d grid_sampler_3d"),
        "torchvision.roi_align": reducing.sampled,
        "torchvision.roi_pool": reducing.sampled,
        **_rows(reducing.look_up, "index _unsafe_index index_select"),
        **_rows(reducing.windows, "unfold"),
        **_rows(reducing.complex_pairs, "view_as_complex view_as_real"),
    }
)

_BY_FAMILY = MappingProxyType(
    {
        "pointwise": pointwise.pointwise,
        "special": pointwise.pointwise,
        "pooling": reducing.spatial,
        "creation": reducing.made,
    }
)
_NOT_POINTWISE = ("fake_quantize", "mvlgamma", "max_unpool", "fractional", "resize", "_sobol", "binomial", "_sample")


def rule_of(node: NodeInfo) -> Rule | None:
    """Return the rule of a node's operator; None if there is none."""
    name = node.op
    plain = name.rstrip("_")
    if plain in ("aten.max", "aten.min") and node.overload == "other":
        return pointwise.pointwise
    for each in (name, plain):
        if each in RULES:
            return RULES[each]
    if plain == "aten.copy":
        return pointwise.pointwise
    if plain.startswith(("aten.upsample_", "aten._upsample_")):
        return reducing.spatial
    found = _core.find_rule(f"{node.op}.{node.overload}")
    if found is None or any(part in name for part in _NOT_POINTWISE):
        return None
    return _BY_FAMILY.get(found.family)


def follow(walk: Walk) -> None:
    """Apply the rules to all nodes. If a rule is missing or fails, the node's dimensions are fixed with a reason."""
    for node in walk.nodes:
        if not node.results:
            continue
        place = f" of {node.module}" if node.module else ""
        rule = rule_of(node)
        if rule is None:
            walk.lock(node, f"there is no channel rule for {node.op}{place}")
            continue
        if not node.operands:
            rule = reducing.made
        try:
            rule(walk, node)
        except LockedError as why:
            walk.lock(node, f"{why} ({node.op}{place})")
        except TooLargeError:
            raise
        except (IndexError, TypeError, ValueError) as why:  # an unsupported form of an argument
            walk.lock(node, f"{node.op}{place} is called in an unsupported form ({why})")
