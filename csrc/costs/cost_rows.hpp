// The rows of derived costs: what they are derived from, and the figures. Each name is that of Python.
#pragma once

// Of a point; at the boundary of its forward, where `device_` bytes are those of the device with the largest
// share of the batch; of its deployment.
#define INFERCOST_COST_INPUTS(X) \
    X(latency_s)                 \
    X(interval_s)                \
    X(energy_j)                  \
    X(items)                     \
    X(devices)                   \
    X(utilization)               \
    X(draft_tokens_per_step)     \
    X(loaded_bytes)              \
    X(recorded_graphs)           \
    X(input_tensors)             \
    X(input_bytes)               \
    X(device_input_bytes)        \
    X(output_tensors)            \
    X(output_bytes)              \
    X(device_output_bytes)       \
    X(tokens)                    \
    X(reads_cache)               \
    X(instances)                 \
    X(idle_w)                    \
    X(before_weights_s)          \
    X(weights_s_per_byte)        \
    X(warmup_s)                  \
    X(warmup_s_per_graph)        \
    X(link_byte_per_s)           \
    X(link_latency_s)            \
    X(transfer_is_paid)          \
    X(overlapped)                \
    X(network_byte_per_s)        \
    X(network_rtt_s)             \
    X(request_bytes_per_item)    \
    X(response_bytes_per_item)   \
    X(egress_usd_per_gb)         \
    X(usd_per_h)                 \
    X(paid_per_used)             \
    X(usd_per_j)                 \
    X(pue)                       \
    X(grid_g_per_kwh)

// A figure is a function of this name in derived.cpp.
#define INFERCOST_COST_FIGURES(X) \
    X(energy_per_item_j)          \
    X(host_s)                     \
    X(request_bytes)              \
    X(response_bytes)             \
    X(network_s)                  \
    X(transfer_s)                 \
    X(waiting_s)                  \
    X(egress_usd)                 \
    X(used_s)                     \
    X(paid_s)                     \
    X(usd_per_h)                  \
    X(electricity_usd)            \
    X(cost_usd)                   \
    X(tokens_per_forward)         \
    X(tokens_per_step)            \
    X(tokens_per_s)               \
    X(tokens_per_s_per_sequence)  \
    X(usd_per_million_tokens)     \
    X(carbon_g)                   \
    X(cold_start_s)
