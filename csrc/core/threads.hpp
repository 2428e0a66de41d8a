// Work shared by threads, and how a user stops it.
#pragma once

#include <cstddef>

#include "core/function_ref.hpp"

namespace infercost {

// Runs work(0) here and work(1) ... work(threads - 1) on threads of their own, and returns when all have
// ended. Fewer run if the system refuses a thread: `work` must take its share from a common counter, so that
// those that run do all of it. `work` must not throw.
void run_threads(std::size_t threads, FunctionRef<void(std::size_t)> work);

// Thrown where a long calculation ends early because the user has asked for it.
struct Interrupted {};

// Whether calculations of the current thread shall end. `ask` is called at most every 20 ms, from that thread
// alone; nothing is called without one. Bindings set it to a check for signals.
class InterruptScope {
  public:
    explicit InterruptScope(bool (*ask)());
    ~InterruptScope();
    InterruptScope(const InterruptScope&) = delete;
    InterruptScope& operator=(const InterruptScope&) = delete;

  private:
    bool (*outer_)();
};

// Throws Interrupted if the current thread's calculations shall end. Long loops call it once a step. It reads
// a clock, some 30 ns: a step should take microseconds.
void check_interrupt();

}  // namespace infercost
