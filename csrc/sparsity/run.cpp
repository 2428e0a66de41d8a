#include "sparsity/run.hpp"

#include <cstring>

#include "simd/matches.hpp"
#include "simd/words.hpp"

namespace infercost::INFERCOST_ISA {
namespace {

using Word = std::uint64_t;

constexpr int kGroupRows =
    8;  // the longest group of N:M, so that one pass over eight rows contains whole groups
constexpr int kGroups = kBandRows / kGroupRows;

// Eight rows are read in parallel, as eight memory streams: this many bytes of each in turn, while the same
// number behind them is prefetched. This was faster than one row at a time, and faster than longer turns,
// whose lines fall into the same cache sets if rows are a power of two apart.
constexpr int kTurnBytes = 256;
template <int Bits>
inline constexpr int kTurnWords = 8 * Bits >= kTurnBytes               ? 1
                                  : kTurnBytes / 8 / Bits < kWordLanes ? kTurnBytes / 8 / Bits
                                                                       : kWordLanes;
// A vector of words of each row is counted at once.
constexpr int kStripColumns = 64 * kWordLanes;

// One bit per element of a strip of eight rows, set if it is not zero.
struct Masks {
    alignas(64) Word rows[kGroupRows][kWordLanes];
};

template <int Bits>
INFERCOST_INLINE Word nonzero_tail(const unsigned char* p, Pattern pattern, int count) {
    unsigned char copy[64 * Bits / 8] = {};
    const int bytes = (count * Bits + 7) / 8;
    for (int i = 0; i < bytes; ++i) copy[i] = p[i];
    return ~matches<Bits>(copy, pattern) & ((Word{1} << count) - 1);
}

template <int Bits>
INFERCOST_INLINE void read_strip(const unsigned char* first, std::int64_t row_stride, Pattern pattern,
                                 Masks& masks) {
    constexpr int step = 64 * Bits / 8;
    for (int turn = 0; turn < kWordLanes; turn += kTurnWords<Bits>) {
        for (int r = 0; r < kGroupRows; ++r) {
            const unsigned char* p = first + r * row_stride + turn * step;
            for (int w = turn; w < turn + kTurnWords<Bits>; ++w, p += step) {
                for (int line = 0; line < step; line += 64) prefetch(p + kTurnBytes + line);
                masks.rows[r][w] = ~matches<Bits>(p, pattern);
            }
        }
    }
}

// The same for fewer rows or columns; the rest is zero.
template <int Bits>
void read_edge(const unsigned char* first, std::int64_t row_stride, Pattern pattern, int rows, int columns,
               Masks& masks) {
    constexpr int step = 64 * Bits / 8;
    for (int r = 0; r < kGroupRows; ++r) {
        for (int w = 0; w < kWordLanes; ++w) {
            const int left = r < rows ? columns - 64 * w : 0;
            Word mask = 0;
            if (left > 0) {
                const unsigned char* p = first + r * row_stride + w * step;
                mask = left >= 64 ? ~matches<Bits>(p, pattern) : nonzero_tail<Bits>(p, pattern, left);
            }
            masks.rows[r][w] = mask;
        }
    }
}

// ---- counting -----------------------------------------------------------------------------------------

INFERCOST_INLINE Words repeated(Word byte) {
    return splat_words(byte * 0x0101010101010101U);
}
INFERCOST_INLINE Words nibbles_of(Words bits) {  // number of set bits in each group of four
    const Words pairs = bits - ((bits >> 1) & repeated(0x55));
    return (pairs & repeated(0x33)) + ((pairs >> 2) & repeated(0x33));
}
INFERCOST_INLINE Words bytes_of(Words nibbles) {  // sums of both halves of each byte
    return (nibbles & repeated(0x0F)) + ((nibbles >> 4) & repeated(0x0F));
}
INFERCOST_INLINE Words set_bits(Words bits) {
    const Words nibbles = nibbles_of(bits);
    return (nibbles + (nibbles >> 4)) & repeated(0x0F);
}

// A sum of bytes, in fields of 16 bits, of kTileWords terms whose bytes are at most 128.
struct Sum {
    Words fields = {};

    INFERCOST_INLINE void add(Words bytes) {
        const Words even = splat_words(0x00FF00FF00FF00FFU);
        fields += (bytes & even) + ((bytes >> 8) & even);
    }
    INFERCOST_INLINE Word total() const {
        Word lanes[kWordLanes];
        store_words(lanes, fields);
        Word sum = 0;
        for (int i = 0; i < kWordLanes; ++i) {
            for (int shift = 0; shift < 64; shift += 16) sum += (lanes[i] >> shift) & 0xFFFF;
        }
        return sum;
    }
};

// Whether at least this many of four rows are set, by column.
struct FourRows {
    Words one, two, three, four;

