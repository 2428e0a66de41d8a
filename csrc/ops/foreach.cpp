// Pointwise ops on lists of tensors.
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace foreach_table {

template <int N>
void each_of(const Call& call, Work& work) {
    work.kind = WorkKind::pointwise;
    work.dtype = arithmetic_dtype(call);
    for (std::size_t i = 0; i < call.output_count(); ++i) {
        work.pointwise_flops += call.numel(call.output(i)) * (N * parts_of(work.dtype));
    }
}

// Results of in-place calls share the storage of the tensors in the first list, each with its own.
constexpr TrafficShape lists{read_all_write_all, in_place_only, true};
constexpr TrafficShape fills{write_all, in_place_only, true};

// self[i] is overwritten with src[i].
void copied(const Call& call, Work& work) {
    for (const TensorIndex t : call.tensors("src")) call.read(work, t);
    write_all(call, work);
}
constexpr TrafficShape copies{copied, in_place_only, true};

// Square and add.
void norms(const Call& call, Work& work) {
    work.kind = WorkKind::reduction;
    work.dtype = arithmetic_dtype(call);
    for (const TensorIndex t : call.tensors("self")) work.pointwise_flops += call.numel(t) * 2;
}
void largest(const Call& call, Work& work) {
    work.kind = WorkKind::reduction;
    work.dtype = arithmetic_dtype(call);
    for (const TensorIndex t : call.tensors("self")) work.pointwise_flops += call.numel(t);
}

constexpr OpRule kTable[] = {
    {"aten._foreach_abs",        each_of<1>,            lists,      "as aten.abs, for each tensor of the list"       },
    {"aten._foreach_acos",       each_of<1>,            lists,      "as aten.acos, for each tensor of the list"      },
    {"aten._foreach_add",        each_of<1>,            lists,      "as aten.add, for each tensor of the list"       },
    {"aten._foreach_addcdiv",    each_of<3>,            lists,      "as aten.addcdiv, for each tensor of the list"   },
    {"aten._foreach_addcmul",    each_of<3>,            lists,      "as aten.addcmul, for each tensor of the list"   },
    {"aten._foreach_asin",       each_of<1>,            lists,      "as aten.asin, for each tensor of the list"      },
    {"aten._foreach_atan",       each_of<1>,            lists,      "as aten.atan, for each tensor of the list"      },
    {"aten._foreach_ceil",       each_of<1>,            lists,      "as aten.ceil, for each tensor of the list"      },
    {"aten._foreach_clamp_max",  each_of<1>,            lists,      "as aten.clamp_max, for each tensor of the list" },
    {"aten._foreach_clamp_min",  each_of<1>,            lists,      "as aten.clamp_min, for each tensor of the list" },
    {"aten._foreach_cos",        each_of<1>,            lists,      "as aten.cos, for each tensor of the list"       },
    {"aten._foreach_cosh",       each_of<1>,            lists,      "as aten.cosh, for each tensor of the list"      },
    {"aten._foreach_div",        each_of<1>,            lists,      "as aten.div, for each tensor of the list"       },
    {"aten._foreach_erf",        each_of<1>,            lists,      "as aten.erf, for each tensor of the list"       },
    {"aten._foreach_erfc",       each_of<1>,            lists,      "as aten.erfc, for each tensor of the list"      },
    {"aten._foreach_exp",        each_of<1>,            lists,      "as aten.exp, for each tensor of the list"       },
    {"aten._foreach_expm1",      each_of<1>,            lists,      "as aten.expm1, for each tensor of the list"     },
    {"aten._foreach_floor",      each_of<1>,            lists,      "as aten.floor, for each tensor of the list"     },
    {"aten._foreach_frac",       each_of<2>,            lists,      "as aten.frac, for each tensor of the list"      },
    {"aten._foreach_lerp",       each_of<3>,            lists,      "as aten.lerp, for each tensor of the list"      },
    {"aten._foreach_lgamma",     each_of<1>,            lists,      "as aten.lgamma, for each tensor of the list"    },
    {"aten._foreach_log",        each_of<1>,            lists,      "as aten.log, for each tensor of the list"       },
    {"aten._foreach_log10",      each_of<1>,            lists,      "as aten.log10, for each tensor of the list"     },
    {"aten._foreach_log1p",      each_of<1>,            lists,      "as aten.log1p, for each tensor of the list"     },
    {"aten._foreach_log2",       each_of<1>,            lists,      "as aten.log2, for each tensor of the list"      },
    {"aten._foreach_maximum",    each_of<1>,            lists,      "as aten.maximum, for each tensor of the list"   },
    {"aten._foreach_minimum",    each_of<1>,            lists,      "as aten.minimum, for each tensor of the list"   },
    {"aten._foreach_mul",        each_of<1>,            lists,      "as aten.mul, for each tensor of the list"       },
    {"aten._foreach_neg",        each_of<1>,            lists,      "as aten.neg, for each tensor of the list"       },
    {"aten._foreach_pow",        each_of<1>,            lists,      "as aten.pow, for each tensor of the list"       },
    {"aten._foreach_reciprocal", each_of<1>,            lists,      "as aten.reciprocal, for each tensor of the list"},
    {"aten._foreach_round",      each_of<1>,            lists,      "as aten.round, for each tensor of the list"     },
    {"aten._foreach_rsqrt",      each_of<2>,            lists,      "as aten.rsqrt, for each tensor of the list"     },
    {"aten._foreach_sigmoid",    each_of<4>,            lists,      "as aten.sigmoid, for each tensor of the list"   },
    {"aten._foreach_sign",       each_of<1>,            lists,      "as aten.sign, for each tensor of the list"      },
    {"aten._foreach_sin",        each_of<1>,            lists,      "as aten.sin, for each tensor of the list"       },
    {"aten._foreach_sinh",       each_of<1>,            lists,      "as aten.sinh, for each tensor of the list"      },
    {"aten._foreach_sqrt",       each_of<1>,            lists,      "as aten.sqrt, for each tensor of the list"      },
    {"aten._foreach_sub",        each_of<1>,            lists,      "as aten.sub, for each tensor of the list"       },
    {"aten._foreach_tan",        each_of<1>,            lists,      "as aten.tan, for each tensor of the list"       },
    {"aten._foreach_tanh",       each_of<1>,            lists,      "as aten.tanh, for each tensor of the list"      },
    {"aten._foreach_trunc",      each_of<1>,            lists,      "as aten.trunc, for each tensor of the list"     },
    {"aten._foreach_norm",       norms,                 stream_all, "2 per element read: square, add"                },
    {"aten._foreach_max",        largest,               stream_all, "1 per element read"                             },
    {"aten._foreach_zero",       moves<WorkKind::fill>, fills,      "writes only"                                    },
    {"aten._foreach_copy",       moves<WorkKind::copy>, copies,     "reads the sources, writes the destinations"     },
    {"aten._foreach_clone",      moves<WorkKind::copy>, stream_all, "moves bytes"                                    },
};
constexpr auto kRows = op_rows(kTable, Untied("lists of tensors of an optimizer"));

}  // namespace foreach_table
}  // namespace

std::span<const OpRule> foreach_rules() {
    return foreach_table::kRows;
}

}  // namespace infercost
