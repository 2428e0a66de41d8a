#include "lowering/engines/steps.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "core/errors.hpp"
#include "lowering/engines/kernel_rows.hpp"
#include "ops/contraction.hpp"

namespace infercost {
namespace {

// A factor of quantities that are proportional to tokens.
struct Factor {
    Expr now;
    Expr before;

    // What does not grow with tokens, such as a table of a kernel, stays.
    Expr of(const Expr& quantity) const {
        if (quantity == Expr(0) || now == before) return quantity;
        if (before.is_constant()) return quantity * now / before;
        if (quantity.is_constant()) return quantity;
        Expr sum = 0;
        for (const Term& term : quantity.terms()) {
            const Expr part = Expr::from_terms({term});
            const Expr each = part / before;
            sum += each * before == part ? each * now : part;
        }
        return sum;
    }
    Expr rounded_up(const Expr& quantity) const {
        return now == before ? quantity : Expr::ceil_div(quantity * now, before);
    }
};

// The least recorded size for some tokens; their number where there is none.
Expr padded(const Expr& tokens, const GraphSizes& sizes) {
    if (sizes.small.empty()) return tokens;
    std::int64_t last = sizes.small.front();
    Expr size = last;
    for (const std::int64_t next : sizes.small.subspan(1)) {
        size += Expr::minimum(1, (tokens - 1) / Expr(last)) * (next - last);
        last = next;
    }
    for (const GraphSizes::Range& range : sizes.ranges) {
        const Expr beyond = Expr::maximum(tokens, last) - last;
        size +=
            Expr::minimum(Expr::ceil_div(beyond, range.step), (range.last - last) / range.step) * range.step;
        last = range.last;
    }
    return Expr::maximum(size, tokens);
}

std::int64_t largest(const GraphSizes& sizes) {
    if (!sizes.ranges.empty()) return sizes.ranges.back().last;
    return sizes.small.empty() ? 0 : sizes.small.back();
}

Call call_of(const Analyzer& analyzer, const Launch& launch) {
    return analyzer.call(launch.nodes.front());
}

std::string_view op_of(const Analyzer& analyzer, const Launch& launch) {
    return call_of(analyzer, launch).op().name;
}

bool samples(const Analyzer& analyzer, const Launch& launch) {
    return op_of(analyzer, launch) == "engine.sample";
}

// Attention, writes into the cache and the choice of tokens have no padding.
bool is_padded(const Analyzer& analyzer, const Launch& launch) {
    const std::string_view op = op_of(analyzer, launch);
    return launch.work.kind != WorkKind::attention && op != "engine.cache_write" && op != "engine.sample";
}

// The number of the layer that a node is in: the first part of its module's path that is one.
std::int64_t layer_of(const Analyzer& analyzer, const Launch& launch) {
    const Graph& graph = analyzer.pass().graph;
    const std::string& path = graph.name(graph.nodes()[launch.nodes.front()].module);
    for (std::size_t begin = 0; begin < path.size();) {
        const std::size_t end = std::min(path.find('.', begin), path.size());
        const bool digits =
            end > begin && end - begin < 10 &&
            std::all_of(
                path.begin() + static_cast<std::ptrdiff_t>(begin),
                path.begin() + static_cast<std::ptrdiff_t>(end), [](char c) { return c >= '0' && c <= '9'; });
        if (digits) return std::stoll(path.substr(begin, end - begin));
        begin = end + 1;
    }
    return -1;
}

// Work of another number of tokens, apart from attention.
void scale(const Analyzer& analyzer, Launch& launch, const Factor& factor, const Factor& rows) {
    Work& work = launch.work;
    const Call call = call_of(analyzer, launch);
    const auto weight = static_cast<std::size_t>(Traffic::weight);
    const auto cache = static_cast<std::size_t>(Traffic::kv_cache);
    for (std::size_t i = 0; i < kTrafficCount; ++i) {
        if (i != weight && i != cache) work.read[i] = factor.of(work.read[i]);
        work.written[i] = factor.of(work.written[i]);
    }
    for (Expr* flops : {&work.contraction_flops, &work.causal_flops, &work.pointwise_flops}) {
        *flops = factor.of(*flops);
    }
    if (op_of(analyzer, launch).find("grouped") != std::string_view::npos) {
        const Expr used = groups_used(call);
        const Expr more = Expr::minimum(group_count(call), rows.rounded_up(used));
        work.read[weight] = ratio(work.read[weight], used) * more;
        work.dims.m = Expr::ceil_div(factor.rounded_up(work.dims.m * used), more);
        work.dims.batch = more;
    } else {
        work.dims.m = factor.of(work.dims.m);
    }
    work.exchange.message_bytes = factor.of(work.exchange.message_bytes);
    work.exchange.sent_bytes = factor.of(work.exchange.sent_bytes);
    launch.hints.rows.count = factor.of(launch.hints.rows.count);
    launch.hints.access.strided_bytes = factor.of(launch.hints.access.strided_bytes);
    launch.hints.copied_bytes = factor.of(launch.hints.copied_bytes);
    for (Expr& elements : launch.hints.slow_loops.elements) elements = factor.of(elements);
}

class StepShaper {
  public:
    StepShaper(const Analyzer& analyzer, Execution execution, const StepSettings& settings,
               std::vector<Launch>& launches)
        : analyzer_(analyzer), execution_(execution), settings_(settings), launches_(launches) {}

