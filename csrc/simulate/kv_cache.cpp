#include "simulate/kv_cache.hpp"

#include <algorithm>
#include <utility>

#include "simulate/random.hpp"

namespace infercost {
namespace {

constexpr std::size_t kFirstTable = 1024;

}  // namespace

KvCache::KvCache(std::int64_t blocks, std::int64_t block_tokens, bool keeps_prefixes)
    : capacity_(blocks), block_tokens_(block_tokens), keeps_(keeps_prefixes), empty_(blocks) {
    if (keeps_) table_.assign(kFirstTable, kNone);
}

std::int32_t KvCache::new_entry() {
    if (!unused_.empty()) {
        const std::int32_t entry = unused_.back();
        unused_.pop_back();
        entries_[static_cast<std::size_t>(entry)] = Entry();
        return entry;
    }
    entries_.emplace_back();
    return static_cast<std::int32_t>(entries_.size() - 1);
}

void KvCache::push(std::int32_t entry) {
    Entry& pushed = entries_[static_cast<std::size_t>(entry)];
    pushed.before = newest_;
    pushed.after = kNone;
    pushed.queued = true;
    (newest_ == kNone ? oldest_ : entries_[static_cast<std::size_t>(newest_)].after) = entry;
    newest_ = entry;
    kept_ += pushed.blocks;
}

void KvCache::unlink(std::int32_t entry) {
    Entry& left = entries_[static_cast<std::size_t>(entry)];
    (left.before == kNone ? oldest_ : entries_[static_cast<std::size_t>(left.before)].after) = left.after;
    (left.after == kNone ? newest_ : entries_[static_cast<std::size_t>(left.after)].before) = left.before;
    left.queued = false;
    kept_ -= left.blocks;
}

void KvCache::drop(std::int32_t entry) {
    const Entry& dropped = entries_[static_cast<std::size_t>(entry)];
    if (dropped.named) erase(dropped.key);
    unused_.push_back(entry);
}

void KvCache::evict(std::int64_t blocks) {
    std::int64_t missing = blocks - empty_;
    empty_ = 0;
    while (missing > 0) {
        const std::int32_t entry = oldest_;
        Entry& evicted = entries_[static_cast<std::size_t>(entry)];
        const std::int64_t taken = std::min<std::int64_t>(missing, evicted.blocks);
        missing -= taken;
        if (taken < evicted.blocks) {
            evicted.blocks -= static_cast<std::int32_t>(taken);
            kept_ -= taken;
            return;
        }
        unlink(entry);
        evicted.blocks = 0;
        // The request that waits for an entry of its own gives it up by forget().
        if (!evicted.awaited) drop(entry);
    }
}

std::uint64_t KvCache::key_of(const PrefixIds& ids, std::int64_t block) {
    const auto id = static_cast<std::uint64_t>(ids.ids[static_cast<std::size_t>(block / ids.blocks_per_id)]);
    return mixed(id, static_cast<std::uint64_t>(block % ids.blocks_per_id));
}

std::int32_t KvCache::lookup(std::uint64_t key) const {
    const std::size_t mask = table_.size() - 1;
    for (std::size_t at = key & mask; table_[at] != kNone; at = (at + 1) & mask) {
        if (entries_[static_cast<std::size_t>(table_[at])].key == key) return table_[at];
    }
    return kNone;
}

void KvCache::grow_table() {
    std::vector<std::int32_t> before(table_.size() * 2, kNone);
    before.swap(table_);
    table_used_ = 0;
    for (const std::int32_t entry : before) {
        if (entry != kNone) insert(entries_[static_cast<std::size_t>(entry)].key, entry);
    }
}

void KvCache::insert(std::uint64_t key, std::int32_t entry) {
    if (2 * (table_used_ + 1) > table_.size()) grow_table();
    const std::size_t mask = table_.size() - 1;
    std::size_t at = key & mask;
    while (table_[at] != kNone) at = (at + 1) & mask;
    table_[at] = entry;
    ++table_used_;
}

void KvCache::erase(std::uint64_t key) {
    const std::size_t mask = table_.size() - 1;
    std::size_t hole = key & mask;
    while (entries_[static_cast<std::size_t>(table_[hole])].key != key) hole = (hole + 1) & mask;
    // Entries behind move up, so that no search stops at the hole before them.
    for (std::size_t at = (hole + 1) & mask; table_[at] != kNone; at = (at + 1) & mask) {
        const std::size_t home = entries_[static_cast<std::size_t>(table_[at])].key & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            table_[hole] = table_[at];
            hole = at;
        }
    }
    table_[hole] = kNone;
    --table_used_;
}

