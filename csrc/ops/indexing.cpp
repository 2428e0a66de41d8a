// Gathers and scatters: only the rows that are asked for are read, however large the table.
#include "ops/shapes.hpp"

namespace infercost {
namespace {

// Every operand but the first is read whole (indices, masks); of the first, as much as the result holds.
void gathered(const Call& call, Work& work) {
    const TensorIndex table = call.first_operand();
    call.read(work, table, call.numel(call.output()));
    bool first = true;
    call.for_each_input([&](TensorIndex t) {
        if (!first) call.read(work, t);
        first = false;
    });
    call.write(work, call.output());
}
constexpr TrafficShape gathers{gathered, never};

// Values are read and written at their places. The functional form first copies the whole operand.
void scattered(const Call& call, Work& work) {
    const TensorIndex table = call.first_operand();
    Expr moved;
    bool first = true;
    call.for_each_input([&](TensorIndex t) {
        if (first) {
            first = false;
            return;
        }
        call.read(work, t);
        moved = Expr::maximum(moved, call.numel(t));
    });
    if (call.in_place()) {
        call.write(work, call.output(), Expr::minimum(moved, call.numel(table)));
    } else {
        call.read(work, table);
        call.write(work, call.output());
    }
}
constexpr TrafficShape scatters{scattered, in_place_only};

constexpr WorkShape kGather = moves<WorkKind::gather>;
constexpr WorkShape kScatter = moves<WorkKind::scatter>;

void scatter_adding(const Call& call, Work& work) {
    work.kind = WorkKind::scatter;
    work.dtype = arithmetic_dtype(call);
    const TensorIndex source = call.tensor("src") != kNoTensor ? call.tensor("src") : call.tensor("source");
    work.pointwise_flops = call.numel(source != kNoTensor ? source : call.output());
}

constexpr std::string_view kRowsRead = "reads the selected elements and the indices";
constexpr std::string_view kPlaces = "reads values and indices, writes their places";

constexpr OpRule kRows[] = {
    {"aten.embedding",       kGather,        gathers,    kRowsRead                               },
    {"aten.index",           kGather,        gathers,    kRowsRead                               },
    {"aten._unsafe_index",   kGather,        gathers,    kRowsRead                               },
    {"aten.index_select",    kGather,        gathers,    kRowsRead                               },
    {"aten.gather",          kGather,        gathers,    kRowsRead                               },
    {"aten.take",            kGather,        gathers,    kRowsRead                               },
    {"aten.take_along_dim",  kGather,        gathers,    kRowsRead                               },
    {"aten.masked_select",   kGather,        gathers,    kRowsRead                               },
    {"aten.one_hot",         kScatter,       stream_all, "reads indices, writes the whole result"},
    {"aten.bucketize",       kGather,        stream_all, kRowsRead                               },
    {"aten.searchsorted",    kGather,        stream_all, kRowsRead                               },
    {"aten.index_put",       kScatter,       scatters,   kPlaces                                 },
    {"aten._index_put_impl", kScatter,       scatters,   kPlaces                                 },
    {"aten.index_copy",      kScatter,       scatters,   kPlaces                                 },
    {"aten.index_fill",      kScatter,       scatters,   kPlaces                                 },
    {"aten.masked_scatter",  kScatter,       scatters,   kPlaces                                 },
    {"aten.scatter",         kScatter,       scatters,   kPlaces                                 },
    {"aten.slice_scatter",   kScatter,       scatters,   kPlaces                                 },
    {"aten.select_scatter",  kScatter,       scatters,   kPlaces                                 },
    {"aten.scatter_add",     scatter_adding, scatters,   "1 per value; reads values and indices" },
    {"aten.scatter_reduce",  scatter_adding, scatters,   "1 per value; reads values and indices" },
    {"aten.index_add",       scatter_adding, scatters,   "1 per value; reads values and indices" },
};
static_assert(each_op_once(kRows));

}  // namespace

std::span<const OpRule> indexing_rules() {
    return kRows;
}

}  // namespace infercost
