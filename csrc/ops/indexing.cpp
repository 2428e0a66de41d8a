// Gathers and scatters: only the selected rows are read, whatever the size of the table.
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace indexing_table {

// Every operand except the first is read in full (indices, masks); the first contributes as many elements as
// the result has.
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

// Indices of several dimensions are broadcast; dimensions without an index are selected in full.
Expr indexed_places(const Call& call, TensorIndex table, const List<TensorIndex>& indices) {
    List<Expr> joint;  // lengths from the right
    Expr whole = 1;
    int axis = 0;
    for (const TensorIndex index : indices) {
        if (index == kNoTensor) {
            whole = whole * call.dim(table, axis++);
            continue;
        }
        const List<Expr> shape = call.shape(index);
        // A mask indexes as many dimensions as it has, and may select all positions.
        axis += call.stored_dtype(index) == DType::boolean ? static_cast<int>(shape.size()) : 1;
        for (std::size_t i = 0; i < shape.size(); ++i) {
            const Expr& length = shape[shape.size() - 1 - i];
            if (i == joint.size()) {
                joint.push_back(length);
            } else if (joint[i] == Expr(1)) {
                joint[i] = length;
            }
        }
    }
    for (; axis < call.rank(table); ++axis) whole = whole * call.dim(table, axis);
    for (const Expr& length : joint) whole = whole * length;
    return whole;
}

// Return the number of written elements of the first operand: one per index, or one slice per index along a
// dimension.
Expr places(const Call& call) {
    const TensorIndex table = call.first_operand();
    if (const List<TensorIndex> indices = call.tensors("indices"); !indices.empty()) {
        return indexed_places(call, table, indices);
    }
    const TensorIndex index = call.tensor("index");
    if (index == kNoTensor) {  // slices and masks: the number of values
        Expr largest;
        bool first = true;
        call.for_each_input([&](TensorIndex t) {
            if (!first) largest = Expr::maximum(largest, call.numel(t));
            first = false;
        });
        return largest;
    }
    const Expr dim = call.integer("dim", 0);
    const bool slices = call.op().name.find("index_") != std::string::npos && call.rank(table) > 0;
    if (!slices || !dim.is_constant()) return call.numel(index);
    return ratio(call.numel(table), call.dim(table, static_cast<int>(dim.constant()))) * call.numel(index);
}

// Whether values are combined with the elements at their positions, which are read for that. Without
// `include_self`, they are combined with each other only.
bool accumulates(const Call& call) {
    const std::string_view name = call.op().name;
    const auto is = [&](const char* part) { return name.find(part) != std::string_view::npos; };
    if (is("_reduce") && !call.flag("include_self", true)) return false;
    return is("_add") || is("_reduce") || is("_accumulate") || call.flag("accumulate", false) ||
           (!is("_reduce") && !call.text("reduce").empty());
}

// Values are read, and written to their positions. The functional form first copies the whole operand.
void scattered(const Call& call, Work& work) {
    const TensorIndex table = call.first_operand();
    bool first = true;
    call.for_each_input([&](TensorIndex t) {
        if (!first) call.read(work, t);
        first = false;
    });
    if (call.in_place()) {
        const Expr touched = Expr::minimum(places(call), call.numel(table));
        if (accumulates(call)) call.read(work, table, touched);
        call.write(work, call.output(), touched);
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

// One row per index. A table in a narrow format is widened as it is read, with what is stored beside it in
// arguments such as `weight_scale`: one multiplication per result.
void embedding(const Call& call, Work& work) {
    kGather(call, work);
    const bool narrow = call.has("group_size");
    if (narrow) work.pointwise_flops = call.numel(call.output());
}
void embedding_bytes(const Call& call, Work& work) {
    const TensorIndex weight = call.first_operand();
    const TensorIndex indices = call.tensor("indices");
    if (!call.has("group_size") || indices == kNoTensor) {
        gathered(call, work);
        return;
    }
    const Expr rows = call.dim(weight, 0);
    call.for_each_input([&](TensorIndex t) {
        call.read(work, t, t == indices ? call.numel(t) : ratio(call.numel(t), rows) * call.numel(indices));
    });
    call.write(work, call.output());
}
constexpr TrafficShape rows_of_table{embedding_bytes, never};

// mode 0: sum, 1: mean, 2: max. Each selected row is added or compared; a mean divides each result.
void embedding_bag(const Call& call, Work& work) {
    const TensorIndex weight = call.require_tensor("weight");
    const Expr rows = call.numel(call.require_tensor("indices"));
    const bool weighted = call.has("per_sample_weights");
    work.kind = WorkKind::gather;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = rows * call.dim(weight, 1) * (weighted ? 2 : 1);
    if (call.integer("mode", 0) == Expr(1)) work.pointwise_flops += call.numel(call.output());
}
void embedding_bag_bytes(const Call& call, Work& work) {
    const TensorIndex weight = call.require_tensor("weight");
    const TensorIndex indices = call.require_tensor("indices");
    call.read(work, weight, call.numel(indices) * call.dim(weight, 1));
    for (const char* name : {"indices", "offsets", "per_sample_weights"}) {
        if (const TensorIndex t = call.tensor(name); t != kNoTensor) call.read(work, t);
    }
    call.write(work, call.output());  // other results are for backward
}
constexpr TrafficShape bags{embedding_bag_bytes, never};

void diagonal_bytes(const Call& call, Work& work) {
    const TensorIndex self = call.output();
    call.write(work, self, Expr::minimum(call.dim(self, 0), call.dim(self, 1)));
}
constexpr TrafficShape diagonal_only{diagonal_bytes, always};

// Every element is tested; the positions found are written.
void found_bytes(const Call& call, Work& work) {
    call.read(work, call.first_operand());
    write_all(call, work);
}
constexpr TrafficShape finds{found_bytes, never};

constexpr std::string_view kBag = "1 per element looked up, 1 more with weights; a mean is 1 more per result";
constexpr std::string_view kRowsRead = "reads the selected elements and the indices";
constexpr std::string_view kPlaces =
    "reads values and indices, writes their places, which accumulation reads";
constexpr std::string_view kCombined = "1 per value; reads values, indices and the places, writes the places";

constexpr OpRule kTable[] = {
    {"aten.embedding", embedding, rows_of_table, kRowsRead, Relation::embedding},
    {"aten.index", kGather, gathers, kRowsRead, Relation::index},
    {"aten._unsafe_index", kGather, gathers, kRowsRead, Relation::index},
    {"aten.index_select", kGather, gathers, kRowsRead, Relation::index_select},
    {"aten.gather", kGather, gathers, kRowsRead, Relation::gather},
    {"aten.take", kGather, gathers, kRowsRead},
    {"aten.take_along_dim", kGather, gathers, kRowsRead},
    {"aten.masked_select", kGather, gathers, kRowsRead},
    {"aten.one_hot", kScatter, stream_all, "reads indices, writes the whole result"},
    {"aten.bucketize", kGather, stream_all, kRowsRead},
    {"aten.searchsorted", kGather, stream_all, kRowsRead},
    {"aten.index_put", kScatter, scatters, kPlaces, Relation::index_put, PartialSum::places,
     CastPolicy::widest},
    {"aten._index_put_impl", kScatter, scatters, kPlaces, Relation::index_put},
    {"aten.index_copy", kScatter, scatters, kPlaces, Relation::scatter},
    {"aten.index_fill", kScatter, scatters, kPlaces},
    {"aten.masked_scatter", kScatter, scatters, kPlaces},
    {"aten.scatter", kScatter, scatters, kPlaces, Relation::scatter},
    {"aten.slice_scatter", kScatter, scatters, kPlaces},
    {"aten.select_scatter", kScatter, scatters, kPlaces},
    {"aten.scatter_add", scatter_adding, scatters, kCombined, Relation::scatter, PartialSum::places,
     CastPolicy::widest},
    {"aten.scatter_reduce", scatter_adding, scatters, kCombined},
    {"aten.index_add", scatter_adding, scatters, kCombined, Relation::index_add, PartialSum::places},
    {"aten.index_reduce", scatter_adding, scatters, kCombined},
    {"aten.put", kScatter, scatters, kPlaces},
    {"aten._unsafe_index_put", kScatter, scatters, kPlaces},
    {"aten._unsafe_masked_index", kGather, gathers, kRowsRead},
    {"aten._unsafe_masked_index_put_accumulate", kScatter, scatters, kPlaces},
    {"aten.diagonal_scatter", kScatter, scatters, kPlaces},
    {"aten.as_strided_scatter", kScatter, scatters, kPlaces},
    {"aten.fill_diagonal_", kScatter, diagonal_only, "writes the diagonal"},
    {"aten.embedding_bag", embedding_bag, bags, kBag},
    {"aten._embedding_bag", embedding_bag, bags, kBag},
    {"aten._embedding_bag_forward_only", embedding_bag, bags, kBag},
    {"aten.embedding_renorm_", kGather, gathers, kRowsRead},
    {"aten.nonzero", kGather, finds, "reads all, writes the places that are not zero"},
    {"aten.nonzero_static", kGather, finds, "reads all, writes the places that are not zero"},
    {"aten.nonzero_numpy", kGather, finds, "reads all, writes the places that are not zero"},
    {"aten.argwhere", kGather, finds, "reads all, writes the places that are not zero"},
};
constexpr auto kRows = op_rows(kTable, Untied("values determine the places"));

}  // namespace indexing_table
}  // namespace

std::span<const OpRule> indexing_rules() {
    return indexing_table::kRows;
}

}  // namespace infercost