KvCache::Hit KvCache::find(const PrefixIds& ids, std::int32_t kept, std::int64_t first_own,
                           std::int64_t most) const {
    Hit hit;
    if (!keeps_) return hit;
    const std::int64_t named = std::min(most, ids.blocks());
    while (hit.named < named) {
        const std::int32_t entry = lookup(key_of(ids, hit.named));
        if (entry == kNone) return hit;
        hit.idle += entries_[static_cast<std::size_t>(entry)].users == 0;
        ++hit.named;
    }
    if (kept != kNone && hit.named == first_own) {
        const Entry& own = entries_[static_cast<std::size_t>(kept)];
        hit.own = std::min<std::int64_t>(own.blocks, most - hit.named);
        hit.idle += hit.own;
    }
    return hit;
}

void KvCache::adopt(const Hit& hit, const PrefixIds& ids, std::int32_t kept, HeldBlocks& held) {
    held.named.clear();
    for (std::int64_t block = 0; block < hit.named; ++block) {
        const std::int32_t entry = lookup(key_of(ids, block));
        if (entries_[static_cast<std::size_t>(entry)].users++ == 0) unlink(entry);
        held.named.push_back(entry);
    }
    held.own = hit.own;
    if (hit.own > 0) {
        Entry& own = entries_[static_cast<std::size_t>(kept)];
        own.blocks -= static_cast<std::int32_t>(hit.own);
        kept_ -= hit.own;
        if (own.blocks == 0) unlink(kept);
    }
}

void KvCache::publish(const PrefixIds& ids, std::int64_t full, HeldBlocks& held) {
    if (!keeps_) return;
    const std::int64_t last = std::min(full, ids.blocks());
    for (auto block = static_cast<std::int64_t>(held.named.size()); block < last; ++block) {
        const std::uint64_t key = key_of(ids, block);
        --held.own;
        if (lookup(key) != kNone) {
            held.named.push_back(kCopy);
            continue;
        }
        const std::int32_t entry = new_entry();
        Entry& made = entries_[static_cast<std::size_t>(entry)];
        made.key = key;
        made.named = true;
        made.users = 1;
        insert(key, entry);
        held.named.push_back(entry);
    }
}

std::int32_t KvCache::release(HeldBlocks& held, std::int64_t full, bool returns) {
    std::int32_t kept = kNone;
    if (!keeps_) {
        empty_ += held.own;
        held.own = 0;
        return kept;
    }
    const std::int64_t own_full = std::min(held.own, full - static_cast<std::int64_t>(held.named.size()));
    empty_ += held.own - std::max<std::int64_t>(own_full, 0);
    if (own_full > 0) {
        kept = new_entry();
        Entry& own = entries_[static_cast<std::size_t>(kept)];
        own.blocks = static_cast<std::int32_t>(own_full);
        own.awaited = returns;
        push(kept);
    }
    for (auto at = held.named.rbegin(); at != held.named.rend(); ++at) {
        if (*at == kCopy) {
            push(new_entry());
        } else if (--entries_[static_cast<std::size_t>(*at)].users == 0) {
            push(*at);
        }
    }
    held.named.clear();
    held.own = 0;
    return returns ? kept : kNone;
}

void KvCache::forget(std::int32_t kept) {
    if (kept == kNone) return;
    Entry& own = entries_[static_cast<std::size_t>(kept)];
    own.awaited = false;
    if (own.blocks == 0) unused_.push_back(kept);
}

}  // namespace infercost
