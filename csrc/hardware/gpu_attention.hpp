// Attention as one kernel on a GPU: tiles of queries against blocks of keys, or, with few queries, keys that
// all cores stream, with combined partial results (Dao et al., "FlashAttention-2", 2023; "Flash-Decoding").
#pragma once

#include "hardware/gpu.hpp"
#include "hardware/model.hpp"

namespace infercost::INFERCOST_ISA {

struct GpuAttention {
    const GpuCosts& costs;
    const double* footprint;
    double operand_bytes;
    Quantity batch, m, n, k, n_value, shared, flops, causal_flops, others;

    INFERCOST_INLINE GpuAttention(const GpuCosts& gpu, const KernelTerms& terms, const BlockColumns& block)
        : costs(gpu),
          footprint(block.footprint),
          operand_bytes(terms.operand_bits / 8.0),
          batch(block[terms.batch]),
          m(block[terms.m]),
          n(block[terms.n]),
          k(block[terms.k]),
          n_value(block[terms.n_value]),
          shared(block[terms.shared]),
          flops(block[terms.contraction_flops]),
          causal_flops(block[terms.causal_flops]),
          others(block[terms.other_bytes]) {}

    // Few queries hold their place in a core while keys are streamed.
    INFERCOST_INLINE Mask few(int i) const { return m.at(i) < splat(kDecodeRows); }

    INFERCOST_INLINE Vec seconds(int i) const {
        const Vec sets = max(splat(1.0), shared.at(i));
        const Vec group = max(splat(1.0), batch.at(i) / sets);  // query heads that share keys
        const Vec elements = sets * n.at(i) * (k.at(i) + n_value.at(i));
        const Vec results = batch.at(i) * m.at(i) * (k.at(i) + n_value.at(i)) * splat(operand_bytes);
        const Vec key_bytes = max(splat(0.0), others.at(i) - results);
        const Mask narrow = key_bytes < elements * splat(kNarrow * operand_bytes);
        const Vec seconds = select(
            few(i),
            decode(i, sets, group, key_bytes, narrow) + results * splat(costs.attention.result_s_per_byte),
            prefill(i, sets, group, narrow));
        // Queries are first converted to the dtype of keys.
        return seconds + only(narrow, splat(costs.attention.narrow_s));
    }

  private:
    // One key for a tile of queries.
    INFERCOST_INLINE Vec key_s(int i, Vec rows, Mask narrow) const {
        const AttentionCosts& a = costs.attention;
        const Vec width = k.at(i) + n_value.at(i);
        const Vec product_s =
            select(narrow, splat(2 * a.narrow_core_s_per_flop), splat(2 * a.core_s_per_flop));
        const Vec passes = select(splat(kWidestHeld) < n_value.at(i), splat(a.wide), splat(1.0));
        // Wider heads leave space for fewer rows, and narrow keys are turned for each tile.
        const Vec tiles = max(splat(1.0), k.at(i) * splat(1.0 / kTurnedWidth));
        return rows * (product_s * width * passes + splat(a.exponential_s)) +
               only(narrow, width * tiles * splat(a.narrow_s_per_element));
    }

    INFERCOST_INLINE Vec prefill(int i, Vec shared_sets, Vec shared_group, Mask narrow) const {
        const AttentionCosts& a = costs.attention;
        const Vec one = splat(1.0);
        const Vec sets = a.packs ? shared_sets : batch.at(i);
        const Vec group = a.packs ? shared_group : one;
        const Vec queries = m.at(i) * group;
        const Vec keys = n.at(i);
        // A tile of wider heads holds half as many queries.
        const Mask halved = splat(kWidestHeld) < n_value.at(i);
        const Vec full = select(halved, splat(a.query_rows / 2), splat(a.query_rows));
        const Vec tiles_per_row = select(halved, splat(2.0 / a.query_rows), splat(1.0 / a.query_rows));
        const Vec tiles = ceil(queries * tiles_per_row);
        const Vec padded = ceil(queries * splat(1.0 / kInstructionRows)) * splat(kInstructionRows);
        const Vec rows = select(one < tiles, full, padded);
        const Vec longest = ceil(keys * tiles_per_row) * full;
        // Under a causal mask, a tile skips the blocks of keys that all of its queries mask.
        const Vec seen = causal_flops.at(i) / max(one, flops.at(i));
        const Vec mean = min(longest, keys * seen + splat(kKeyBlock) + full * splat(0.5) / group);
        const Vec each_s = key_s(i, rows, narrow);
        const Vec rounds = ceil(sets * tiles * splat(1.0 / costs.cores) - splat(1e-9));
        const Vec converted = batch.at(i) * m.at(i) * k.at(i) * splat(a.narrow_s_per_query_element);
        return rounds * (splat(a.tile_s) + mean * each_s) +
               splat(a.longest) * (splat(a.tile_s) + longest * each_s) + only(narrow, converted);
    }

    INFERCOST_INLINE Vec decode(int i, Vec sets, Vec group, Vec cached_bytes, Mask narrow) const {
        const AttentionCosts& a = costs.attention;
        const Vec one = splat(1.0);
        const Vec cores = splat(costs.cores);
        const Vec keys = max(one, n.at(i));
        const Vec queries = group * m.at(i);
        const Vec units = sets * ceil(queries * splat(1.0 / a.unit_rows) - splat(1e-9));
        // A matrix unit computes all rows of a tile, for any number of queries.
        const Vec rows = max(splat(a.decode_rows), min(queries, splat(a.unit_rows)));
        const Vec most = clamp(floor(keys * splat(1.0 / kLeastSplitKeys)), one, splat(kMostSplits));
        const Vec splits = clamp(floor(cores / units), one, most);
        const Vec part =
            ceil(ceil(keys * splat(1.0 / a.key_block) - splat(1e-9)) / splits) * splat(a.key_block);
        const Vec blocks = units * splits / cores;
        const Vec rounds = ceil(blocks - splat(1e-9));
        // Keys were last read one forward ago. Cores that are done leave their share of DRAM to others.
        const Mask held = splat(a.cache_bytes) >= load(footprint + i);
        const Vec byte_s = select(held, rounds * splat(a.cached_s_per_byte),
                                  max(blocks, splat(kLeastShare)) * splat(a.decode_s_per_byte));
        const Vec read_s = max(cached_bytes / (sets * keys) * byte_s, rounds * key_s(i, rows, narrow));
        const Vec combined = only(one < splits, splat(a.combine_s) + splits * splat(a.combine_split_s));
        // Heads that exceed one kernel: a fixed number of parts, whose results pass through memory.
        const Vec cut = only(splat(kWidestHeld) < n_value.at(i), only(sets < splat(kMostWideSets), units));
        const Vec partial = cut * n_value.at(i) * splat(kWideParts * kInstructionRows * 4 * a.wide_passes);
        return rounds * splat(a.decode_start_s) + part * read_s + combined +
               partial * splat(a.decode_s_per_byte / costs.cores);
    }
};

}  // namespace infercost::INFERCOST_ISA
