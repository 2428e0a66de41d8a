// The pool of a server's KV blocks, and the prefixes that stay in it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace infercost {

// Which ids say what stands in the blocks of a request, from its start.
struct PrefixIds {
    std::span<const std::int64_t> ids;
    std::int64_t blocks_per_id = 1;
    std::int64_t blocks() const { return static_cast<std::int64_t>(ids.size()) * blocks_per_id; }
};

// Blocks of one sequence that other sequences may share, and those of its own.
struct HeldBlocks {
    std::vector<std::int32_t> named;  // entries of blocks with ids, from the start; kCopy for a second copy
    std::int64_t own = 0;             // full or partial blocks without ids
    std::int64_t total() const { return static_cast<std::int64_t>(named.size()) + own; }
};

// Hands out blocks. Without a prefix cache a block is only counted. With it, full blocks that are given back
// keep their contents until they are needed: blocks without contents are used first, then those given back
// longest ago, within a request from its end (vLLM's free queue).
//
// Blocks of a request that no id names can serve only that request, after a preemption: they are entries of
// many blocks.
class KvCache {
  public:
    static constexpr std::int32_t kNone = -1;
    static constexpr std::int32_t kCopy = -2;

    KvCache(std::int64_t blocks, std::int64_t block_tokens, bool keeps_prefixes);

    bool keeps_prefixes() const { return keeps_; }
    std::int64_t block_tokens() const { return block_tokens_; }
    std::int64_t capacity() const { return capacity_; }
    std::int64_t free() const { return empty_ + kept_; }
    std::int64_t used() const { return capacity_ - free(); }
    std::int64_t blocks_of(std::int64_t tokens) const { return (tokens + block_tokens_ - 1) / block_tokens_; }

    // Takes blocks without contents; there are that many free ones.
    void take(std::int64_t blocks) {
        if (blocks <= empty_) {
            empty_ -= blocks;
        } else {
            evict(blocks);
        }
    }
    // Gives back blocks whose contents nobody needs.
    void give_back(std::int64_t blocks) { empty_ += blocks; }

    // What the cache has of a request whose first tokens are wanted: at most `most` blocks.
    struct Hit {
        std::int64_t named = 0;  // leading blocks with ids
        std::int64_t own = 0;    // further blocks of the request itself
        std::int64_t idle = 0;   // of both: used by nobody, so that they count as free now
        std::int64_t blocks() const { return named + own; }
    };
    // `kept` is the entry of release(), or kNone.
    Hit find(const PrefixIds& ids, std::int32_t kept, std::int64_t first_own, std::int64_t most) const;
    // Takes the blocks of a hit for a sequence that holds none.
    void adopt(const Hit& hit, const PrefixIds& ids, std::int32_t kept, HeldBlocks& held);
    // Makes blocks up to `full` of a sequence, which holds them, known by their ids.
    void publish(const PrefixIds& ids, std::int64_t full, HeldBlocks& held);
    // Gives back the blocks of a sequence with `full` full ones. Returns the entry of those without ids,
    // which a preempted request passes to find(), or kNone.
    std::int32_t release(HeldBlocks& held, std::int64_t full, bool returns);
    // No request will ask for this entry of release().
    void forget(std::int32_t kept);

  private:
    struct Entry {
        std::uint64_t key = 0;
        std::int32_t before = kNone;  // in the queue of blocks that nobody uses
        std::int32_t after = kNone;
        std::int32_t users = 0;
        std::int32_t blocks = 1;
        bool named = false;
        bool queued = false;
        bool awaited = false;  // a preempted request may come back for it
    };

    void evict(std::int64_t blocks);
    std::int32_t new_entry();
    void push(std::int32_t entry);
    void unlink(std::int32_t entry);
    void drop(std::int32_t entry);
    static std::uint64_t key_of(const PrefixIds& ids, std::int64_t block);
    std::int32_t lookup(std::uint64_t key) const;
    void insert(std::uint64_t key, std::int32_t entry);
    void erase(std::uint64_t key);
    void grow_table();

    std::int64_t capacity_;
    std::int64_t block_tokens_;
    bool keeps_;
    std::int64_t empty_;     // free, without contents
    std::int64_t kept_ = 0;  // free, with contents
    std::vector<Entry> entries_;
    std::vector<std::int32_t> unused_;
    std::int32_t oldest_ = kNone;
    std::int32_t newest_ = kNone;
    std::vector<std::int32_t> table_;  // open addressing by key, of entries
    std::size_t table_used_ = 0;
};

}  // namespace infercost
