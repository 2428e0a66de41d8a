// What threads share: interned atoms, graphs, and the plans of a family.
#include <array>
#include <atomic>
#include <thread>

#include "check.hpp"
#include "infercost.hpp"

using infercost::DType;
using infercost::Expr;
using infercost::GraphBuilder;
using infercost::Role;
using infercost::TensorIndex;

namespace {

constexpr int kThreads = 4;

// Runs on all threads at once.
template <class Run>
void together(Run run) {
    std::atomic<int> waiting = kThreads;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            --waiting;
            while (waiting > 0) std::this_thread::yield();
            run(t);
        });
    }
    for (std::thread& thread : threads) thread.join();
}

// Products of (batch, (sequence + i)//3 + 1, 16): each layer has an atom of its own.
std::shared_ptr<const infercost::Graph> layers(int count) {
    GraphBuilder builder("layers");
    const Expr batch = builder.add_size("batch", {2, 1, {}, ""});
    const Expr sequence = builder.add_size("sequence", {8, 1, {}, ""});
    std::vector<TensorIndex> inputs;
    std::vector<TensorIndex> outputs;
    for (int i = 0; i < count; ++i) {
        const std::array<Expr, 3> shape = {batch, (sequence + i) / 3 + 1, Expr(16)};
        const std::array<Expr, 3> turned = {batch, Expr(16), (sequence + i) / 3 + 1};
        const std::array<Expr, 3> square = {batch, shape[1], shape[1]};
        inputs.push_back(builder.add_tensor(DType::float32, shape, std::nullopt, Role::input, "x"));
        inputs.push_back(builder.add_tensor(DType::float32, turned, std::nullopt, Role::input, "y"));
        outputs.push_back(builder.add_tensor(DType::float32, square, std::nullopt, Role::activation, ""));
        builder.begin_node("aten.bmm.default", "layers." + std::to_string(i), "");
        builder.argument_tensor("self", inputs[inputs.size() - 2]);
        builder.argument_tensor("mat2", inputs.back());
        builder.end_node(std::array{outputs.back()});
    }
    return builder.build(inputs, outputs);
}

}  // namespace

TEST(threads_intern_one_atom_for_equal_expressions) {
    constexpr int kExpressions = 2000;
    std::array<std::vector<Expr>, kThreads> made;
    together([&](int t) {
        const Expr n = Expr::size("n");
        for (int i = 0; i < kExpressions; ++i) {
            made[static_cast<std::size_t>(t)].push_back(Expr::maximum((n + i) / 7, n % (i + 2)));
        }
    });
    for (int i = 0; i < kExpressions; ++i) {
        const auto at = static_cast<std::size_t>(i);
        for (const std::vector<Expr>& others : made) CHECK(others[at] == made[0][at]);
    }
}

TEST(threads_count_one_graph_alike) {
    const auto graph = layers(200);
    const infercost::Precision native = infercost::parse_precision("native");
    std::array<std::string, kThreads> flops;
    together([&](int t) {
        flops[static_cast<std::size_t>(t)] =
            infercost::count(graph, {}, native, {}).total().contraction_flops.text();
    });
    for (const std::string& text : flops) CHECK(text == flops[0]);
    const Expr total = Expr::parse(flops[0]);
    std::int64_t expected = 0;
    for (std::int64_t i = 0; i < 200; ++i) {
        const std::int64_t rows = (8 + i) / 3 + 1;
        expected += 2 * 2 * rows * rows * 16;  // 2*batch*m*n*k
    }
    CHECK(total.evaluate({
              {"batch",    2},
              {"sequence", 8}
    }) == expected);
}

TEST(threads_get_one_plan_for_one_point) {
    infercost::PlanFamily family(layers(100), infercost::parse_precision("native"),
                                 infercost::Execution::compiled, {});
    std::array<std::shared_ptr<const infercost::Plan>, kThreads> plans;
    together([&](int t) {
        plans[static_cast<std::size_t>(t)] = family.plan_for({
            {"batch",    2 + t},
            {"sequence", 8    }
        });
    });
    for (const auto& plan : plans) CHECK(plan == plans[0]);
    together([&](int t) {  // a size of 1 is bound before planning
        plans[static_cast<std::size_t>(t)] = family.plan_for({
            {"batch",    1 + t % 2},
            {"sequence", 8        }
        });
    });
    CHECK(plans[0] == plans[2] && plans[1] == plans[3] && plans[0] != plans[1]);
}

TEST(atoms_leave_with_the_last_expression_that_names_them) {
    static_cast<void>(Expr::size("n"));  // sizes stay
    const std::size_t before = infercost::Atom::count();
    {
        const Expr kept = (Expr::size("n") + 123) / 457;
        for (int i = 0; i < 100; ++i) static_cast<void>(Expr::maximum(kept % (i + 11), kept * i));
        CHECK(infercost::Atom::count() > before);
        CHECK(kept.evaluate({
                  {"n", 1000}
        }) == 2);  // 1123 / 457
    }
    CHECK(infercost::Atom::count() == before);
    together([](int t) {
        // The same atoms again and again, so that threads take and drop last references at once.
        for (int i = 0; i < 20'000; ++i) {
            const Expr e = Expr::minimum((Expr::size("n") + i % 3) / 457, Expr::size("n") / 11 + t % 2);
            if (e.evaluate({
                    {"n", 913}
            }) != 1 + (i % 3 > 0))
                CHECK(false);
        }
    });
    CHECK(infercost::Atom::count() == before);
}
