#include "hardware/hardware_json.hpp"

#include <cmath>
#include <limits>

#include "check.hpp"

using infercost::DType;
using infercost::Hardware;
using infercost::hardware_from_json;
using infercost::hardware_to_json;

namespace {

Hardware machine() {
    Hardware h;
    h.id = "toy";
    h.name = "A toy, \u00fcber";
    h.family = "toys";
    h.kind = infercost::MachineKind::systolic;
    h.cores = 108;
    h.clock_hz = 1.41e9;
    h.matrix[static_cast<std::size_t>(DType::bfloat16)] = 312e12;
    h.vector[static_cast<std::size_t>(DType::float32)] = 1e12 / 3.0;
    h.memory = {
        {"l2",   40.0 * 1024 * 1024,                      5e12    },
        {"dram", std::numeric_limits<double>::infinity(), 2.039e12}
    };
    h.array = infercost::ArrayShape{128, 64, 2};
    h.sparsity_2_4 = 2;
    h.overheads = {5e-6, 2.5e-6, 1.3e-6, 0.0};
    h.set_achieved({
        {"dram",       0.9},
        {"matrix_fp8", 0.7}
    });
    h.set_constants({
        {"kernel.softmax.spread", 0.1   },
        {"tiles_matrix.split_s",  5e-324}
    });
    h.spread = 0.25;
    h.power_w = {
        {"tdp", 400}
    };
    h.links_byte_per_s = {
        {"host", 32e9}
    };
    h.provenance = {
        {"peaks", "datasheet"}
    };
    return h;
}

std::string with(std::string text, const std::string& from, const std::string& to) {
    return text.replace(text.find(from), from.size(), to);
}

}  // namespace

TEST(a_machine_reads_back_to_the_last_bit) {
    const Hardware h = hardware_from_json(hardware_to_json(machine()));
    CHECK(hardware_to_json(h) == hardware_to_json(machine()));
    CHECK(h.name == machine().name && h.kind == machine().kind && h.family == machine().family);
    CHECK(h.matrix == machine().matrix && h.vector == machine().vector);
    CHECK(h.memory.size() == 2 && std::isinf(h.dram().capacity_bytes));
    CHECK(h.last_cache()->capacity_bytes == 40.0 * 1024 * 1024);
    CHECK(h.array && h.array->rows == 128 && h.array->cols == 64 && h.array->units == 2);
    CHECK(h.overheads.replay_gap_s == 1.3e-6);
    CHECK(h.named_achieved() == machine().named_achieved());
    CHECK(h.named_constants() == machine().named_constants() && h.named_constants().size() == 2);
    CHECK(h.power_w == machine().power_w && h.links_byte_per_s == machine().links_byte_per_s);
    CHECK(h.provenance == machine().provenance && h.spread == 0.25 && h.sparsity_2_4 == 2);
}

TEST(documents_that_cannot_be_are_refused) {
    const std::string text = hardware_to_json(machine());
    const auto refused = [&](const std::string& from, const std::string& to, const std::string& message) {
        CHECK_THROWS(std::invalid_argument, "machine JSON: " + message,
                     hardware_from_json(with(text, from, to)));
    };
    refused(R"("schema_version":1)", R"("schema_version":2)", "schema_version is 2; this version reads 1");
    refused(R"("cores":)", R"("core":)", "the document has an unknown key 'core'");
    refused(R"("cores":108.0,)", "", "the document has no 'cores'");
    refused(R"("cores":108.0)", R"("cores":"108")", "cores is the string '108'; expected a number");
    refused(R"("cores":108.0)", R"("cores":1.5)", "the document: hardware 'toy': cores is 1.5");
    refused(R"("systolic")", R"("tpu")", "kind: unknown kind of hardware 'tpu'");
    refused(R"("bfloat16")", R"("bfloat17")", "matrix_flop_per_s 'bfloat17': unknown dtype");
    refused(R"("level":"l2",)", "", "memory level 0 has no 'level'");
    refused(R"("dispatch":5e-06)", R"("dispatch":-1)",
            "the document: hardware 'toy': overheads_s dispatch is -1.0");
    refused(R"("dram":0.9)", R"("dram":0.9,"dram":0.8)", "achieved has 'dram' twice");
    refused(R"("matrix_fp8":0.7)", R"("matrix_fp9":0.7)", "the document: hardware 'toy': unknown constant");
    refused(R"("tdp":400.0)", R"("tdp":null)", "power_w 'tdp' is null; expected a number");
    refused(R"("datasheet")", "3", "provenance 'peaks' is 3; expected a string");
}

TEST(a_number_that_is_not_finite_cannot_be_written) {
    Hardware h = machine();
    h.clock_hz = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS(std::invalid_argument, "a number is nan; JSON has only finite numbers", hardware_to_json(h));
}

TEST(a_scaled_machine_keeps_what_no_factor_names) {
    const Hardware h = infercost::scaled(machine(), {.cores = 0.5, .compute = 2, .dram_bandwidth = 3});
    CHECK(h.cores == 54);
    // Half of the cores, each twice as fast.
    CHECK(h.matrix[static_cast<std::size_t>(DType::bfloat16)] == 312e12);
    CHECK(h.memory[0].capacity_bytes == 20.0 * 1024 * 1024 && h.memory[0].bandwidth_byte_per_s == 2.5e12);
    CHECK(h.memory[1].bandwidth_byte_per_s == 3 * 2.039e12);
    CHECK(h.array->units == 1);
    CHECK(h.named_constants() == machine().named_constants());
    CHECK_THROWS(std::invalid_argument, "compute is scaled by 0.0; expected more than zero",
                 infercost::scaled(machine(), {.compute = 0}));
}
