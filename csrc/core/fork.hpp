// Locks and fork(): a child has only the thread that forked it, so a lock that another thread held would
// never be released there.
#pragma once

#include <cstdint>
#include <mutex>

namespace infercost {

// One lock for short changes of data that threads share. A fork waits for it: the child gets it unlocked, and
// the data whole. Its holder must neither wait for anything nor take another lock, and must not destroy
// expressions.
std::mutex& fork_safe_mutex();

// Number of forks between this process and the one that loaded the library.
std::uint64_t fork_generation();

}  // namespace infercost
