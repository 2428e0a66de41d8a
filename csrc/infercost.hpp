// The core as a library: predicts the cost of a model without Python.
//
//   const auto graph = infercost::graph_from_json(graph_text);           // Graph.to_json() in Python
//   const auto machine = infercost::hardware_from_json(machine_text);    // Hardware.to_json() in Python,
//                                                                        // or machine_of_device_json()
//   const infercost::Sizes sizes = {{"batch", 8}};
//   const infercost::Precision precision = infercost::parse_precision("fp16");
//   const infercost::Counts counts = infercost::count(graph, sizes, precision, {});
//   infercost::PlanFamily plans(graph, precision, infercost::Execution::compiled, {});
//   const double latency_s = infercost::evaluate_point(plans.plan_for(sizes), sizes, machine).latency_s;
//
// Invalid input throws infercost::InputError (a std::invalid_argument), and a total beyond 64 bits throws
// infercost::OverflowError. Graphs, plans and machines are immutable, and every function may be called from
// any thread; a GraphBuilder belongs to one thread.
#pragma once

#include "core/graph.hpp"
#include "core/graph_json.hpp"
#include "count/count.hpp"
#include "evaluate/evaluate.hpp"
#include "evaluate/explain.hpp"
#include "hardware/device_machine.hpp"
#include "hardware/hardware.hpp"
#include "hardware/hardware_json.hpp"
#include "ops/rule.hpp"
#include "plan/family.hpp"
#include "plan/plan.hpp"