    StepTerms run() {
        const std::optional<std::size_t> last = find_step();
        if (!last) return {};
        const Call sample = call_of(analyzer_, launches_[*last]);
        const EngineRows* rows = rows_named(sample.text("engine"));
        if (!rows) return {};
        sequences_ = sample.integer("sequences", 1);
        const Expr tokens = sample.integer("tokens", 1);
        StepTerms terms;
        terms.hides_host = settings_.hides_host;
        const HostRow& host = host_of(*rows, settings_.version);
        terms.launch_ns = host.launch_ns;
        if (samples(analyzer_, launches_[*last])) {
            launches_[*last].hints.host_ns = host_ns(host, sample, tokens);
        }
        if (sequences_ == Expr(0) || tokens == Expr(0)) {
            terms.parts = parts(launches_.size());
            return terms;
        }
        std::size_t drafted = launches_.size();
        if (tokens == Expr(1)) {
            GraphSizes sizes = rows->graphs;
            if (!settings_.graph_sizes.empty()) sizes = {.small = settings_.graph_sizes, .ranges = {}};
            if (execution_ != Execution::cuda_graph) sizes = {};
            std::size_t place = *last;
            if (rows->traits.sums_in_norms) sum_in_norms(place);
            verify(place, sizes);
            terms.tokens = sequences_ * (settings_.draft_tokens + 1);
            terms.largest_graph = largest(sizes);
        } else {
            read(tokens);
            drafted = launches_.size();
        }
        terms.parts = parts(drafted);
        return terms;
    }

  private:
    // The part of each launch. After the last layer, the product for logits is the first kernel that not all
    // tokens need; the norm before it is of all tokens. Launches from `drafted` on belong to drafts.
    std::vector<StepPart> parts(std::size_t drafted) const {
        NodeIndex last_layer = -1;
        for (const Launch& launch : launches_) {
            if (layer_of(analyzer_, launch) >= 0) last_layer = std::max(last_layer, launch.nodes.back());
        }
        NodeIndex head = std::numeric_limits<NodeIndex>::max();
        for (const Launch& launch : launches_) {
            const bool leads = launch.work.kind == WorkKind::gemm || samples(analyzer_, launch);
            if (leads && launch.nodes.back() > last_layer) head = std::min(head, launch.nodes.back());
        }
        std::vector<StepPart> found;
        found.reserve(launches_.size());
        for (const Launch& launch : launches_) {
            StepPart part = launch.nodes.back() >= head ? StepPart::outputs : StepPart::tokens;
            if (found.size() >= drafted) part = StepPart::drafts;
            if (launch.work.kind == WorkKind::attention) part = StepPart::attention;
            found.push_back(part);
        }
        return found;
    }

    // The kernel that chooses tokens or, in a stage of a pipeline without it, that sends activations on.
    std::optional<std::size_t> find_step() const {
        for (std::size_t i = launches_.size(); i-- > 0;) {
            if (samples(analyzer_, launches_[i]) || !call_of(analyzer_, launches_[i]).text("engine").empty())
                return i;
        }
        return std::nullopt;
    }

    // ---- the host ----

    Expr host_ns(const HostRow& host, const Call& sample, const Expr& tokens) const {
        const Expr logits = sample.numel(sample.tensors("inputs")[0]);
        return host.step_ns + (tokens == Expr(1) ? 0 : host.prompt_ns) +
               sample.integer("sampled", 1) * host.sequence_ns + logits * host.logit_ns;
    }

    // ---- a decode step ----

