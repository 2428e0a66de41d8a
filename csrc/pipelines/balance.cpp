#include "pipelines/balance.hpp"

#include <algorithm>
#include <numeric>
#include <string_view>

#include "evaluate/collective_times.hpp"
#include "evaluate/explain.hpp"
#include "lowering/parallel/training_stages.hpp"

namespace infercost {
namespace {

constexpr std::string_view kSample = "engine.sample";

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

std::int64_t tensor_bytes(const Graph& graph, TensorIndex t, const Sizes& sizes) {
    constexpr std::int64_t kBits = 8;
    const Tensor& tensor = graph.tensors()[static_cast<std::size_t>(t)];
    Expr bits = bits_of(tensor.dtype);
    for (const Dim dim : graph.dims(tensor.shape)) bits = bits * graph.expr(dim);
    return Expr::ceil_div(bits, kBits).evaluate(sizes);
}

// Seconds of what a stage that ends at each place sends.
std::vector<double> sent_seconds(const Graph& launched, std::span<const CutPlace> places, const Sizes& sizes,
                                 const Hardware& machine, const Balance& balance) {
    std::vector<double> bytes;
    for (const CutPlace& place : places) {
        std::int64_t sent = 0;
        for (const TensorIndex t : place.crossing) sent += tensor_bytes(launched, t, sizes);
        bytes.push_back(static_cast<double>(sent / balance.slices));
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
    std::vector<double> until = {0.0};
    for (const double each_s : seconds) until.push_back(until.back() + each_s);
    std::vector<double> before;
    for (const CutPlace& place : places) before.push_back(until[static_cast<std::size_t>(place.before)]);
    if (balance.trains) {  // the backward of earlier stages comes last
        const std::vector<NodeIndex> backward = backward_places(launched, places);
        for (std::size_t i = 0; i < before.size(); ++i) {
            before[i] = before[i] + until.back() - until[static_cast<std::size_t>(backward[i])];
        }
    }
    before.push_back(until.back());
    return balanced_cuts(before, sent_seconds(*launched, places, sizes, machine, balance), balance.stages);
}

}  // namespace infercost
