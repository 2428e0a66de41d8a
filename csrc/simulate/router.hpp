// Which server a request goes to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "simulate/server.hpp"
#include "simulate/settings.hpp"

namespace infercost {

// Chooses among the servers from `first` to before `last`.
class Router {
  public:
    Router(const RouterSettings& settings, std::size_t first, std::size_t last)
        : settings_(settings), first_(first), last_(last), next_(first) {}

    std::size_t choose(const std::vector<Server>& servers, std::uint32_t request, std::int64_t prompt);

  private:
    RouterSettings settings_;
    std::size_t first_;
    std::size_t last_;
    std::size_t next_;
};

}  // namespace infercost