    // Norms of sums over ranks run in the kernels that add these up.
    void sum_in_norms(std::size_t& last) {
        for (std::size_t i = launches_.size() - 1; i > 0; --i) {
            Launch& sum = launches_[i - 1];
            if (op_of(analyzer_, launches_[i]) != "engine.add_norm" ||
                op_of(analyzer_, sum) != "collective.all_reduce" || !reads(launches_[i], sum))
                continue;
            const Work& norm = launches_[i].work;
            for (std::size_t kind = 0; kind < kTrafficCount; ++kind) {
                sum.work.read[kind] += norm.read[kind];
                sum.work.written[kind] += norm.written[kind];
            }
            sum.work.pointwise_flops += norm.pointwise_flops;
            sum.nodes.insert(sum.nodes.end(), launches_[i].nodes.begin(), launches_[i].nodes.end());
            launches_.erase(launches_.begin() + static_cast<std::ptrdiff_t>(i));
            if (i < last) --last;
        }
    }

    bool reads(const Launch& reader, const Launch& maker) const {
        const TensorIndex made = call_of(analyzer_, maker).output(0);
        for (const TensorIndex t : call_of(analyzer_, reader).tensors("inputs")) {
            if (t == made) return true;
        }
        return false;
    }

    void verify(std::size_t last, const GraphSizes& sizes) {
        const std::int64_t each = settings_.draft_tokens + 1;
        const Factor exact{sequences_ * each, sequences_};
        const Factor filled{padded(sequences_ * each, sizes), sequences_};
        std::vector<Launch> drafts;
        if (settings_.draft_tokens > 0 && settings_.draft_layers > 0 && samples(analyzer_, launches_[last])) {
            drafts = draft(last, {padded(sequences_, sizes), sequences_});
        }
        for (Launch& launch : launches_)
            scale(analyzer_, launch, is_padded(analyzer_, launch) ? filled : exact, exact);
        for (std::int64_t i = 0; i < settings_.draft_tokens; ++i) {
            launches_.insert(launches_.end(), drafts.begin(), drafts.end());
        }
    }

    // A step of the head that drafts: the last layers, and what follows the layers.
    std::vector<Launch> draft(std::size_t sampled, const Factor& filled) const {
        std::int64_t last = -1;
        for (const Launch& launch : launches_) last = std::max(last, layer_of(analyzer_, launch));
        std::vector<Launch> drafts;
        bool after = false;
        for (std::size_t i = 0; i < launches_.size(); ++i) {
            const std::int64_t layer = layer_of(analyzer_, launches_[i]);
            after = after || layer >= 0;
            const bool of_head = layer < 0 && after && i <= sampled;
            const std::int64_t times = layer >= 0 && layer == last ? settings_.draft_layers : of_head ? 1 : 0;
            Launch launch = launches_[i];
            launch.hints.host_ns = 0;
            const Factor exact{sequences_, sequences_};
            scale(analyzer_, launch, is_padded(analyzer_, launch) ? filled : exact, exact);
            for (std::int64_t n = 0; n < times; ++n) drafts.push_back(launch);
        }
        return drafts;
    }

    // ---- a prompt ----
    // Tokens of each sequence in a step, and those in the cache before it.
    struct Chunk {
        Expr tokens;
        Expr before;
    };

    void read(const Expr& prompt) {
        const Expr cached = prompt * settings_.cached_thousandths / Expr(kThousandths);
        const Expr rest = prompt - cached;
        std::vector<Chunk> chunks = {
            {rest, cached}
        };
        if (settings_.chunk_tokens > 0) chunks = cut(rest, cached);
        if (chunks.size() == 1 && chunks[0].tokens == prompt) return;
        std::vector<Launch> steps;
        for (const Chunk& chunk : chunks) {
            const Factor factor{chunk.tokens, prompt};
            for (const Launch& launch : launches_) {
                const bool of_last = !samples(analyzer_, launch) && rows_of(launch) == sequences_;
                if (of_last && &chunk != &chunks.back()) continue;
                Launch step = launch;
                if (step.work.kind == WorkKind::attention) {
                    attend(step, chunk, prompt);
                } else if (!samples(analyzer_, launch) && !of_last) {
                    scale(analyzer_, step, factor, factor);
                }
                steps.push_back(std::move(step));
            }
        }
        launches_ = std::move(steps);
    }

    static Expr rows_of(const Launch& launch) { return row_count(launch.work, launch.hints); }

