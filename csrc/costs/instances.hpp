// Devices are rented in whole instances: which offer is the cheapest, and what replicas of a deployment pay.
// All who name a price ask here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace infercost {

// The devices of a layout.
struct RentedDevices {
    std::int64_t devices = 1;
    std::int64_t together = 1;  // how many of them must be in one instance, since they exchange data

    // Those of a layout whose copies exchange data among `together` devices, as far as a node holds them.
    static RentedDevices of(std::int64_t devices, std::int64_t together, std::int64_t nodes);

    // Instances of so many devices that hold them. Groups that exchange data are not cut, unless they are
    // larger than an instance. Throws InputError for fewer than one device, or one together.
    std::int64_t instances(double each) const;
};

// An instance for rent.
struct Offer {
    double usd_per_h;  // of all its devices
    double devices;    // less than one if some cores of a CPU are rented
    bool has_host;     // whether the price has that of the host

    // Of an instance; part of one counts as one.
    std::int64_t whole_devices() const;
    double usd_per_device_h() const { return usd_per_h / static_cast<double>(whole_devices()); }
};

// What replicas of a deployment pay: as many instances as hold them all, each of them as a whole.
struct Rent {
    RentedDevices replica;
    double usd_per_device_h;
    std::int64_t instance_devices;

    std::int64_t instances(std::int64_t replicas) const;
    std::int64_t paid_devices(std::int64_t replicas) const;
    double usd_per_h(std::int64_t replicas) const;
    // That of so many replicas as of one.
    Rent times(std::int64_t replicas) const;
};

// The place of the cheapest offer for devices that must be together; of equal ones the first. It depends on
// no number of copies, which are packed into its instances later. One that holds what must be together comes
// before smaller ones, and one with a host before those without. Throws InputError without offers.
std::size_t cheapest(std::span<const Offer> offers, std::int64_t together);

}  // namespace infercost
