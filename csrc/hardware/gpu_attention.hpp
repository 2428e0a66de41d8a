// Attention as one kernel on a GPU: tiles of queries against blocks of keys, or, with few queries, keys that
// all cores stream, with combined partial results (Dao et al., "FlashAttention-2", 2023; "Flash-Decoding").
#pragma once

#include "hardware/gpu.hpp"
#include "hardware/model.hpp"

namespace infercost::INFERCOST_ISA {

struct GpuAttention {
    const GpuCosts& costs;
    double operand_bytes;
    Quantity batch, m, n, k, n_value, shared, flops, causal_flops, others;

    INFERCOST_INLINE GpuAttention(const GpuCosts& gpu, const KernelTerms& terms, const BlockColumns& block)
        : costs(gpu),
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

    INFERCOST_INLINE Vec seconds(int i) const {
        const Vec one = splat(1.0);
        const Vec sets = max(one, shared.at(i));
        const Vec group = max(one, batch.at(i) / sets);  // query heads that share keys
        const Mask few = m.at(i) < splat(kDecodeRows);
        const Vec elements = sets * n.at(i) * (k.at(i) + n_value.at(i));
        const Vec results = batch.at(i) * m.at(i) * (k.at(i) + n_value.at(i)) * splat(operand_bytes);
        const Vec key_bytes = max(splat(0.0), others.at(i) - results);
        const Mask narrow = key_bytes < elements * splat(kNarrow * operand_bytes);
        const Vec seconds = select(few, decode(i, sets, group, key_bytes), prefill(i, sets, group, narrow));
        // Queries are first converted to the dtype of keys.
        return seconds + only(narrow, splat(costs.attention.narrow_s));
    }

  private:
    INFERCOST_INLINE Vec prefill(int i, Vec sets, Vec group, Mask narrow) const {
        const AttentionCosts& a = costs.attention;
        const Vec one = splat(1.0);
        const Vec queries = m.at(i) * group;
        const Vec keys = n.at(i);
        const Vec tiles = ceil(queries * splat(1.0 / kQueryRows));
        const Vec padded = ceil(queries * splat(1.0 / kInstructionRows)) * splat(kInstructionRows);
        const Vec rows = select(one < tiles, splat(kQueryRows), padded);
        const Vec longest = ceil(keys * splat(1.0 / kQueryRows)) * splat(kQueryRows);
        // Under a causal mask, a tile skips the blocks of keys that all of its queries mask.
        const Vec seen = causal_flops.at(i) / max(one, flops.at(i));
        const Vec mean = min(longest, keys * seen + splat(kKeyBlock) + splat(kQueryRows / 2) / group);
        const Vec wide_s =
            rows * (splat(2 * a.core_s_per_flop) * (k.at(i) + n_value.at(i)) + splat(a.exponential_s));
        const Vec key_s = wide_s + only(narrow, wide_s * splat(a.narrow));
        const Vec rounds = ceil(sets * tiles * splat(1.0 / costs.cores) - splat(1e-9));
        return rounds * (splat(a.tile_s) + mean * key_s) +
               splat(a.longest) * (splat(a.tile_s) + longest * key_s);
    }

    INFERCOST_INLINE Vec decode(int i, Vec sets, Vec group, Vec cached_bytes) const {
        const AttentionCosts& a = costs.attention;
        const Vec one = splat(1.0);
        const Vec cores = splat(costs.cores);
        const Vec keys = max(one, n.at(i));
        const Vec units = sets * ceil(group * m.at(i) * splat(1.0 / kInstructionRows));
        const Vec most = clamp(floor(keys * splat(1.0 / kLeastSplitKeys)), one, splat(kMostSplits));
        const Vec splits = clamp(floor(cores / units), one, most);
        const Vec part = ceil(ceil(keys * splat(1.0 / kKeyBlock)) / splits) * splat(kKeyBlock);
        const Vec rounds = ceil(units * splits / cores - splat(1e-9));
        const Vec key_bytes = cached_bytes / (sets * keys);
        // A block has a fixed number of elements in flight, whatever their width, and a core has a few
        // blocks.
        const Vec side_by_side = ceil(rounds * splat(1.0 / kDecodeBlocks));
        const Vec key_s = max(rounds * key_bytes * splat(a.decode_s_per_byte),
                              side_by_side * (k.at(i) + n_value.at(i)) * splat(a.decode_s_per_element));
        const Vec combined = only(one < splits, splat(a.combine_s) + splits * splat(a.combine_split_s));
        // Heads that exceed one kernel: a fixed number of parts, whose results pass through memory.
        const Vec cut = only(splat(kWidestHeld) < n_value.at(i), only(sets < splat(kMostWideSets), units));
        const Vec partial = cut * n_value.at(i) * splat(kWideParts * kInstructionRows * 4 * a.wide_passes);
        return rounds * splat(a.decode_start_s) + part * key_s + combined +
               partial * splat(a.decode_s_per_byte / costs.cores);
    }
};

}  // namespace infercost::INFERCOST_ISA
