#include "select/staircase.hpp"

#include <algorithm>

#include "select/point.hpp"

namespace infercost {

bool Staircase::covers(double y, double z) const {
    const std::size_t after = count_below<true>(firsts_.data(), firsts_.size(), y);
    if (after == 0) return false;
    const Block& block = *blocks_[after - 1];
    // Of the steps with a small enough y, the last has the smallest z.
    return block.z[count_below<true>(block.y.data(), block.count, y) - 1] <= z;
}

void Staircase::add(double y, double z) {
    if (blocks_.empty()) {
        blocks_.push_back(std::make_unique<Block>());
        firsts_.push_back(y);
        blocks_[0]->insert(0, y, z);
        return;
    }
    const std::size_t after = count_below<true>(firsts_.data(), firsts_.size(), y);
    std::size_t at_block = after == 0 ? 0 : after - 1;
    Block* block = blocks_[at_block].get();
    std::size_t at = count_below<false>(block->y.data(), block->count, y);
    std::size_t end = at;
    while (end < block->count && block->z[end] >= z) ++end;
    if (end == block->count) drop_after(at_block, z);
    if (end > at) {
        // The new step replaces the first step that it covers.
        block->y[at] = y;
        block->z[at] = z;
        block->erase(at + 1, end);
    } else {
        if (block->count == kCapacity) {
            split(at_block);
            if (at > block->count) {
                at -= block->count;
                block = blocks_[++at_block].get();
            }
        }
        block->insert(at, y, z);
    }
    if (at == 0) firsts_[at_block] = y;
}

// Drop the steps in later blocks whose z is not below `z`: whole blocks, then the start of one.
void Staircase::drop_after(std::size_t block, double z) {
    std::size_t next = block + 1;
    while (next < blocks_.size() && blocks_[next]->z[blocks_[next]->count - 1] >= z) ++next;
    if (next > block + 1) {
        const auto from = static_cast<std::ptrdiff_t>(block + 1);
        const auto to = static_cast<std::ptrdiff_t>(next);
        blocks_.erase(blocks_.begin() + from, blocks_.begin() + to);
        firsts_.erase(firsts_.begin() + from, firsts_.begin() + to);
    }
    if (block + 1 == blocks_.size()) return;
    Block& head = *blocks_[block + 1];
    std::size_t covered = 0;
    while (head.z[covered] >= z) ++covered;
    head.erase(0, covered);
    firsts_[block + 1] = head.y[0];
}

void Staircase::split(std::size_t block) {
    Block& full = *blocks_[block];
    auto upper = std::make_unique<Block>();
    const std::size_t kept = full.count / 2;
    upper->count = full.count - kept;
    std::copy(full.y.data() + kept, full.y.data() + full.count, upper->y.begin());
    std::copy(full.z.data() + kept, full.z.data() + full.count, upper->z.begin());
    full.count = kept;
    const auto place = static_cast<std::ptrdiff_t>(block + 1);
    firsts_.insert(firsts_.begin() + place, upper->y[0]);
    blocks_.insert(blocks_.begin() + place, std::move(upper));
}

void Staircase::Block::erase(std::size_t begin, std::size_t end) {
    std::copy(y.data() + end, y.data() + count, y.data() + begin);
    std::copy(z.data() + end, z.data() + count, z.data() + begin);
    count -= end - begin;
}

void Staircase::Block::insert(std::size_t at, double new_y, double new_z) {
    std::copy_backward(y.data() + at, y.data() + count, y.data() + count + 1);
    std::copy_backward(z.data() + at, z.data() + count, z.data() + count + 1);
    y[at] = new_y;
    z[at] = new_z;
    ++count;
}

}  // namespace infercost
