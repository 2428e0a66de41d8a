#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "bindings/bindings.hpp"
#include "evaluate/collective_times.hpp"

namespace infercost {
namespace {

using Bytes = py::array_t<double, py::array::c_style | py::array::forcecast>;

template <std::size_t N>
std::vector<std::string> words(const std::array<std::string_view, N>& names) {
    return {names.begin(), names.end()};
}

py::dict times_of(std::string_view op, const Bytes& size_bytes, const Hardware& hardware,
                  std::int64_t devices, std::int64_t nodes, std::string_view dtype, std::string_view kernel,
                  std::string_view execution, std::int64_t share, std::int64_t top_k, std::int64_t experts,
                  std::int64_t token_bytes, std::int64_t cores) {
    const ExchangeGroup group{.op = parse_collective(op),
                              .kernel = parse_exchange_kernel(kernel),
                              .devices = devices,
                              .nodes = nodes,
                              .share = share,
                              .top_k = top_k,
                              .experts = experts,
                              .token_bytes = token_bytes,
                              .cores = cores};
    const py::ssize_t count = size_bytes.size();
    const CollectiveTimes found =
        collective_times(hardware, group, parse_dtype(dtype), parse_execution(execution),
                         {size_bytes.data(), static_cast<std::size_t>(count)});
    py::array_t<double> latency_s(count), low_s(count), high_s(count), bus_byte_per_s(count);
    py::array_t<std::uint8_t> algorithm(count), protocol(count), bound(count);
    for (py::ssize_t i = 0; i < count; ++i) {
        const CollectiveTime& time = found.times[static_cast<std::size_t>(i)];
        latency_s.mutable_at(i) = time.latency_s;
        low_s.mutable_at(i) = time.low_s;
        high_s.mutable_at(i) = time.high_s;
        bus_byte_per_s.mutable_at(i) = time.bus_byte_per_s;
        algorithm.mutable_at(i) = static_cast<std::uint8_t>(time.algorithm);
        protocol.mutable_at(i) = static_cast<std::uint8_t>(time.protocol);
        bound.mutable_at(i) = static_cast<std::uint8_t>(time.bound);
    }
    py::dict columns;
    columns["link"] = std::string(found.link);
    columns["latency_s"] = latency_s;
    columns["latency_low_s"] = low_s;
    columns["latency_high_s"] = high_s;
    columns["bus_bandwidth_byte_per_s"] = bus_byte_per_s;
    columns["algorithm"] = algorithm;
    columns["protocol"] = protocol;
    columns["bound"] = bound;
    return columns;
}

}  // namespace

void register_collectives(py::module_& m) {
    m.def("collectives", [] { return words(kCollectives); }, "The operations that collective_times() knows.");
    m.def("collective_kernels", [] { return words(kExchangeKernels); }, "Kernels of collective_times().");
    m.def(
        "collective_words",
        [] {
            py::dict columns;
            columns["algorithm"] = words(kCollectiveAlgorithms);
            columns["protocol"] = words(kCollectiveProtocols);
            columns["bound"] = words(kCollectiveBounds);
            return columns;
        },
        "The words that the columns of collective_times() hold places of.");
    m.def("collective_times", &times_of, py::arg("op"), py::arg("size_bytes"), py::arg("hardware"),
          py::kw_only(), py::arg("devices"), py::arg("nodes"), py::arg("dtype"), py::arg("kernel"),
          py::arg("execution"), py::arg("share"), py::arg("top_k"), py::arg("experts"),
          py::arg("token_bytes"), py::arg("cores"),
          "Estimate a collective operation for each size: `link`, and columns of seconds, byte/s and words.");
}

}  // namespace infercost
