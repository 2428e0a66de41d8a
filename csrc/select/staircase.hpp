// The points of a plane that no other point of a growing set covers: y ascends and z descends from step to
// step.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

namespace infercost {

// Steps are stored in blocks of a fixed capacity, and a flat index holds the first y of each block. A look-up
// is two binary searches over contiguous doubles, and an insertion moves at most one block. With s steps both
// take O(log s) comparisons, and moving the index at a split costs O(s / kCapacity^2) per step.
class Staircase {
  public:
    // Whether some point has both coordinates at most these values.
    bool covers(double y, double z) const;
    // Add a point that is not covered, and drop the steps that it covers.
    void add(double y, double z);

  private:
    static constexpr std::size_t kCapacity = 512;
    struct Block {
        std::size_t count = 0;
        std::array<double, kCapacity> y;
        std::array<double, kCapacity> z;

        void erase(std::size_t begin, std::size_t end);
        void insert(std::size_t at, double new_y, double new_z);
    };

    void drop_after(std::size_t block, double z);
    void split(std::size_t block);

    std::vector<double> firsts_;
    std::vector<std::unique_ptr<Block>> blocks_;
};

}  // namespace infercost
