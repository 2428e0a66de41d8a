// Row kernels on a GPU: softmax and norms.
#pragma once

#include "hardware/costs.hpp"
#include "hardware/model.hpp"

namespace infercost::INFERCOST_ISA {

// Costs of rows of one length, for any number of rows.
struct RowsOfLength {
    Vec again;    // how often a row's bytes are read again from DRAM
    Vec row_s;    // latency of a row, divided by the rows in flight
    Vec block_s;  // of a single block over its row
};

struct GpuRows {
    const GpuCosts& costs;
    Quantity m, n, others, written;

    INFERCOST_INLINE GpuRows(const GpuCosts& gpu, const KernelTerms& terms, const BlockColumns& block)
        : costs(gpu),
          m(block[terms.m]),
          n(block[terms.n]),
          others(block[terms.other_bytes]),
          written(block[terms.written_bytes]) {}

    INFERCOST_INLINE void prepare(int i, RowsOfLength& rows) const {
        const RowCosts& row = costs.rows;
        const Vec one = splat(1.0);
        const Vec zero = splat(0.0);
        const Vec length = max(one, n.at(i));
        // torch's softmax uses blocks of 256 threads up to 2048 columns and 512 beyond, with four elements
        // per thread.
        const Vec block =
            row.block > 0 ? splat(row.block) : select(length < splat(2049.0), splat(256.0), splat(512.0));
        const Vec blocks = splat(row.threads) / block;
        // Bytes that are read and written between two reads of a row's element.
        const Vec flight = blocks * length * splat(2 * row.element_bytes);
        const Vec of_all = flight * splat(costs.cores);
        const Vec half = splat(0.5);
        const double reach = row.l2_bytes + row.l1_in_l2 * row.l1_bytes * costs.cores;
        const Vec l2_miss =
            clamp((of_all * splat(1.0 / reach) - one) * splat(1.0 / row.width) + half, zero, one);
        const Vec l1_miss =
            row.l1_in_l2 > 0
                ? one
                : clamp((flight * splat(1.0 / row.l1_bytes) - one) * splat(1.0 / row.width) + half, zero,
                        one);
        const Mask held = length < splat(row.held + 1);
        rows.again = select(held, zero, splat(row.passes) * l1_miss * l2_miss);
        const Vec trips = ceil(length / (splat(4.0) * block)) * splat((row.passes + 1) * row.trip_s);
        rows.block_s = select(held, zero, trips) + length * splat(row.element_s) + splat(row.start_s);
        // Blocks that traverse a token element by element are bound by instruction issue, and single blocks
        // by their own latency.
        rows.row_s =
            row.issue_s > 0 ? length * splat(row.issue_s) : rows.block_s / (blocks * splat(costs.cores));
    }

    INFERCOST_INLINE Vec again(int i, const RowsOfLength& rows) const {
        return rows.again * (others.at(i) - written.at(i));
    }

    INFERCOST_INLINE Vec latency(int i, const RowsOfLength& rows) const {
        return max(m.at(i) * rows.row_s, rows.block_s);
    }
};

}  // namespace infercost::INFERCOST_ISA
