// Several copies of a model that start and leave together.
#pragma once

#include <cstdint>
#include <memory>

#include "simulate/fleet/replica.hpp"

namespace infercost {

std::unique_ptr<Replica> make_copies(const ReplicaSettings& settings, std::int64_t copies,
                                     std::uint64_t seed);

}  // namespace infercost
