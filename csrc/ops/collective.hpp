// Operators of collectives, as rewriters write them. ops/collective.cpp has their rules.
#pragma once

#include <string_view>

namespace infercost {

inline constexpr std::string_view kAllReduce = "collective.all_reduce.default";
inline constexpr std::string_view kAllGather = "collective.all_gather.default";
inline constexpr std::string_view kReduceScatter = "collective.reduce_scatter.default";
inline constexpr std::string_view kAllToAll = "collective.all_to_all.default";
inline constexpr std::string_view kSend = "collective.send.default";
inline constexpr std::string_view kDispatch = "collective.dispatch.default";
inline constexpr std::string_view kCombine = "collective.combine.default";

}  // namespace infercost
