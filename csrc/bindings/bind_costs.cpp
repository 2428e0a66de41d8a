#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>
#include <tuple>
#include <vector>

#include "bindings/fields.hpp"
#include "costs/derived.hpp"
#include "costs/instances.hpp"
#include "hardware/collectives.hpp"

namespace infercost {
namespace {

using ValueArray = py::array_t<double, py::array::c_style | py::array::forcecast>;

// The inputs of a figure, each asked of a function when it is needed, and what they refer to.
class Asked {
  public:
    explicit Asked(const py::function& number) : number_(number) { numbers_.reserve(kCostInputs); }

    void need(const std::vector<CostInput>& inputs) {
        for (const CostInput input : inputs) {
            std::optional<CostColumn>& column = columns_[static_cast<std::size_t>(input)];
            if (column) continue;
            const py::object value = number_(to_python(cost_input_names()[static_cast<std::size_t>(input)]));
            if (PyFloat_Check(value.ptr()) || PyLong_Check(value.ptr())) {
                numbers_.push_back(value.cast<double>());
                column = CostColumn{
                    {&numbers_.back(), 1}
                };
                continue;
            }
            arrays_.push_back(value.cast<ValueArray>());
            const auto count = static_cast<std::size_t>(arrays_.back().size());
            if (arrays_.back().ndim() == 1) rows_ = count;
            column = CostColumn{
                {arrays_.back().data(), count}
            };
        }
    }

    const CostColumns& columns() const { return columns_; }
    std::optional<std::size_t> rows() const { return rows_; }  // none if all are numbers

  private:
    const py::function& number_;
    std::vector<double> numbers_;
    std::vector<ValueArray> arrays_;
    CostColumns columns_;
    std::optional<std::size_t> rows_;
};

py::object derived(const TextParameter& figure, const py::function& number) {
    const CostFigure which = cost_figure(figure);
    Asked asked(number);
    asked.need(cost_conditions(which));
    asked.need(cost_inputs(which, asked.columns()));
    if (!asked.rows()) {
        double value = 0;
        derive(which, asked.columns(), {&value, 1});
        return py::float_(value);
    }
    py::array_t<double> out(static_cast<py::ssize_t>(*asked.rows()));
    const std::span<double> values(out.mutable_data(), *asked.rows());
    {
        const CoreCall core;
        derive(which, asked.columns(), values);
    }
    return out;
}

std::size_t cheapest_of(const std::vector<std::tuple<double, double, bool>>& offers, std::int64_t together) {
    std::vector<Offer> given;
    for (const auto& [usd_per_h, devices, has_host] : offers) given.push_back({usd_per_h, devices, has_host});
    return cheapest(given, together);
}

}  // namespace

void register_costs(py::module_& m) {
    static constexpr Field kRentedDevices[] = {
        field<&RentedDevices::devices>("devices"),
        field<&RentedDevices::together>("together"),
    };
    def_fields(py::class_<RentedDevices>(m, "RentedDevices"), kRentedDevices)
        .def(py::init([](std::int64_t devices, std::int64_t together, std::int64_t nodes) {
                 return RentedDevices::of(devices, together, nodes);
             }),
             py::arg("devices"), py::arg("together"), py::arg("nodes") = 1,
             "Devices of a layout that are rented; `together` of them exchange data, as far as a node holds "
             "them.")
        .def("instances", &RentedDevices::instances, py::arg("each"),
             "Instances of so many devices that hold them, groups that exchange data whole.");
    static constexpr Field kRent[] = {
        field<&Rent::usd_per_device_h>("usd_per_device_h"),
        field<&Rent::instance_devices>("instance_devices"),
    };
    def_fields(py::class_<Rent>(m, "Rent"), kRent)
        .def(py::init(
                 [](const RentedDevices& replica, double usd_per_device_h, std::int64_t instance_devices) {
                     return Rent{replica, usd_per_device_h, instance_devices};
                 }),
             py::arg("replica"), py::arg("usd_per_device_h"), py::arg("instance_devices"),
             "What replicas of a deployment pay.")
        .def("instances", &Rent::instances, py::arg("replicas") = 1, "Instances that hold them all.")
        .def("paid_devices", &Rent::paid_devices, py::arg("replicas") = 1, "Devices of these instances.")
        .def("usd_per_h", &Rent::usd_per_h, py::arg("replicas") = 1, "Their price of an hour.")
        .def("times", &Rent::times, py::arg("replicas"), "That of so many replicas as of one.")
        .def(py::pickle(
            [](const Rent& rent) {
                const auto& [devices, together] = rent.replica;
                return py::make_tuple(devices, together, rent.usd_per_device_h, rent.instance_devices);
            },
            [](const py::tuple& state) {
                return Rent{
                    {state[0].cast<std::int64_t>(), state[1].cast<std::int64_t>()},
                    state[2].cast<double>(),
                    state[3].cast<std::int64_t>()
                };
            }));
    m.def("cheapest_offer", &cheapest_of, py::arg("offers"), py::arg("together"),
          "The place of the cheapest of some offers for devices that must be together, each with USD per "
          "hour of an "
          "instance, its devices, and whether it has a host.");
    m.def("devices_of_node", &devices_of_node, py::arg("hardware"),
          "Devices that links connect without a network: of one machine, or of a domain of several.");
    m.def("nodes_of", &nodes_of, py::arg("hardware"), py::arg("devices"), py::arg("least"),
          "Nodes that some devices are in: `least`, or as many as they need.");
    m.def(
        "cost_figures",
        [] {
            py::list found;
            for (const std::string_view name : cost_figure_names()) found.append(to_python(name));
            return found;
        },
        "Names of the figures that are derived from the latency and the energy of forwards.");
    m.def(
        "cost_inputs",
        [] {
            py::list found;
            for (const std::string_view name : cost_input_names()) found.append(to_python(name));
            return found;
        },
        "Names of the numbers that these figures are derived from.");
    m.def(
        "derive_cost", &derived, py::arg("figure"), py::arg("number"),
        "A figure: of one point if all its inputs are numbers, else an array with one value for each row. "
        "`number` returns an input by name: a number, or an array; it is called for those that are needed.");
}

}  // namespace infercost
