// Eight threads that count, plan, estimate, sweep, read and scan the same objects for some seconds, for
// ThreadSanitizer: `soak [SECONDS]`. Results are compared with those of one thread.
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <random>
#include <thread>

#include "infercost.hpp"
#include "sparsity/scan.hpp"

namespace {

using namespace infercost;

constexpr int kWorkers = 8;
std::atomic<int> failures = 0;

void expect(bool good, const char* what) {
    if (good) return;
    if (failures++ == 0) std::cerr << "soak: " << what << '\n';
}

std::shared_ptr<const Graph> model() {
    GraphBuilder builder("soak");
    const Expr batch = builder.add_size("batch", {.default_value = 2, .maximum = {}, .origin = ""});
    const Expr sequence = builder.add_size("sequence", {.default_value = 8, .maximum = {}, .origin = ""});
    TensorIndex x = builder.add_tensor(DType::float16, std::array{batch, sequence, Expr(64)}, std::nullopt,
                                       Role::input, "x");
    const TensorIndex first = x;
    for (int i = 0; i < 30; ++i) {
        const TensorIndex weight = builder.add_tensor(DType::float16, std::array{Expr(64), Expr(64)},
                                                      std::nullopt, Role::parameter, "w");
        const TensorIndex y = builder.add_tensor(DType::float16, std::array{batch, sequence, Expr(64)},
                                                 std::nullopt, Role::activation, "");
        builder.begin_node(i % 3 ? "aten.linear" : "aten.relu", "layer" + std::to_string(i), "");
        builder.argument_tensor(i % 3 ? "input" : "self", x);
        if (i % 3) builder.argument_tensor("weight", weight);
        builder.end_node(std::array{y});
        x = y;
    }
    return builder.build(std::array{first}, std::array{x});
}

Hardware machine() {
    Hardware h;
    h.id = "toy";
    h.family = "toys";
    h.kind = MachineKind::gpu;
    h.cores = 108;
    h.clock_hz = 1.41e9;
    h.matrix[static_cast<std::size_t>(DType::float16)] = 312e12;
    h.vector[static_cast<std::size_t>(DType::float32)] = 19.5e12;
    h.vector[static_cast<std::size_t>(DType::float16)] = 78e12;
    h.memory = {
        {"l2",   40e6, 5e12},
        {"dram", 80e9, 2e12}
    };
    h.overheads = {5e-6, 2.5e-6, 1.3e-6, 0.0};
    h.validate();
    return h;
}

// What all threads share.
struct Shared {
    std::shared_ptr<const Graph> graph = model();
    Hardware hardware = machine();
    Precision precision = parse_precision("native");
    PlanFamily eager{graph, precision, Execution::eager, {}};
    PlanFamily compiled{graph, precision, Execution::compiled, {}};
    std::string text = graph_to_json(*graph);
    std::vector<unsigned char> weights = std::vector<unsigned char>(1 << 20, 1);
};

double latency_of(Shared& shared, PlanFamily& family, std::int64_t batch) {
    const Sizes sizes = {
        {"batch",    batch},
        {"sequence", 16   }
    };
    return evaluate_point(family.plan_for(sizes), sizes, shared.hardware).latency_s;
}

void sweep(Shared& shared, std::int64_t first, std::size_t points, unsigned threads) {
    std::vector<std::int64_t> batches(points);
    for (std::size_t i = 0; i < points; ++i) batches[i] = first + static_cast<std::int64_t>(i);
    const std::int64_t sequence = 16;
    const std::vector<SizeAxis> axes = {
        {.name = "batch",    .values = batches       },
        {.name = "sequence", .values = {&sequence, 1}}
    };
    std::vector<double> latency(points);
    Columns columns;
    columns.latency_s = latency;
    evaluate(shared.compiled, axes, shared.hardware, 0, points, columns, {threads, best_isa()});
    expect(latency[0] == latency_of(shared, shared.compiled, first), "a sweep differs from an estimate");
}

void scan(Shared& shared, unsigned threads) {
    Scan whole(parse_element("int8"), {1024, 1024, 1, false}, 0);
    ScanRegion region;
    region.data = shared.weights.data();
    region.rows = 1024;
    region.columns = 1024;
    region.row_stride = 1024;
    whole.add(region, threads, best_isa());
    expect(whole.result().zeros == 0, "a scan counts zeros where there are none");
}

void work(Shared& shared, unsigned seed, std::chrono::steady_clock::time_point end,
          std::atomic<std::uint64_t>& done) {
    std::mt19937 random(seed);
    const std::string flops = count(shared.graph, {}, shared.precision, {}).total().contraction_flops.text();
    while (std::chrono::steady_clock::now() < end && failures == 0) {
        const auto batch = static_cast<std::int64_t>(random() % 64 + 1);
        switch (random() % 7) {
            case 0:
                expect(
                    count(shared.graph, {}, shared.precision, {}).total().contraction_flops.text() == flops,
                    "a count differs");
                break;
            case 1:
                expect(latency_of(shared, shared.eager, batch) > 0, "no latency");
                break;
            case 2:
                expect(latency_of(shared, shared.compiled, batch) > 0, "no latency");
                break;
            case 3:
                sweep(shared, batch, 5000, 1 + random() % 3);
                break;
            case 4:
                expect(*graph_from_json(shared.text) == *shared.graph, "a graph reads back as another one");
                break;
            case 5:
                scan(shared, 1 + random() % 3);
                break;
            default: {
                PlanFamily own(shared.graph, shared.precision, Execution::compiled, {});
                expect(latency_of(shared, own, batch) == latency_of(shared, shared.compiled, batch),
                       "plans of two families differ");
            }
        }
        ++done;
    }
}

}  // namespace

int main(int count, char** values) {
    const double seconds = count > 1 ? std::atof(values[1]) : 1.0;
    Shared shared;
    const auto end =
        std::chrono::steady_clock::now() + std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                                               std::chrono::duration<double>(seconds));
    std::atomic<std::uint64_t> done = 0;
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < kWorkers; ++t) {
        threads.emplace_back([&, t] { work(shared, t, end, done); });
    }
    for (std::thread& thread : threads) thread.join();
    std::cout << done << " calls by " << kWorkers << " threads in " << seconds << " s, " << failures
              << " wrong\n";
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
