// Several simulations on threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <vector>

#include "core/threads.hpp"

namespace infercost {

// Results of run(job, stop) for each job, on up to `threads` threads. If a result is interrupted, jobs that
// still run see `stop`, and others do not begin. The first error of a job is thrown when all have ended.
template <class Result, class Job, class Run>
std::vector<Result> run_jobs(const std::vector<Job>& jobs, std::size_t threads, const Run& run) {
    std::vector<Result> results(jobs.size());
    std::vector<std::exception_ptr> errors(jobs.size());
    std::atomic<std::size_t> next = 0;
    std::atomic<bool> stop = false;
    const auto work = [&](std::size_t) {
        for (std::size_t i = next++; i < jobs.size(); i = next++) {
            try {
                results[i] = run(jobs[i], stop);
                if (results[i].interrupted) stop = true;
            } catch (...) {
                errors[i] = std::current_exception();
            }
        }
    };
    run_threads(std::min(threads, jobs.size()), work);
    for (const std::exception_ptr& error : errors) {
        if (error) std::rethrow_exception(error);
    }
    return results;
}

}  // namespace infercost
