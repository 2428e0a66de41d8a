// The instruction sets of this build, and those that this machine can run.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace infercost {

// baseline is the minimum of the build: SSE4.1 on x86-64, NEON on 64-bit Arm, 128-bit SIMD in WebAssembly,
// plain C++ elsewhere.
enum class Isa : std::uint8_t { baseline, avx2, avx512 };
std::string_view name_of(Isa isa);

// The instruction sets that can run here, slowest first. Results do not depend on the choice.
const std::vector<Isa>& available_isas();
Isa best_isa();
// Throws InputError for a name that is unknown or cannot run here.
Isa parse_isa(std::string_view name);

}  // namespace infercost
