#include "interface/rents.hpp"

#include <array>

#include "hardware/collectives.hpp"

namespace infercost {
namespace {

constexpr double kMostDevices = 1e6;

template <auto Member>
constexpr auto of_offer = &read_member<Member, Offer>;
constexpr std::array kOfferFields = {
    JsonField<Offer>{"usd_per_h", of_offer<&Offer::usd_per_h>},
    JsonField<Offer>{"devices",   of_offer<&Offer::devices>  },
    JsonField<Offer>{"has_host",  of_offer<&Offer::has_host> }
};

void write_rent(const Layout& layout, const Hardware& machine, const std::vector<Offer>& offers,
                std::int64_t replicas, JsonWriter& out) {
    const std::int64_t devices = layout.devices();
    const auto replica =
        RentedDevices::of(devices, layout.together(), nodes_of(machine, devices, layout.nodes));
    const std::size_t at = cheapest(offers, replica.together);
    const Rent rent{replica, offers[at].usd_per_device_h(), offers[at].whole_devices()};
    const std::int64_t paid = rent.paid_devices(replicas);
    out.begin_object().key("offer").integer(static_cast<std::int64_t>(at));
    out.key("usd_per_device_h").number(rent.usd_per_device_h);
    out.key("usd_per_h").number(rent.usd_per_h(replicas)).key("instances").integer(rent.instances(replicas));
    out.key("devices").integer(rent.instance_devices).key("paid_devices").integer(paid);
    out.key("paid_per_used").number(static_cast<double>(paid) / static_cast<double>(devices * replicas));
    out.end_object();
}

}  // namespace

std::vector<Offer> offers_in(const JsonEntry& entry, const JsonPlace& place) {
    std::vector<Offer> offers;
    entry.for_each_item(place, "a list of offers", [&](const JsonEntry& item) {
        Offer offer{.usd_per_h = -1, .devices = 1, .has_host = true};
        read_fields(offer, item, "offer", kOfferFields);
        if (!(offer.usd_per_h >= 0)) item.fail(place, " has an offer without a usd_per_h of at least 0");
        if (!(offer.devices > 0 && offer.devices <= kMostDevices)) {
            item.fail(place, " has an offer whose devices are not above 0 and at most 1000000");
        }
        offers.push_back(offer);
    });
    return offers;
}

void write_rents(const DeployedGraph& deployed, const std::vector<const Hardware*>& machines,
                 const std::vector<std::vector<Offer>>& offers, std::int64_t replicas, JsonWriter& out) {
    out.key("machines").begin_list();
    for (std::size_t i = 0; i < machines.size(); ++i) {
        if (offers[i].empty()) {
            out.null();
        } else {
            write_rent(deployed.settings().layout, *machines[i], offers[i], replicas, out);
        }
    }
    out.end_list();
}

}  // namespace infercost
