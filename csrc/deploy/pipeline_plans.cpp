#include "deploy/pipeline_plans.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "core/expr_columns.hpp"
#include "evaluate/stage_costs.hpp"

namespace infercost {
namespace {

constexpr std::size_t kPointsAtOnce = 16384;  // points whose columns stay in the caches

// Every column of the evaluator at some points.
struct AllColumns {
    explicit AllColumns(std::size_t points) {
        for (std::size_t i = 0; i < kColumns.size(); ++i) {
            values[i].resize(points);
            columns.*kColumns[i].column = values[i];
        }
    }
    std::array<std::vector<double>, kColumns.size()> values;
    Columns columns;
};

// Values of sizes at a stretch of a grid.
class SizesAt {
  public:
    SizesAt(const Graph& graph, std::span<const SizeAxis> axes, std::uint64_t first, std::size_t points)
        : graph_(graph), points_(points) {
        for (const SizeAxis& axis : axes) {
            std::vector<std::int64_t>& column = columns_[axis.name];
            column.reserve(points);
            for (std::uint64_t i = first; i < first + points; ++i) {
                column.push_back(axis.values[(i / axis.repeat) % axis.values.size()]);
            }
        }
    }

    const std::vector<std::int64_t>* column(const std::string& name) const {
        const auto found = columns_.find(name);
        return found == columns_.end() ? nullptr : &found->second;
    }

    std::vector<std::int64_t> values(const Expr& quantity) {
        if (quantity.is_constant()) return std::vector<std::int64_t>(points_, quantity.constant());
        SizeColumns columns;
        for (const std::string& name : quantity.names()) {
            if (!columns_.contains(name)) {
                columns_[name] = values(graph_.sizes().find(name)->second.default_value);
            }
            columns.emplace(name, columns_[name]);
        }
        return evaluate_columns(quantity, columns, points_);
    }

  private:
    const Graph& graph_;
    std::size_t points_;
    std::map<std::string, std::vector<std::int64_t>> columns_;
};

std::int64_t quotient_up(std::int64_t a, std::int64_t b) {
    return (a + b - 1) / b;
}

// Chunks of a prompt, of a micro-batch of which an engine reads so many tokens in a step.
std::vector<double> chunks_of(const PipelinePlans& pipeline, const std::string& batch, SizesAt& parts,
                              std::size_t points) {
    if (pipeline.chunk_tokens == 0 || !pipeline.tokens || pipeline.generates) return {1.0};
    const std::vector<std::int64_t> tokens = parts.values(*pipeline.tokens);
    const std::vector<std::int64_t>* items = parts.column(batch);
    std::vector<double> chunks(points);
    for (std::size_t i = 0; i < points; ++i) {
        const std::int64_t sequences = std::max<std::int64_t>(items ? (*items)[i] : 1, 1);
        const std::int64_t prompt = tokens[i] / sequences;
        const std::int64_t rest = prompt - prompt * pipeline.cached_thousandths / 1000;
        const std::int64_t each = std::max<std::int64_t>(1, pipeline.chunk_tokens / sequences);
        chunks[i] = static_cast<double>(std::max<std::int64_t>(1, quotient_up(rest, each)));
    }
    return chunks;
}

void evaluate_block(const PipelinePlans& pipeline, std::span<const SizeAxis> shares,
                    std::span<const SizeAxis> parts, const Hardware& machine, std::uint64_t first,
                    const Columns& out, const EvaluateOptions& options) {
    const std::size_t points = out.latency_s.size();
    const std::string batch = pipeline.graph->size_of_role(SizeRole::batch).value_or("");
    SizesAt of_shares(*pipeline.graph, shares, first, points);
    SizesAt of_parts(*pipeline.graph, parts, first, points);
    std::vector<double> micro_batches = {1.0};
    bool several = false;
    if (const auto* items = of_shares.column(batch)) {
        micro_batches.resize(points);
        for (std::size_t i = 0; i < points; ++i) {
            const std::int64_t part = std::max<std::int64_t>((*of_parts.column(batch))[i], 1);
            micro_batches[i] = static_cast<double>(quotient_up((*items)[i], part));
            several |= micro_batches[i] > 1;
        }
    }
    std::vector<AllColumns> made;
    std::vector<StageColumns> stages;
    made.reserve(pipeline.kinds.size());
    for (const PipelineKind& kind : pipeline.kinds) {
        AllColumns& own = made.emplace_back(points);
        evaluate(*kind.plans, parts, machine, first, points, own.columns, options);
        if (several && kind.cached_bytes) {  // the caches of the other micro-batches are held, too
            const std::vector<std::int64_t> all = of_shares.values(*kind.cached_bytes);
            const std::vector<std::int64_t> one = of_parts.values(*kind.cached_bytes);
            for (std::size_t i = 0; i < points; ++i) {
                own.columns.peak_memory_bytes[i] += static_cast<double>(all[i]) - static_cast<double>(one[i]);
            }
        }
        stages.push_back({own.columns, kind.count});
    }
    const std::vector<double> chunks = chunks_of(pipeline, batch, of_parts, points);
    const auto idle_w = machine.power_w.find("idle");
    combine_stages(
        stages,
        {micro_batches, chunks, pipeline.generates, idle_w == machine.power_w.end() ? 0.0 : idle_w->second},
        out);
}

}  // namespace

std::int64_t micro_batch(std::int64_t share, std::int64_t most) {
    return quotient_up(share, std::min(most, std::max<std::int64_t>(share, 1)));
}

void evaluate(const PipelinePlans& pipeline, std::span<const SizeAxis> shares, const Hardware& machine,
              std::uint64_t first, std::size_t points, const Columns& out, const EvaluateOptions& options) {
    const std::string batch = pipeline.graph->size_of_role(SizeRole::batch).value_or("");
    std::vector<SizeAxis> parts(shares.begin(), shares.end());
    std::vector<std::int64_t> items;
    for (SizeAxis& axis : parts) {
        if (axis.name != batch || batch.empty()) continue;
        for (const std::int64_t share : axis.values)
            items.push_back(micro_batch(share, pipeline.micro_batches));
        axis.values = items;
    }
    for (std::size_t start = 0; start < points; start += kPointsAtOnce) {
        const std::size_t count = std::min(kPointsAtOnce, points - start);
        const AllColumns whole(count);
        evaluate_block(pipeline, shares, parts, machine, first + start, whole.columns, options);
        for (std::size_t i = 0; i < kColumns.size(); ++i) {
            const std::span<double> wanted = out.*kColumns[i].column;
            if (!wanted.empty())
                std::copy(whole.values[i].begin(), whole.values[i].end(),
                          wanted.begin() + static_cast<std::ptrdiff_t>(start));
        }
    }
}

}  // namespace infercost
