// Requests and answers as JSON: what a program in another language, or a web page, needs of the core.
//
// A request is an object with one key, the name of what is asked, and its fields:
//
//   {"load": {"kind": "graph"}}            with the text of Graph.to_json() beside it
//   {"estimate": {"deployment": 3, "machine": 2, "sizes": {"batch": 8}}}
//
// The answer is {"answer": {...}}, or {"error": {"kind": "...", "message": "..."}}. Graphs, machines,
// deployments, tables of steps and requests stay in the session under the handle that their answer has.
// docs/interface.md has all requests.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "interface/estimates.hpp"
#include "interface/serving.hpp"

namespace infercost {

// Belongs to one thread.
class Session {
  public:
    // Throws nothing but std::bad_alloc. `document` is the text that `load` and `device` read.
    std::string answer(std::string_view request, std::string_view document);

  private:
    using Handle = std::int64_t;
    using Held = std::variant<std::shared_ptr<const Graph>, std::shared_ptr<const Hardware>,
                              std::shared_ptr<DeployedGraph>, std::shared_ptr<const StepCosts>,
                              std::shared_ptr<const UnitRequests>>;
    struct Handler {
        std::string_view name;
        void (Session::*run)(const JsonEntry& fields, std::string_view document, JsonWriter& out);
    };
    static const Handler kHandlers[];

    void run(std::string_view request, std::string_view document, JsonWriter& out);
    void load(const JsonEntry& fields, std::string_view document, JsonWriter& out);
    struct GgufFile {
        std::string name;
        std::uint64_t bytes;
        std::string_view phase;
    };
    // `begin` are the first bytes of the file; the answer is `needs` where its header goes on behind them.
    void load_gguf(const GgufFile& file, std::string_view begin, JsonWriter& out);
    void unload(const JsonEntry& fields, std::string_view document, JsonWriter& out);
    void device(const JsonEntry& fields, std::string_view document, JsonWriter& out);
    void scale(const JsonEntry& fields, std::string_view document, JsonWriter& out);
    void deploy(const JsonEntry& fields, std::string_view document, JsonWriter& out);
    void estimate(const JsonEntry& fields, std::string_view document, JsonWriter& out);
    void rent(const JsonEntry& fields, std::string_view document, JsonWriter& out);
    void grid(const JsonEntry& fields, std::string_view document, JsonWriter& out);
    void counts(const JsonEntry& fields, std::string_view document, JsonWriter& out);
    void layers(const JsonEntry& fields, std::string_view document, JsonWriter& out);
    void tabulate(const JsonEntry& fields, std::string_view document, JsonWriter& out);
    void draw(const JsonEntry& fields, std::string_view document, JsonWriter& out);
    void serve(const JsonEntry& fields, std::string_view document, JsonWriter& out);

    std::vector<const Hardware*> machines_in(const JsonEntry& entry) const;
    Handle keep(Held held);
    template <class Value>
    const std::shared_ptr<Value>& held(const JsonEntry& entry, const JsonPlace& place) const;

    std::map<Handle, Held> held_;
    Handle next_ = 1;
};

}  // namespace infercost