    std::vector<Chunk> cut(const Expr& rest, const Expr& cached) const {
        if (!rest.is_constant() || !cached.is_constant() || !sequences_.is_constant()) {
            throw InputError("chunk_tokens cuts prompts of an open length or number (" + rest.text() +
                             " tokens of " + sequences_.text() +
                             " sequences); expected one batch and one prompt, as a profile has them");
        }
        const std::int64_t each = std::max<std::int64_t>(1, settings_.chunk_tokens / sequences_.constant());
        std::vector<Chunk> chunks;
        for (std::int64_t done = 0; done < rest.constant(); done += each) {
            if (chunks.size() > kMostChunks) {
                throw InputError("chunk_tokens=" + std::to_string(settings_.chunk_tokens) +
                                 " cuts the prompts into more than " + std::to_string(kMostChunks) +
                                 " steps; pass more tokens");
            }
            chunks.push_back({std::min(each, rest.constant() - done), cached + done});
        }
        return chunks;
    }

    // Attention of a chunk to itself and to what is in the cache, of which the first token of the chunk sees
    // the last `window - 1`.
    void attend(Launch& launch, const Chunk& chunk, const Expr& prompt) const {
        Work& work = launch.work;
        const Call call = call_of(analyzer_, launch);
        const bool own = work.dims.n == prompt;  // else to an encoder's result, which all chunks read
        const bool windowed = own && call.has("window");
        const Expr window = windowed ? call.integer("window", 0) : Expr(0);
        const Expr before = windowed ? Expr::minimum(chunk.before, window - 1) : chunk.before;
        const Expr columns = own ? before + chunk.tokens : work.dims.n;
        const Factor rows{chunk.tokens, prompt};
        const Factor keys{columns, work.dims.n};
        const bool causal = !(work.causal_flops == work.contraction_flops);
        Work cached;
        for (const char* name : {"key", "value"}) {
            if (const TensorIndex t = call.tensor(name); t != kNoTensor) call.read_operand(cached, t);
        }
        for (std::size_t i = 0; i < kTrafficCount; ++i) {
            const Expr of_keys = cached.read[i];
            work.read[i] = rows.of(work.read[i] - of_keys) + keys.of(of_keys);
            work.written[i] = rows.of(work.written[i]);
        }
        work.dims.m = rows.of(work.dims.m);
        work.dims.n = columns;
        const Expr per_score = (work.dims.k + work.dims.n_value) * 2;
        work.pointwise_flops = keys.of(rows.of(work.pointwise_flops));
        work.contraction_flops = work.dims.batch * work.dims.m * columns * per_score;
        work.causal_flops = work.contraction_flops;
        if (causal && own) {
            Expr seen = chunk.tokens * chunk.before + chunk.tokens * (chunk.tokens + 1) / Expr(2);
            if (windowed) {
                // The first `growing` tokens see one more key each, the others a whole window.
                const Expr growing = Expr::minimum(chunk.tokens, window - before);
                seen =
                    growing * before + growing * (growing + 1) / Expr(2) + (chunk.tokens - growing) * window;
            }
            work.causal_flops = work.dims.batch * seen * per_score;
        }
    }

    static constexpr std::size_t kMostChunks = 4096;

    const Analyzer& analyzer_;
    Execution execution_;
    const StepSettings& settings_;
    std::vector<Launch>& launches_;
    Expr sequences_ = 1;
};

}  // namespace

void check_settings(const StepSettings& settings) {
    const auto within = [](const char* name, std::int64_t value, std::int64_t low, std::int64_t high) {
        if (value >= low && value <= high) return;
        throw InputError(std::string(name) + " is " + std::to_string(value) +
                         "; expected a whole number from " + std::to_string(low) + " to " +
                         std::to_string(high));
    };
    constexpr std::int64_t kMost = 1'000'000;
    within("draft_tokens", settings.draft_tokens, 0, 64);
    within("draft_layers", settings.draft_layers, 0, 1000);
    within("cached_thousandths", settings.cached_thousandths, 0, kThousandths - 1);
    within("chunk_tokens", settings.chunk_tokens, 0, kMost);
    std::int64_t before = 0;
    for (const std::int64_t size : settings.graph_sizes) {
        within("a size in graph_sizes", size, before + 1, kMost);
        before = size;
    }
}

StepTerms shape_steps(const Analyzer& analyzer, Execution execution, const StepSettings& settings,
                      std::vector<Launch>& launches) {
    return StepShaper(analyzer, execution, settings, launches).run();
}

}  // namespace infercost
