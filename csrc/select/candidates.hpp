// Rows that may be on the front, with their values at hand: objectives are negated where they are maximised,
// and no value is NaN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace infercost {

struct Candidates {
    std::vector<std::vector<double>> values;  // one column for each objective
    std::vector<std::int64_t> rows;

    explicit Candidates(std::size_t objectives) : values(objectives) {}
    std::size_t size() const { return rows.size(); }
    std::size_t objectives() const { return values.size(); }
};

// Keeps the candidates that no other candidate dominates, in any order. Two objectives or more.
void keep_front(Candidates& candidates);

// What keep_front() calls for four objectives and more.
void keep_front_by_halves(Candidates& candidates);

}  // namespace infercost
