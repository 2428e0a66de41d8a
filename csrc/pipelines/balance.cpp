#include "pipelines/balance.hpp"

#include <algorithm>
#include <numeric>
#include <string_view>

#include "count/count.hpp"
#include "evaluate/collective_times.hpp"
#include "evaluate/explain.hpp"
#include "lowering/parallel/training_stages.hpp"

namespace infercost {
namespace {

constexpr std::string_view kSample = "engine.sample";
constexpr double kFlopsPerByte = 300.0;  // of usual accelerators

// For each node of a lowered graph its node of the launched one; of an added cast that of its reader.
std::vector<std::size_t> launched_places(const Graph& lowered, const Graph& launched) {
    std::vector<std::size_t> places(lowered.nodes().size());
    const std::size_t count = launched.nodes().size();
    if (places.size() == count) {
        std::iota(places.begin(), places.end(), std::size_t{0});
        return places;
    }
    std::size_t at = 0;
    for (std::size_t i = 0; i < places.size(); ++i) {
        places[i] = at;
        const Node& node = lowered.nodes()[i];
        const Node& expected = launched.nodes()[at];
        if (lowered.ops()[node.op].name == launched.ops()[expected.op].name &&
            lowered.name(node.module) == launched.name(expected.module)) {
            at = std::min(at + 1, count - 1);
        }
    }
    return places;
}

// Seconds of each node. The host of an engine, which samples, works for all stages.
std::vector<double> node_seconds(const Graph& launched, const Plan& plan, const Sizes& point,
                                 const Hardware& machine) {
    const Graph& lowered = *plan.graph;
    const std::vector<std::size_t> places = launched_places(lowered, launched);
    std::vector<double> seconds(launched.nodes().size());
    for (const auto& [index, terms] : kernel_times(plan, point, machine)) {
        const Kernel& kernel = plan.kernels[index];
        const Node& first = lowered.nodes()[static_cast<std::size_t>(kernel.launches.front().front())];
        const bool samples = lowered.ops()[first.op].name == kSample;
        const double each_s = samples ? terms.latency - terms.launch : terms.latency;
        for (const std::vector<NodeIndex>& launch : kernel.launches) {
            seconds[places[static_cast<std::size_t>(launch.front())]] += each_s;
        }
    }
    return seconds;
}

std::int64_t sent_bytes(const Graph& launched, const CutPlace& place, const Sizes& sizes) {
    std::int64_t sent = 0;
    for (const TensorIndex t : place.crossing)
        sent += launched.bytes_of(launched.tensors()[t]).evaluate(sizes);
    return sent;
}

// Seconds of what a stage that ends at each place sends.
std::vector<double> sent_seconds(const Graph& launched, std::span<const CutPlace> places, const Sizes& sizes,
                                 const Hardware& machine, const Balance& balance) {
    std::vector<double> bytes;
    for (const CutPlace& place : places) {
        bytes.push_back(static_cast<double>(sent_bytes(launched, place, sizes)) /
                        static_cast<double>(balance.slices));
    }
    const ExchangeGroup group{
        .op = parse_collective("send"),
        .devices = 2,
        .nodes = balance.between_nodes ? 2 : 1,
        .top_k = 1,
        .experts = 1,
        .token_bytes = 1,
        .cores = 1,
    };
    std::vector<double> seconds;
    for (const CollectiveTime& time :
         collective_times(machine, group, DType::float16, Execution::cuda_graph, bytes).times) {
        seconds.push_back(time.latency_s);
    }
    return seconds;
}

// Costs of all nodes before each place, and after the last one of all nodes.
std::vector<double> costs_before(const std::shared_ptr<const Graph>& launched,
                                 std::span<const CutPlace> places, const std::vector<double>& costs) {
    std::vector<double> until = {0.0};
    for (const double each : costs) until.push_back(until.back() + each);
    std::vector<double> before;
    for (const CutPlace& place : places) before.push_back(until[static_cast<std::size_t>(place.before)]);
    if (launched->trains()) {  // the backward of earlier stages comes last
        const std::vector<NodeIndex> backward = backward_places(launched, places);
        for (std::size_t i = 0; i < before.size(); ++i) {
            before[i] = before[i] + until.back() - until[static_cast<std::size_t>(backward[i])];
        }
    }
    before.push_back(until.back());
    return before;
}

}  // namespace

bool sends_slices(ServingEngine engine) {
    return engine == ServingEngine::vllm || engine == ServingEngine::sglang;
}

std::vector<std::size_t> timed_cuts(const std::shared_ptr<const Graph>& launched,
                                    std::span<const CutPlace> places, PlanFamily& plans,
                                    const Hardware& machine, const Balance& balance) {
    Sizes sizes;
    Sizes point;  // a size that depends on data stays open
    for (const auto& [name, value] : launched->size_values({})) {
        sizes.emplace(name, value.constant());
        if (!launched->depends_on_data(name)) point.emplace(name, value.constant());
    }
    const std::vector<double> seconds = node_seconds(*launched, *plans.plan_for(point), point, machine);
    const std::vector<double> before = costs_before(launched, places, seconds);
    return balanced_cuts(before, sent_seconds(*launched, places, sizes, machine, balance), balance.stages);
}

std::vector<std::size_t> counted_cuts(const std::shared_ptr<const Graph>& launched,
                                      std::span<const CutPlace> places, const Precision& precision,
                                      std::int64_t stages) {
    Sizes sizes;
    for (const auto& [name, value] : launched->size_values({})) sizes.emplace(name, value.constant());
    std::vector<double> work(launched->nodes().size());
    for (const LayerRow& layer : count(launched, sizes, precision, {}, MemoryOf::accelerator).layers()) {
        const CountRow& row = layer.row;
        const Expr moved = row.bytes_read() + row.bytes_written();
        const Expr flops = row.contraction_flops + row.pointwise_flops;
        work.at(static_cast<std::size_t>(layer.index)) = std::max(
            static_cast<double>(flops.constant()) / kFlopsPerByte, static_cast<double>(moved.constant()));
    }
    std::vector<double> sent;  // written and read
    for (const CutPlace& place : places) {
        sent.push_back(2.0 * static_cast<double>(sent_bytes(*launched, place, sizes)));
    }
    return balanced_cuts(costs_before(launched, places, work), sent, stages);
}

}  // namespace infercost
