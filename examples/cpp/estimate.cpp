// FLOPs of a model and its latency on a machine, without Python.
//
//   estimate graph.json machine.json [--precision fp16] [--execution compiled] [batch=8 ...]
//
// Graph.to_json() writes the graph, Hardware.to_json() or `pyinfercost hardware NAME --format core-json` the
// machine. A size that is not given takes the graph's default.
#include <cstdlib>
#include <exception>
#include <fstream>
#include <infercost.hpp>
#include <iomanip>
#include <iostream>
#include <iterator>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read " + path);
    return {std::istreambuf_iterator<char>(file), {}};
}

struct Request {
    std::vector<std::string> files;
    std::string precision = "native";
    std::string execution = "eager";
    infercost::Sizes sizes;
};

Request parse(const std::vector<std::string>& arguments) {
    Request request;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string& argument = arguments[i];
        const std::size_t equals = argument.find('=');
        if ((argument == "--precision" || argument == "--execution") && i + 1 < arguments.size()) {
            (argument == "--precision" ? request.precision : request.execution) = arguments[++i];
        } else if (equals != std::string::npos) {
            request.sizes[argument.substr(0, equals)] = std::stoll(argument.substr(equals + 1));
        } else {
            request.files.push_back(argument);
        }
    }
    if (request.files.size() != 2) {
        throw std::runtime_error(
            "usage: estimate graph.json machine.json [--precision fp16] [--execution compiled] [batch=8 "
            "...]");
    }
    return request;
}

void run(const Request& request) {
    const auto graph = infercost::graph_from_json(read(request.files[0]));
    const auto machine = infercost::hardware_from_json(read(request.files[1]));
    const auto precision = infercost::parse_precision(request.precision);
    const auto execution = infercost::parse_execution(request.execution);

    infercost::Sizes sizes = request.sizes;
    for (const auto& [name, value] : graph->size_values(request.sizes)) {
        if (value.is_constant()) sizes[name] = value.constant();
    }
    const infercost::CountRow total = infercost::count(graph, sizes, precision, {}).total();
    infercost::PlanFamily plans(graph, precision, execution, {});
    const auto plan = plans.plan_for(sizes);
    const infercost::PointEstimate estimate = infercost::evaluate_point(plan, sizes, machine);

    std::cout << "model              " << graph->model() << '\n'
              << "machine            " << machine.id << '\n'
              << "contraction_flops  " << total.contraction_flops.constant() << '\n'
              << "pointwise_flops    " << total.pointwise_flops.constant() << '\n'
              << "parameters         " << total.parameters.constant() << '\n'
              << std::setprecision(std::numeric_limits<double>::max_digits10) << "latency_s          "
              << estimate.latency_s << '\n'
              << "energy_j           " << estimate.energy_j << '\n'
              << "slowest_kernel     ";
    const infercost::KernelEstimate* slowest = nullptr;
    const auto kernels = infercost::estimate_kernels(*plan, sizes, machine);
    for (const infercost::KernelEstimate& kernel : kernels) {
        if (!slowest || kernel.terms.latency > slowest->terms.latency) slowest = &kernel;
    }
    if (slowest) std::cout << slowest->name << ", bound by " << infercost::name_of(slowest->bound);
    std::cout << '\n';
}

}  // namespace

int main(int count, char** values) {
    try {
        run(parse({values + 1, values + count}));
        return EXIT_SUCCESS;
    } catch (const std::exception& error) {
        std::cerr << "estimate: " << error.what() << '\n';
        return EXIT_FAILURE;
    }
}
