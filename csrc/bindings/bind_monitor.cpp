// Meters of live models. Calls on requests take positional arguments alone, which are the fastest.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <array>
#include <utility>

#include "bindings/bindings.hpp"
#include "monitor/meter.hpp"

namespace infercost {
namespace {

constexpr std::array<const char*, kLiveHistograms> kHistograms = {"request_s",
                                                                  "queue_wait_s",
                                                                  "ttft_s",
                                                                  "tpot_s",
                                                                  "batch_items",
                                                                  "request_prompt_tokens",
                                                                  "request_output_tokens"};

constexpr std::pair<const char*, std::int64_t LiveTotals::*> kTotals[] = {
    {"items",         &LiveTotals::items        },
    {"prompt_tokens", &LiveTotals::prompt_tokens},
    {"cached_tokens", &LiveTotals::cached_tokens},
    {"output_tokens", &LiveTotals::output_tokens},
    {"queue_ns",      &LiveTotals::queue_ns     },
    {"service_ns",    &LiveTotals::service_ns   },
    {"busy_ns",       &LiveTotals::busy_ns      },
    {"in_flight",     &LiveTotals::in_flight    },
    {"waiting",       &LiveTotals::waiting      },
    {"dropped",       &LiveTotals::dropped      },
};

constexpr std::pair<const char*, std::int64_t SizeSums::*> kSizes[] = {
    {"requests",      &SizeSums::requests     },
    {"items",         &SizeSums::items        },
    {"prompt_tokens", &SizeSums::prompt_tokens},
    {"output_tokens", &SizeSums::output_tokens},
    {"service_ns",    &SizeSums::service_ns   },
};

constexpr std::pair<const char*, std::int64_t LiveRequest::*> kRequests[] = {
    {"arrival_ns",     &LiveRequest::arrival_ns    },
    {"start_ns",       &LiveRequest::start_ns      },
    {"first_token_ns", &LiveRequest::first_token_ns},
    {"end_ns",         &LiveRequest::end_ns        },
    {"items",          &LiveRequest::items         },
    {"prompt_tokens",  &LiveRequest::prompt_tokens },
    {"cached_tokens",  &LiveRequest::cached_tokens },
    {"output_tokens",  &LiveRequest::output_tokens },
};

LiveRequest request_of(std::int64_t arrival_ns, std::int64_t start_ns, std::int64_t first_token_ns,
                       std::int64_t end_ns, std::int64_t items, std::int64_t prompt_tokens,
                       std::int64_t cached_tokens, std::int64_t output_tokens, int outcome) {
    if (outcome < 0 || outcome >= static_cast<int>(kRequestOutcomes)) {
        throw std::invalid_argument("outcome is " + std::to_string(outcome) + "; expected 0, 1 or 2");
    }
    for (const std::int64_t size : {items, prompt_tokens, cached_tokens, output_tokens}) {
        if (size < 0 || size > kMostOfARequest) {
            throw std::invalid_argument("a request has " + std::to_string(size) +
                                        " items or tokens; expected 0 to 10^10");
        }
    }
    return {arrival_ns,    start_ns,      first_token_ns,
            end_ns,        items,         prompt_tokens,
            cached_tokens, output_tokens, static_cast<RequestOutcome>(outcome)};
}

template <class Row, std::size_t Count>
py::dict columns(const std::vector<Row>& rows,
                 const std::pair<const char*, std::int64_t Row::*> (&members)[Count]) {
    py::dict found;
    for (const auto& [name, member] : members) {
        py::array_t<std::int64_t> column(static_cast<py::ssize_t>(rows.size()));
        auto values = column.mutable_unchecked<1>();
        for (std::size_t row = 0; row < rows.size(); ++row) {
            values(static_cast<py::ssize_t>(row)) = rows[row].*member;
        }
        found[name] = std::move(column);
    }
    return found;
}

py::dict totals_of(Meter& meter, std::int64_t now_ns) {
    const LiveTotals totals = meter.totals(now_ns);
    py::dict found;
    found["requests"] = totals.requests;
    for (const auto& [name, member] : kTotals) found[name] = totals.*member;
    return found;
}

// Name of a histogram -> places of intervals with values, their counts, and the sum of values.
py::dict histograms_of(Meter& meter) {
    py::dict found;
    for (std::size_t which = 0; which < kLiveHistograms; ++which) {
        const Histogram histogram = meter.histogram(static_cast<LiveHistogram>(which));
        std::vector<std::int64_t> places;
        std::vector<std::int64_t> counts;
        for (std::size_t place = 0; place < histogram.counts().size(); ++place) {
            if (histogram.counts()[place] == 0) continue;
            places.push_back(static_cast<std::int64_t>(place));
            counts.push_back(histogram.counts()[place]);
        }
        found[kHistograms[which]] = py::make_tuple(places, counts, histogram.sum());
    }
    return found;
}

py::dict taken(Meter& meter) {
    const std::vector<LiveRequest> requests = meter.take();
    py::dict found = columns(requests, kRequests);
    py::array_t<std::int64_t> outcomes(static_cast<py::ssize_t>(requests.size()));
    auto values = outcomes.mutable_unchecked<1>();
    for (std::size_t row = 0; row < requests.size(); ++row) {
        values(static_cast<py::ssize_t>(row)) = static_cast<std::int64_t>(requests[row].outcome);
    }
    found["outcome"] = std::move(outcomes);
    return found;
}

}  // namespace

void register_monitor(py::module_& m) {
    py::class_<Meter, std::shared_ptr<Meter>>(
        m, "Meter", "Totals of the requests of a live model; times are monotonic nanoseconds.")
        .def(py::init<std::size_t>(), py::arg("kept") = 0, "`kept`: requests that wait to be taken, at most.")
        .def("arrive", &Meter::arrive, "A request waits for its service.")
        .def("leave", &Meter::leave, "A waiting request leaves without service.")
        .def("begin", &Meter::begin, py::arg("now_ns"), py::arg("has_waited"), py::pos_only(),
             "The service of a request begins.")
        .def(
            "end",
            [](Meter& meter, std::int64_t arrival_ns, std::int64_t start_ns, std::int64_t first_token_ns,
               std::int64_t end_ns, std::int64_t items, std::int64_t prompt_tokens,
               std::int64_t cached_tokens, std::int64_t output_tokens, int outcome) {
                meter.end(request_of(arrival_ns, start_ns, first_token_ns, end_ns, items, prompt_tokens,
                                     cached_tokens, output_tokens, outcome));
            },
            py::arg("arrival_ns"), py::arg("start_ns"), py::arg("first_token_ns"), py::arg("end_ns"),
            py::arg("items"), py::arg("prompt_tokens"), py::arg("cached_tokens"), py::arg("output_tokens"),
            py::arg("outcome"), py::pos_only(), "The service that began ends.")
        .def(
            "record",
            [](Meter& meter, std::int64_t arrival_ns, std::int64_t start_ns, std::int64_t first_token_ns,
               std::int64_t end_ns, std::int64_t items, std::int64_t prompt_tokens,
               std::int64_t cached_tokens, std::int64_t output_tokens, int outcome) {
                meter.record(request_of(arrival_ns, start_ns, first_token_ns, end_ns, items, prompt_tokens,
                                        cached_tokens, output_tokens, outcome));
            },
            py::arg("arrival_ns"), py::arg("start_ns"), py::arg("first_token_ns"), py::arg("end_ns"),
            py::arg("items"), py::arg("prompt_tokens"), py::arg("cached_tokens"), py::arg("output_tokens"),
            py::arg("outcome"), py::pos_only(),
            "A service ended whose times are known only now; calls are in the order of their ends.")
        .def("totals", &totals_of, py::arg("now_ns"), "Returns sums since the start.")
        .def("histograms", &histograms_of,
             "Returns for each histogram places of intervals with values, their counts, and the sum of "
             "values.")
        .def(
            "sizes", [](Meter& meter) { return columns(meter.sizes(), kSizes); },
            "Returns sums over answered requests of like size; -1 items are of sizes that were not kept.")
        .def("take", &taken, "Returns the requests that ended since the last call, and forgets them.")
        .def("restart", &Meter::restart, "Starts from zero, in the child of a fork.");
    register_counted_call(m);
}

}  // namespace infercost
