// Requests of simulations from Python, and arrays in both directions.
#pragma once

#include <pybind11/numpy.h>

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "bindings/bindings.hpp"
#include "simulate/requests.hpp"

namespace infercost {

using Values = py::array_t<double, py::array::c_style | py::array::forcecast>;

inline std::vector<double> flat(const Values& values) {
    return {values.data(), values.data() + values.size()};
}

// Whole numbers of any type as T; those that T cannot hold become `beyond`, which checks refuse.
template <class T>
std::vector<T> whole_numbers(const py::object& given, const char* name, T beyond) {
    const py::array values = py::array::ensure(given);
    if (!values) {
        PyErr_Clear();
        throw InputTypeError(std::string(name) + " is no array; expected whole numbers");
    }
    const char kind = values.dtype().kind();
    if (values.ndim() != 1) {
        throw std::invalid_argument(std::string(name) + " has " + std::to_string(values.ndim()) +
                                    " dimensions; expected 1");
    }
    if (kind != 'i' && kind != 'u' && values.size() > 0) {
        throw InputTypeError(std::string(name) + " has the type " +
                             py::str(values.dtype()).cast<std::string>() + "; expected whole numbers");
    }
    const auto wide = py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>(values);
    std::vector<T> found;
    found.reserve(static_cast<std::size_t>(wide.size()));
    for (py::ssize_t i = 0; i < wide.size(); ++i) {
        const std::int64_t value = wide.data()[i];
        const auto narrow = static_cast<T>(value);
        found.push_back(narrow == value ? narrow : beyond);
    }
    return found;
}

struct Requests {
    std::vector<double> arrival_s;
    std::vector<std::int32_t> prompt;
    std::vector<std::int32_t> output;
    std::vector<std::int32_t> priority;
    std::vector<std::int64_t> prefix_from;
    std::vector<std::int64_t> prefix_ids;
    std::int64_t prefix_tokens = 0;
    std::vector<double> service_s;

    RequestColumns columns() const {
        return {arrival_s, prompt, output, priority, prefix_from, prefix_ids, prefix_tokens, service_s};
    }
};

// Requests that Python makes piece by piece.
struct RequestStream {
    std::size_t most;
    py::function next;
};

class ArraySource final : public RequestSource {
  public:
    explicit ArraySource(std::shared_ptr<const Requests> requests) : requests_(std::move(requests)) {}
    std::size_t most() const override { return requests_->arrival_s.size(); }
    RequestColumns next() override {
        if (given_) return {};
        given_ = true;
        return requests_->columns();
    }

  private:
    std::shared_ptr<const Requests> requests_;
    bool given_ = false;
};

class StreamSource final : public RequestSource {
  public:
    StreamSource(std::size_t most, py::function next) : most_(most), next_(std::move(next)) {}
    std::size_t most() const override { return most_; }
    RequestColumns next() override {
        const py::gil_scoped_acquire acquire;
        const py::object made = call();
        if (made.is_none()) return {};
        if (!py::isinstance<Requests>(made)) {
            throw InputTypeError("a stream of requests gave a " +
                                 py::str(py::type::handle_of(made).attr("__name__")).cast<std::string>() +
                                 "; expected Requests, or None at the end");
        }
        piece_ = made.cast<std::shared_ptr<const Requests>>();
        return piece_->columns();
    }

  private:
    // Ctrl-C may come while Python makes requests: it ends the simulation as at any other time.
    py::object call() const {
        try {
            return next_();
        } catch (const py::error_already_set& error) {
            if (!error.matches(PyExc_KeyboardInterrupt)) throw;
        }
        throw Interrupted();
    }

    std::size_t most_;
    py::function next_;
    std::shared_ptr<const Requests> piece_;
};

using JobRequests = std::variant<std::shared_ptr<Requests>, std::shared_ptr<RequestStream>>;

inline std::unique_ptr<RequestSource> source_of(const JobRequests& requests) {
    if (const auto* arrays = std::get_if<std::shared_ptr<Requests>>(&requests)) {
        return std::make_unique<ArraySource>(*arrays);
    }
    const auto& stream = std::get<std::shared_ptr<RequestStream>>(requests);
    return std::make_unique<StreamSource>(stream->most, stream->next);
}

// An array that takes a vector over.
template <class T>
py::array_t<T> array_of(std::vector<T>&& values) {
    auto owned = std::make_unique<std::vector<T>>(std::move(values));
    const auto count = static_cast<py::ssize_t>(owned->size());
    const T* data = owned->data();
    const py::capsule owner(owned.get(), [](void* held) { delete static_cast<std::vector<T>*>(held); });
    owned.release();
    return py::array_t<T>(count, data, owner);
}

}  // namespace infercost
