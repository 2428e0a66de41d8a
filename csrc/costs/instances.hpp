// Devices are rented in whole instances: how many hold those of a layout, and which offer is the cheapest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace infercost {

// The devices of a layout.
struct RentedDevices {
    std::int64_t devices;
    std::int64_t together;  // how many of them must be in one instance, since they exchange data

    // Those of a layout whose copies exchange data among `together` devices, as far as a node holds them.
    static RentedDevices of(std::int64_t devices, std::int64_t together, std::int64_t nodes);

    // Instances of so many devices that hold them. Groups that exchange data are not cut, unless they are
    // larger than an instance. Throws std::invalid_argument for fewer than one device, or one together.
    std::int64_t instances(double each) const;
};

// An instance for rent.
struct Offer {
    double usd_per_h;  // of all its devices
    double devices;    // less than one if some cores of a CPU are rented
    bool has_host;     // whether the price has that of the host

    // Without devices of a layout, an hour of one device is paid for, whatever else its instance has.
    double usd_per_device_h() const { return usd_per_h / (devices < 1 ? 1.0 : devices); }
};

// The place of the cheapest offer; of equal ones the first. One that holds what must be together comes before
// smaller ones, and one with a host before those without. Throws std::invalid_argument without offers.
std::size_t cheapest(std::span<const Offer> offers, const std::optional<RentedDevices>& rented);

}  // namespace infercost
