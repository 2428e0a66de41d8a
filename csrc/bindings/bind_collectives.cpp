#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "bindings/bindings.hpp"
#include "hardware/collectives.hpp"

namespace infercost {
namespace {

using Bytes = py::array_t<double, py::array::c_style | py::array::forcecast>;

template <std::size_t N>
std::vector<std::string> words(const std::array<std::string_view, N>& names) {
    return {names.begin(), names.end()};
}

py::dict collective_times(std::string_view op, const Bytes& size_bytes, const Hardware& hardware,
                          std::int64_t devices, std::string_view dtype) {
    const CollectiveModel model(hardware, parse_collective(op), devices, parse_dtype(dtype));
    const py::ssize_t count = size_bytes.size();
    py::array_t<double> latency_s(count), low_s(count), high_s(count), bus_byte_per_s(count);
    py::array_t<std::uint8_t> algorithm(count), protocol(count), bound(count);
    const double* sizes = size_bytes.data();
    for (py::ssize_t i = 0; i < count; ++i) {
        const CollectiveTime time = model.at(sizes[i]);
        latency_s.mutable_at(i) = time.latency_s;
        low_s.mutable_at(i) = time.low_s;
        high_s.mutable_at(i) = time.high_s;
        bus_byte_per_s.mutable_at(i) = time.bus_byte_per_s;
        algorithm.mutable_at(i) = static_cast<std::uint8_t>(time.algorithm);
        protocol.mutable_at(i) = static_cast<std::uint8_t>(time.protocol);
        bound.mutable_at(i) = static_cast<std::uint8_t>(time.bound);
    }
    py::dict columns;
    columns["link"] = std::string(model.link());
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
    m.def("collective_times", &collective_times, py::arg("op"), py::arg("size_bytes"), py::arg("hardware"),
          py::kw_only(), py::arg("devices"), py::arg("dtype"),
          "Estimate a collective operation for each size: `link`, and columns of seconds, byte/s and words.");
}

}  // namespace infercost
