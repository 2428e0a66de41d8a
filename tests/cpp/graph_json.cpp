#include "core/graph_json.hpp"

#include <array>
#include <cmath>
#include <limits>

#include "check.hpp"

using infercost::DType;
using infercost::Expr;
using infercost::Graph;
using infercost::graph_from_json;
using infercost::graph_to_json;
using infercost::GraphBuilder;
using infercost::kNoTensor;
using infercost::OverflowError;
using infercost::Role;
using infercost::SizeRole;
using infercost::TensorIndex;

namespace {

// One graph with every kind of argument and field.
std::shared_ptr<const Graph> everything() {
    GraphBuilder builder("a \"quoted\" \\ name\n\u00e9\U0001F600\x7f");
    const Expr batch = builder.add_size(
        "batch", {.default_value = 4, .maximum = Expr(4096), .origin = "", .role = SizeRole::batch});
    const Expr found = builder.add_size("nms.found", {.default_value = batch * 100,
                                                      .minimum = 0,
                                                      .maximum = batch * 1000,
                                                      .origin = "boxes kept",
                                                      .role = SizeRole::data});
    // A role that does not follow from the name is written.
    builder.add_size("frames", {.default_value = 3, .maximum = {}, .origin = "", .role = SizeRole::sequence});
    builder.add_guard({batch, infercost::Guard::Relation::greater_equal, Expr(2)});
    const std::array<Expr, 2> shape = {batch, Expr(8)};
    const std::array<Expr, 2> strides = {Expr(16), Expr(1)};
    const TensorIndex x =
        builder.add_tensor(DType::float32, shape, strides, Role::input, "x", std::nullopt, 64);
    const TensorIndex w =
        builder.add_tensor(DType::int4, std::array{Expr(8)}, std::nullopt, Role::parameter, "w", 16);
    const TensorIndex y = builder.add_tensor(DType::float32, shape, std::nullopt, Role::activation, "");
    builder.begin_node("aten.example.default", "layer.0", "model.py:1", infercost::Phase::backward);
    builder.argument_tensor("x", x);
    builder.argument_none("nothing");
    builder.argument_integer("count", std::numeric_limits<std::int64_t>::min());
    builder.argument_integer("open", batch / 2);
    builder.argument_boolean("flag", true);
    builder.argument_text("mode", "caf\u00e9");
    builder.argument_tensors("weights", std::array<TensorIndex, 2>{w, kNoTensor});
    builder.argument_integers("fixed", std::array{Expr(-1), Expr(2)});
    builder.argument_integers("mixed", std::array{Expr(-1), found});
    builder.argument_reals(
        "reals", std::array{0.1, -0.0, 1e-5, 1e16, 123456789012345.0, 5e-324, 1.7976931348623157e308});
    builder.argument_real("nan", std::numeric_limits<double>::quiet_NaN());
    builder.argument_real("inf", -std::numeric_limits<double>::infinity());
    builder.end_node(std::array{y});
    return builder.build(std::array{x}, std::array{y}, {0, infercost::kNotObserved, 0});
}

std::string document(const std::string& tensors, const std::string& nodes = "[]") {
    return R"({"schema_version":1,"model":"m","sizes":{"batch":{"default":1}},"tensors":)" + tensors +
           R"(,"nodes":)" + nodes + R"(,"inputs":[],"outputs":[]})";
}

std::string tensor(const std::string& shape) {
    return R"({"dtype":"float32","shape":)" + shape + R"(,"role":"input"})";
}

}  // namespace

TEST(everything_reads_back) {
    const std::string text = graph_to_json(*everything());
    const auto again = graph_from_json(text);
    CHECK(graph_to_json(*again) == text);
    CHECK(again->model() == everything()->model());
    CHECK(again->size_of_role(SizeRole::sequence) == "frames" && again->depends_on_data("nms.found"));
    CHECK(again->held_until().size() == 3 && again->held_until()[1] == infercost::kNotObserved);
    for (const char c : text) CHECK(c >= ' ' && c <= '~');
}

TEST(numbers_are_written_as_python_writes_them) {
    const std::string text = graph_to_json(*everything());
    CHECK(
        text.find(
            R"(["floats",["0.1","-0.0","1e-05","1e+16","123456789012345.0","5e-324","1.7976931348623157e+308"]])") !=
        std::string::npos);
    CHECK(text.find(R"("nan":["float","nan"],"inf":["float","-inf"])") != std::string::npos);
    CHECK(text.find(R"("count":["int",-9223372036854775808])") != std::string::npos);
    CHECK(text.find(R"(\u00e9\ud83d\ude00\u007f)") != std::string::npos);
}

