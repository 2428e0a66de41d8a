#include "core/threads.hpp"

#include <chrono>
#include <system_error>
#include <thread>
#include <vector>

namespace infercost {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kBetweenQuestions = std::chrono::milliseconds(20);

thread_local bool (*ask_now)() = nullptr;
thread_local Clock::time_point next_question;

}  // namespace

void run_threads(std::size_t threads, const std::function<void(std::size_t)>& work) {
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

}  // namespace infercost
