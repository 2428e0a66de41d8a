#include "core/fork.hpp"

#include <atomic>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace infercost {
namespace {

std::atomic<std::uint64_t> generation = 0;

std::mutex* make_mutex() {
    auto* const mutex = new std::mutex();
#if defined(__unix__) || defined(__APPLE__)
    pthread_atfork([] { fork_safe_mutex().lock(); }, [] { fork_safe_mutex().unlock(); },
                   [] {
                       fork_safe_mutex().unlock();
                       ++generation;
                   });
#endif
    return mutex;
}

}  // namespace

// Never destroyed: expressions in static variables may outlive it.
std::mutex& fork_safe_mutex() {
    static std::mutex* const mutex = make_mutex();
    return *mutex;
}

std::uint64_t fork_generation() {
    return generation;
}

}  // namespace infercost
