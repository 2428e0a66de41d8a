// A pool of a fleet and its replicas, as the simulation keeps them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "simulate/fleet/autoscaler.hpp"
#include "simulate/fleet/fleet.hpp"
#include "simulate/fleet/load_history.hpp"
#include "simulate/fleet/min_tree.hpp"
#include "simulate/fleet/replica.hpp"

namespace infercost {

// Of a place for a replica.
enum class PlaceState : std::uint8_t { free, starting, ready, draining };

// Something that happens to one replica.
enum class Timing : std::uint8_t { ready, idle, notice, end };

struct Timer {
    double time_s;
    std::uint64_t order;
    std::uint32_t place;
    std::uint32_t turn;  // of the place: what was meant for another replica is ignored
    Timing what;
    bool operator>(const Timer& other) const {
        return time_s != other.time_s ? time_s > other.time_s : order > other.order;
    }
};

// A replica, or none.
struct Place {
    std::unique_ptr<Replica> replica;
    PlaceState state = PlaceState::free;
    std::uint32_t turn = 0;       // replicas that were here
    std::uint32_t idle_turn = 0;  // times that it became idle
    std::size_t pool = 0;
    std::uint64_t created = 0;  // in the order of starts
    double idle_since_s = 0;
    std::int64_t requests = 0;
    std::int64_t running = 0;
    std::vector<FleetRequest> bound;  // that wait for it to be ready
};

struct Pool {
    explicit Pool(const PoolSettings& given)
        : settings(given),
          autoscaler(given.autoscaler.settings->make(given.autoscaler.load)),
          slots(slots_of(given.replica)) {
        slots *= static_cast<double>(given.copies);
    }

    const PoolSettings& settings;
    std::unique_ptr<Autoscaler> autoscaler;
    double slots;
    MinTree room;  // of places by the order in which they are given requests
    LoadHistory history;
    PoolTotals totals;
    std::int64_t wanted = 0;
    std::int64_t starting = 0;
    std::int64_t ready = 0;
    std::int64_t draining = 0;
    std::int64_t busy = 0;
    std::int64_t requests = 0;
    std::int64_t running = 0;
    double next_s = 0;         // decision
    double changed_s = 0;      // when the number of replicas last changed
    std::uint64_t random = 0;  // numbers that were drawn

    std::int64_t kept() const { return starting + ready; }
    std::int64_t all() const { return starting + ready + draining; }
};

}  // namespace infercost