TEST(text_that_is_not_json_is_refused_with_its_place) {
    CHECK_THROWS(std::invalid_argument, "graph JSON: not valid JSON: parse error at line 1, column 1",
                 graph_from_json(""));
    CHECK_THROWS(std::invalid_argument, "line 2, column 1", graph_from_json("{\n]"));
    CHECK_THROWS(std::invalid_argument, "not valid JSON", graph_from_json("{} {}"));
    CHECK_THROWS(std::invalid_argument, "not valid JSON", graph_from_json(R"({"a":NaN})"));
    CHECK_THROWS(std::invalid_argument, "not valid JSON", graph_from_json("{\"model\":\"\xff\"}"));
    CHECK_THROWS(std::invalid_argument, "not valid JSON", graph_from_json(R"({"model":"\ud800"})"));
    CHECK_THROWS(std::invalid_argument, "not valid JSON", graph_from_json(R"({"a":1e999})"));
    CHECK_THROWS(std::invalid_argument, "not valid JSON", graph_from_json(std::string(1'000'000, '[')));
    CHECK_THROWS(std::invalid_argument, "the document is a list; expected an object",
                 graph_from_json(std::string(100'000, '[') + std::string(100'000, ']')));
}

TEST(keys_are_known_and_given_once) {
    CHECK_THROWS(std::invalid_argument,
                 "tensor 0 has an unknown key 'shap'; expected keys among dtype, shape",
                 graph_from_json(document(R"([{"dtype":"int8","shap":[],"role":"input"}])")));
    CHECK_THROWS(std::invalid_argument, "tensor 0 has 'role' twice",
                 graph_from_json(document(R"([{"dtype":"int8","shape":[],"role":"input","role":"input"}])")));
    CHECK_THROWS(
        std::invalid_argument, "node 0 args has 'self' twice",
        graph_from_json(document("[]", R"([{"op":"a.b","args":{"self":null,"self":null},"outputs":[]}])")));
    CHECK_THROWS(std::invalid_argument, "the document has no 'schema_version'", graph_from_json("{}"));
}

TEST(integers_are_exact) {
    const std::string largest = "9223372036854775807";
    CHECK(graph_to_json(*graph_from_json(document("[" + tensor("[" + largest + "]") + "]"))).find(largest) !=
          std::string::npos);
    for (const char* large :
         {"9223372036854775808", "-9223372036854775809", "123456789012345678901234567890"}) {
        CHECK_THROWS(OverflowError,
                     std::string("tensor 0 shape is ") + large + ", which does not fit 64 bits",
                     graph_from_json(document("[" + tensor(std::string("[") + large + "]") + "]")));
    }
    CHECK_THROWS(std::invalid_argument, "tensor 0 shape is 2.0; expected an integer or a size expression",
                 graph_from_json(document("[" + tensor("[2.0]") + "]")));
    CHECK_THROWS(std::invalid_argument, "tensor 0 shape is 100.0; expected",
                 graph_from_json(document("[" + tensor("[1e2]") + "]")));
}

TEST(long_values_are_shortened_between_characters) {
    std::string text = document("[" + tensor("[3]") + "]");
    text.replace(text.find("[]"), 2, "\"" + std::string(39, 'x') + "\u00e9\u00e9\"");  // of nodes
    CHECK_THROWS(std::invalid_argument, "is the string '" + std::string(39, 'x') + "...'; expected",
                 graph_from_json(text));
}

TEST(a_damaged_document_is_refused_and_never_crashes) {
    const std::string text = graph_to_json(*everything());
    const auto reads = [](const std::string& damaged) {
        try {
            graph_from_json(damaged);
            return true;
        } catch (const std::invalid_argument&) {
            return false;
        } catch (const OverflowError&) {
            return false;
        }
    };
    for (std::size_t length = 0; length < text.size(); ++length) CHECK(!reads(text.substr(0, length)));
    // A changed byte may give another valid graph; it never gives another kind of error.
    int refused = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
        for (const char byte : {'\0', '"', '}', '9', '-', '\xc3'}) {
            std::string damaged = text;
            damaged[at] = byte;
            refused += !reads(damaged);
        }
    }
    CHECK(refused > static_cast<int>(text.size()));
}

TEST(text_that_is_not_utf_8_cannot_be_written) {
    GraphBuilder builder("\xff");
    CHECK_THROWS(std::invalid_argument, "not valid UTF-8", graph_to_json(*builder.build({}, {})));
}