    INFERCOST_INLINE FourRows(Words a, Words b, Words c, Words d) {
        const Words both_ab = a & b, either_ab = a | b, both_cd = c & d, either_cd = c | d;
        one = either_ab | either_cd;
        two = both_ab | both_cd | (either_ab & either_cd);
        three = (both_ab & either_cd) | (either_ab & both_cd);
        four = both_ab & both_cd;
    }
};

struct GroupSums {
    Sum nonzeros, rows_2_4, rows_1_4, rows_4_8, columns_2_4, columns_1_4, columns_4_8, blocks_4, blocks_8;
};

// Along rows, a group of four is a nibble and a group of eight a byte: `count + 5` of a nibble has its top
// bit set if the count is above 2.
INFERCOST_INLINE void count_along_rows(const Words (&rows)[kGroupRows], GroupSums& sums) {
    Words nonzeros = {}, over_2_4 = {}, over_1_4 = {}, over_4_8 = {};
    for (int r = 0; r < kGroupRows; ++r) {
        const Words nibbles = nibbles_of(rows[r]);
        const Words bytes = (nibbles + (nibbles >> 4)) & repeated(0x0F);
        nonzeros += bytes;
        over_2_4 += ((nibbles + repeated(0x55)) >> 3) & repeated(0x11);
        over_1_4 += ((nibbles + repeated(0x66)) >> 3) & repeated(0x11);
        over_4_8 += ((bytes + repeated(0x0B)) >> 4) & repeated(0x01);
    }
    sums.nonzeros.add(nonzeros);
    sums.rows_2_4.add(bytes_of(over_2_4));
    sums.rows_1_4.add(bytes_of(over_1_4));
    sums.rows_4_8.add(over_4_8);
}

INFERCOST_INLINE Words
spread_to_4(Words used) {  // the lowest bit of each nibble: whether any of its bits is set
    used |= used >> 1;
    return (used | (used >> 2)) & repeated(0x11);
}

// Return the columns of the eight rows that contain a nonzero element.
INFERCOST_INLINE Words count_along_columns(const Words (&rows)[kGroupRows], GroupSums& sums) {
    const FourRows a(rows[0], rows[1], rows[2], rows[3]);
    const FourRows b(rows[4], rows[5], rows[6], rows[7]);
    sums.columns_2_4.add(set_bits(a.three) + set_bits(b.three));
    sums.columns_1_4.add(set_bits(a.two) + set_bits(b.two));
    const Words over = (a.one & b.four) | (a.two & b.three) | (a.three & b.two) | (a.four & b.one);
    sums.columns_4_8.add(set_bits(over));
    sums.blocks_4.add(bytes_of(spread_to_4(a.one) + spread_to_4(b.one)));
    const Words used = a.one | b.one;
    const Words nibbles = spread_to_4(used);
    sums.blocks_8.add((nibbles | (nibbles >> 4)) & repeated(0x01));
    return used;
}

void add_sums(const GroupSums& sums, TileCounts& counts) {
    counts.nonzeros += sums.nonzeros.total();
    counts.along_rows.two_of_four += sums.rows_2_4.total();
    counts.along_rows.one_of_four += sums.rows_1_4.total();
    counts.along_rows.four_of_eight += sums.rows_4_8.total();
    counts.along_columns.two_of_four += sums.columns_2_4.total();
    counts.along_columns.one_of_four += sums.columns_1_4.total();
    counts.along_columns.four_of_eight += sums.columns_4_8.total();
    counts.used_blocks[0] += sums.blocks_4.total();
    counts.used_blocks[1] += sums.blocks_8.total();
}

// Count eight rows from `first` on, or fewer at the end of the tile. `columns_used` receives a bit per
// column; the result has a bit per row.
template <int Bits>
Word scan_group(const WeightTile& tile, int first, TileCounts& counts, Word* columns_used) {
    const Pattern pattern = pattern_of(tile.keep, tile.zero);
    const unsigned char* data = tile.data + first * tile.row_stride;
    const int count = tile.rows - first < kGroupRows ? tile.rows - first : kGroupRows;
    GroupSums sums;
    Masks masks;
    Words any[kGroupRows] = {};
    for (int column = 0; column < tile.columns; column += kStripColumns, data += kStripColumns / 8 * Bits) {
        const int columns = tile.columns - column;
        if (columns >= kStripColumns && count == kGroupRows) {
            read_strip<Bits>(data, tile.row_stride, pattern, masks);
        } else {
            read_edge<Bits>(data, tile.row_stride, pattern, count, columns, masks);
        }
        Words rows[kGroupRows];
        for (int r = 0; r < kGroupRows; ++r) {
            rows[r] = load_words(masks.rows[r]);
            any[r] |= rows[r];
        }
        count_along_rows(rows, sums);
        if (!tile.flat) store_words(columns_used + column / 64, count_along_columns(rows, sums));
    }
    add_sums(sums, counts);
    Word used = 0;
    for (int r = 0; r < kGroupRows; ++r) {
        Word lanes[kWordLanes];
        store_words(lanes, any[r]);
        Word all = 0;
        for (int i = 0; i < kWordLanes; ++i) all |= lanes[i];
        used |= Word{all != 0} << r;
    }
    return used;
}

using ScanGroup = Word (*)(const WeightTile&, int, TileCounts&, Word*);

ScanGroup group_scan_of(int bits) {
    switch (bits) {
        case 4:
            return scan_group<4>;
        case 8:
            return scan_group<8>;
        case 16:
            return scan_group<16>;
        case 32:
            return scan_group<32>;
        default:
            return scan_group<64>;
    }
}

// Number of nonzero fields of 16, 32 or 64 bits; at most kTileWords per lane are counted together.
template <int Field>
INFERCOST_INLINE Words used_fields(Words used) {
    for (int shift = 1; shift < Field; shift *= 2) used |= used >> shift;
    constexpr Word lowest = Field == 64 ? 1 : Field == 32 ? 0x0000000100000001 : 0x0001000100010001;
    return used & splat_words(lowest);
}

// Count blocks of more than eight rows, and columns, from the used bits of each eight rows.
void count_large_blocks(Word (&used)[kGroups][kTileWords], int words, TileCounts& counts, TileUse& use) {
    Sum of_16, of_32, of_64;  // one field of 16 bits holds each sum
    for (int w = 0; w < words; w += kWordLanes) {
        Words level[kGroups];
        for (int g = 0; g < kGroups; ++g) level[g] = load_words(used[g] + w);
        for (int g = 0; g < kGroups; g += 2) {
            level[g] |= level[g + 1];
            of_16.fields += used_fields<16>(level[g]);
        }
        for (int g = 0; g < kGroups; g += 4) {
            level[g] |= level[g + 2];
            of_32.fields += used_fields<32>(level[g]);
        }
        level[0] |= level[4];
        of_64.fields += used_fields<64>(level[0]);
        store_words(use.columns + w, level[0]);
    }
    counts.used_blocks[2] += of_16.total();
    counts.used_blocks[3] += of_32.total();
    counts.used_blocks[4] += of_64.total();
}

}  // namespace

void scan_tile(const WeightTile& tile, TileCounts& counts, TileUse& use) {
    static_assert(kTileWords % kWordLanes == 0);
    const ScanGroup scan = group_scan_of(tile.bits);
    const int words = (tile.columns + 63) / 64;
    const int padded = (words + kWordLanes - 1) / kWordLanes * kWordLanes;
    alignas(64) Word used[kGroups][kTileWords];
    use.rows = 0;
    for (int g = 0; g < kGroups; ++g) {
        const int first = g * kGroupRows;
        if (first < tile.rows) {
            use.rows |= scan(tile, first, counts, used[g]) << first;
        } else {
            for (int w = 0; w < padded; ++w) used[g][w] = 0;
        }
    }
    if (!tile.flat) count_large_blocks(used, words, counts, use);
}

std::uint64_t sum_words(const unsigned char* data, std::uint64_t word_count) {
    constexpr std::uint64_t step = 8 * kWordLanes;
    Words sums[8] = {};
    std::uint64_t at = 0;
    for (; at + step <= word_count; at += step) {
        for (int i = 0; i < 8; ++i) {
            Word lanes[kWordLanes];
            std::memcpy(lanes, data + 8 * (at + static_cast<std::uint64_t>(i * kWordLanes)), sizeof(lanes));
            sums[i] += load_words(lanes);
        }
    }
    Word total = 0;
    for (int i = 0; i < 8; ++i) {
        Word lanes[kWordLanes];
        store_words(lanes, sums[i]);
        for (int k = 0; k < kWordLanes; ++k) total += lanes[k];
    }
    for (; at < word_count; ++at) {
        Word word = 0;
        for (int b = 8; b-- > 0;) word = word << 8 | data[8 * at + static_cast<std::uint64_t>(b)];
        total += word;
    }
    return total;
}

}  // namespace infercost::INFERCOST_ISA
