#include "costs/instances.hpp"

#include <algorithm>
#include <string>
#include <tuple>

#include "core/errors.hpp"

namespace infercost {
namespace {

std::int64_t divided_up(std::int64_t count, std::int64_t each) {
    return (count + each - 1) / each;
}

}  // namespace

RentedDevices RentedDevices::of(std::int64_t devices, std::int64_t together, std::int64_t nodes) {
    return {devices, std::min(together, divided_up(devices, std::max<std::int64_t>(nodes, 1)))};
}

std::int64_t RentedDevices::instances(double each) const {
    if (devices < 1 || together < 1 || together > devices) {
        throw InputError("devices to rent are " + std::to_string(devices) + ", " + std::to_string(together) +
                         " of them together; expected at least 1, and no more together than all");
    }
    const std::int64_t size = Offer{0, each, true}.whole_devices();
    if (size < together) return divided_up(devices, size);
    return divided_up(divided_up(devices, together), size / together);
}

std::int64_t Offer::whole_devices() const {
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(devices));
}

std::int64_t Rent::instances(std::int64_t replicas) const {
    return replicas == 0 ? 0 : times(replicas).replica.instances(static_cast<double>(instance_devices));
}

std::int64_t Rent::paid_devices(std::int64_t replicas) const {
    return instances(replicas) * instance_devices;
}

double Rent::usd_per_h(std::int64_t replicas) const {
    return static_cast<double>(paid_devices(replicas)) * usd_per_device_h;
}

Rent Rent::times(std::int64_t replicas) const {
    return {
        {replica.devices * replicas, replica.together},
        usd_per_device_h, instance_devices
    };
}

std::size_t cheapest(std::span<const Offer> offers, std::int64_t together) {
    if (offers.empty()) throw InputError("there are no offers; expected at least one");
    const auto rank = [&](const Offer& offer) {
        const auto count = static_cast<double>(RentedDevices{together, together}.instances(offer.devices));
        return std::tuple(offer.whole_devices() < together, !offer.has_host, count * offer.usd_per_h);
    };
    std::size_t best = 0;
    for (std::size_t i = 1; i < offers.size(); ++i) {
        if (rank(offers[i]) < rank(offers[best])) best = i;
    }
    return best;
}

}  // namespace infercost
