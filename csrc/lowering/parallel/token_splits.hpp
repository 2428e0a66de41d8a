// Tokens by number: those of images and texts whose lengths are no named sizes, which all attend to each
// other.
#pragma once

#include "lowering/parallel/layout.hpp"
#include "lowering/parallel/relations.hpp"

namespace infercost {

// Splits the tokens of attention among the ranks of `context`: the axes of queries that are keys, too. Keys
// and values are gathered before each attention. Throws InputError where tokens meet elsewhere, or
// where their number cannot be divided; the message has the numbers of ranks that can.
void split_tokens(Relations& relations, const Layout& layout);

}  // namespace infercost
