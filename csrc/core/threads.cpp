#include "core/threads.hpp"

#include <chrono>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace infercost {
namespace {

thread_local bool (*ask_now)() = nullptr;
#if !defined(__wasm__)
using Clock = std::chrono::steady_clock;
constexpr auto kBetweenQuestions = std::chrono::milliseconds(20);
thread_local Clock::time_point next_question;
#endif

}  // namespace

void run_threads(std::size_t threads, FunctionRef<void(std::size_t)> work) {
    std::vector<std::thread> others;
    others.reserve(threads > 0 ? threads - 1 : 0);
    try {
        for (std::size_t t = 1; t < threads; ++t) others.emplace_back(work, t);
    } catch (const std::system_error&) {
        // The system has no more threads to give, or this process may have no more of them.
    }
    work(0);
    for (std::thread& other : others) other.join();
}

#if defined(__wasm__)
// A page ends the worker that calculates: without a clock, the module imports nothing that tells the time.
InterruptScope::InterruptScope(bool (*ask)()) : outer_(std::exchange(ask_now, ask)) {}
InterruptScope::~InterruptScope() {
    ask_now = outer_;
}

void check_interrupt() {
    if (ask_now && ask_now()) throw Interrupted();
}
#else
InterruptScope::InterruptScope(bool (*ask)()) : outer_(ask_now) {
    ask_now = ask;
    next_question = Clock::now() + kBetweenQuestions;
}

InterruptScope::~InterruptScope() {
    ask_now = outer_;
}

void check_interrupt() {
    if (!ask_now) return;
    const Clock::time_point now = Clock::now();
    if (now < next_question) return;
    next_question = now + kBetweenQuestions;
    if (ask_now()) throw Interrupted();
}
#endif

}  // namespace infercost
