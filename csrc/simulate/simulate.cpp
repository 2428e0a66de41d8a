#include "simulate/simulate.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <queue>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/threads.hpp"
#include "simulate/jobs.hpp"
#include "simulate/router.hpp"
#include "simulate/server.hpp"

namespace infercost {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
constexpr std::int64_t kEventsBetweenQuestions = 4096;
constexpr double kFirstInterval_s = 1e-3;  // of the timeline; it doubles when the samples are used up

[[noreturn]] void refuse(std::size_t request, const std::string& problem) {
    throw std::invalid_argument("simulation: request " + std::to_string(request) + " " + problem);
}

// An event of one request.
struct Timed {
    double time_s;
    std::uint32_t request;
    bool operator>(const Timed& other) const {
        return time_s != other.time_s ? time_s > other.time_s : request > other.request;
    }
};
using TimedQueue = std::priority_queue<Timed, std::vector<Timed>, std::greater<>>;

// The requests that came from a source so far, checked.
class Loader {
  public:
    Loader(RequestSource& source, RequestTable& table, std::vector<double>& arrivals)
        : source_(source), table_(table), arrivals_(arrivals) {}

    bool load() {
        const RequestColumns columns = source_.next();
        const std::size_t count = columns.size();
        if (count == 0) return false;
        const std::size_t first = arrivals_.size();
        if (count > source_.most() - first) {
            throw std::invalid_argument("simulation: " + std::to_string(first + count) +
                                        " requests came; expected at most " + std::to_string(source_.most()) +
                                        ", as announced");
        }
        check_lengths(columns);
        for (std::size_t i = 0; i < count; ++i) {
            const double arrival = columns.arrival_s[i];
            if (!(arrival >= 0 && arrival <= kLatest_s)) {
                refuse(first + i,
                       "arrives at " + std::to_string(arrival) + " s; expected a time from 0 to 1e18");
            }
            if (arrival < last_s_) {
                refuse(first + i, "arrives at " + std::to_string(arrival) +
                                      " s, before the one ahead of it (" + std::to_string(last_s_) +
                                      " s); sort requests by their arrival");
            }
            last_s_ = arrival;
            check_tokens(first + i, columns.prompt[i], "a prompt");
            check_tokens(first + i, columns.output[i], "an output");
        }
        arrivals_.insert(arrivals_.end(), columns.arrival_s.begin(), columns.arrival_s.end());
        table_.prompt.insert(table_.prompt.end(), columns.prompt.begin(), columns.prompt.end());
        table_.output.insert(table_.output.end(), columns.output.begin(), columns.output.end());
        load_optional(columns, first);
        return true;
    }

  private:
    static void check_tokens(std::size_t request, std::int32_t tokens, const char* what) {
        if (tokens < 1 || tokens > kMostTokens) {
            refuse(request, "has " + std::string(what) + " of " + std::to_string(tokens) +
                                " tokens; expected 1 to " + std::to_string(kMostTokens));
        }
    }

    static void check_lengths(const RequestColumns& columns) {
        const std::size_t count = columns.size();
        const auto same = [count](std::size_t length, const char* name) {
            if (length == count) return;
            throw std::invalid_argument("simulation: " + std::string(name) + " has " +
                                        std::to_string(length) + " entries; expected " +
                                        std::to_string(count) + ", one for each arrival");
        };
        same(columns.prompt.size(), "prompt");
        same(columns.output.size(), "output");
        if (!columns.priority.empty()) same(columns.priority.size(), "priority");
        if (columns.prefix_from.empty()) return;
        same(columns.prefix_from.size() - 1, "prefix_from, without its last entry,");
        for (std::size_t i = 0; i < count; ++i) {
            if (columns.prefix_from[i] < (i == 0 ? 0 : columns.prefix_from[i - 1]) ||
                columns.prefix_from[i + 1] < columns.prefix_from[i] ||
                columns.prefix_from[i + 1] > static_cast<std::int64_t>(columns.prefix_ids.size())) {
                throw std::invalid_argument("simulation: prefix_from goes from " +
                                            std::to_string(columns.prefix_from[i]) + " to " +
                                            std::to_string(columns.prefix_from[i + 1]) + " at request " +
                                            std::to_string(i) + "; expected places in prefix_ids (" +
                                            std::to_string(columns.prefix_ids.size()) + ") that do not fall");
            }
        }
        if (columns.prefix_tokens < 1) {
            throw std::invalid_argument("simulation: prefix_tokens is " +
                                        std::to_string(columns.prefix_tokens) +
                                        "; expected the number of tokens that an id stands for");
        }
    }

    void load_optional(const RequestColumns& columns, std::size_t first) {
        if (!columns.priority.empty() || !table_.priority.empty()) {
            table_.priority.resize(first);
            table_.priority.insert(table_.priority.end(), columns.priority.begin(), columns.priority.end());
            table_.priority.resize(arrivals_.size());
        }
        if (columns.prefix_from.empty() && table_.prefix_from.empty()) return;
        if (table_.prefix_from.empty()) table_.prefix_from.assign(first + 1, 0);
        const auto offset = static_cast<std::int64_t>(table_.prefix_ids.size());
        for (std::size_t i = 0; i < columns.size(); ++i) {
            const std::int64_t from = columns.prefix_from.empty() ? 0 : columns.prefix_from[0];
            table_.prefix_from.push_back(
                columns.prefix_from.empty() ? offset : offset + columns.prefix_from[i + 1] - from);
        }
        if (columns.prefix_from.empty()) return;
        if (table_.prefix_tokens != 0 && table_.prefix_tokens != columns.prefix_tokens) {
            throw std::invalid_argument(
                "simulation: prefix_tokens changes from " + std::to_string(table_.prefix_tokens) + " to " +
                std::to_string(columns.prefix_tokens) + "; expected one value for all");
        }
        table_.prefix_tokens = columns.prefix_tokens;
        const auto begin = static_cast<std::size_t>(columns.prefix_from.front());
        const auto end = static_cast<std::size_t>(columns.prefix_from.back());
        const auto ids = columns.prefix_ids.subspan(begin, end - begin);
        table_.prefix_ids.insert(table_.prefix_ids.end(), ids.begin(), ids.end());
    }

    RequestSource& source_;
    RequestTable& table_;
    std::vector<double>& arrivals_;
    double last_s_ = 0;
};

std::size_t first_pool(const ClusterSettings& settings) {
    const auto prefill = static_cast<std::size_t>(settings.transfer.prefill_servers);
    return prefill > 0 ? prefill : settings.servers.size();
}

void grow_results(RequestTable& table) {
    RequestResults& results = table.results;
    const std::size_t count = table.prompt.size();
    const std::size_t most = results.queued_s.capacity();
    if (results.outcome.capacity() < most) {
        results.scheduled_s.reserve(most);
        results.first_token_s.reserve(most);
        results.finish_s.reserve(most);
        results.cached.reserve(most);
        results.preemptions.reserve(most);
        results.server.reserve(most);
        results.outcome.reserve(most);
    }
    results.scheduled_s.resize(count, kUnknown);
    results.first_token_s.resize(count, kUnknown);
    results.finish_s.resize(count, kUnknown);
    results.cached.resize(count);
    results.preemptions.resize(count);
    results.server.resize(count);
    results.outcome.resize(count, Outcome::unfinished);
}

// Leaves the requests that were sent, with the tokens of their answers.
void trim(RequestTable& table, std::size_t sent, const ClusterSettings& settings) {
    RequestResults& results = table.results;
    results.queued_s.resize(sent);
    results.scheduled_s.resize(sent);
    results.first_token_s.resize(sent);
    results.finish_s.resize(sent);
    results.cached.resize(sent);
    results.preemptions.resize(sent);
    results.server.resize(sent);
    results.outcome.resize(sent);
    results.tokens.resize(sent);
    for (std::size_t i = 0; i < sent; ++i) {
        if (results.outcome[i] == Outcome::finished) {
            results.tokens[i] = table.output[i];
        } else if (results.outcome[i] == Outcome::truncated) {
            const std::int64_t longest = settings.servers[results.server[i]].max_model_tokens;
            results.tokens[i] = static_cast<std::int32_t>(longest - table.prompt[i]);
        }
    }
}

void check_prefixes(const RequestTable& table, const ClusterSettings& settings) {
    if (table.prefix_from.empty()) return;
    for (const ServerSettings& server : settings.servers) {
        if (!server.prefix_cache || table.prefix_tokens % server.block_tokens == 0) continue;
        throw std::invalid_argument(
            "simulation: an id of a prefix stands for " + std::to_string(table.prefix_tokens) +
            " tokens; expected a multiple of block_tokens, " + std::to_string(server.block_tokens));
    }
}

const ClusterSettings& checked(const ClusterSettings& settings) {
    check(settings);
    return settings;
}

std::vector<Server> servers_of(const ClusterSettings& settings, RequestTable& table) {
    std::vector<Server> servers;
    servers.reserve(settings.servers.size());
    for (std::size_t i = 0; i < settings.servers.size(); ++i) {
        servers.emplace_back(settings.servers[i], static_cast<std::uint16_t>(i), table, settings.seed,
                             static_cast<std::int64_t>(i) < settings.transfer.prefill_servers);
    }
    return servers;
}

// What servers hold at equal intervals.
class Samples {
  public:
    explicit Samples(std::int64_t kept) : kept_(kept) { timeline_.interval_s = kFirstInterval_s; }

    void until(double time_s, const std::vector<Server>& servers) {
        while (next_sample_s_ < time_s) {
            for (const Server& server : servers) {
                timeline_.running.push_back(static_cast<std::int32_t>(server.running()));
                timeline_.waiting.push_back(static_cast<std::int32_t>(server.waiting()));
                timeline_.blocks.push_back(server.blocks_at(next_sample_s_));
            }
            ++samples_;
            if (samples_ == 2 * kept_) thin_out(servers.size());
            next_sample_s_ = static_cast<double>(samples_) * timeline_.interval_s;
        }
    }

    Timeline take() { return std::move(timeline_); }

  private:
    // Every second sample stays.
    void thin_out(std::size_t wide) {
        const auto kept = static_cast<std::size_t>(kept_);
        for (std::size_t i = 1; i < kept; ++i) {
            for (std::size_t j = 0; j < wide; ++j) {
                timeline_.running[i * wide + j] = timeline_.running[2 * i * wide + j];
                timeline_.waiting[i * wide + j] = timeline_.waiting[2 * i * wide + j];
                timeline_.blocks[i * wide + j] = timeline_.blocks[2 * i * wide + j];
            }
        }
        timeline_.running.resize(kept * wide);
        timeline_.waiting.resize(kept * wide);
        timeline_.blocks.resize(kept * wide);
        samples_ = kept_;
        timeline_.interval_s *= 2;
    }

    Timeline timeline_;
    std::int64_t kept_;
    std::int64_t samples_ = 0;
    double next_sample_s_ = 0;
};

// Steps that servers run and are about to form. Those of a group in lockstep end together.
class Steps {
  public:
    Steps(std::vector<Server>& servers, std::int64_t lockstep)
        : servers_(servers),
          members_(static_cast<std::size_t>(lockstep)),
          ends_s_(servers.size(), kNever),
          is_pending_(servers.size(), 0),
          busy_(servers.size() / members_, 0) {}

    // The server whose step ends first, and when.
    std::size_t first() const {
        return static_cast<std::size_t>(std::min_element(ends_s_.begin(), ends_s_.end()) - ends_s_.begin());
    }
    double end_s(std::size_t index) const { return ends_s_[index]; }
    bool pending() const { return !pending_.empty(); }

    // Notes what a change of a server means for the next events.
    void touch(std::size_t index) {
        ends_s_[index] = servers_[index].step_end();
        if (!servers_[index].ready() || is_pending_[index] || busy_[group(index)] > 0) return;
        is_pending_[index] = 1;
        pending_.push_back(index);
    }

    void begin(double time_s) {
        std::sort(pending_.begin(), pending_.end());
        for (const std::size_t index : pending_) {
            is_pending_[index] = 0;
            if (servers_[index].ready()) servers_[index].begin(time_s);
            busy_[group(index)] += servers_[index].busy();
            ends_s_[index] = servers_[index].step_end();
        }
        if (members_ > 1) wait_for_slowest(time_s);
        pending_.clear();
    }

    // A step of a server has ended; the last one of a group frees all servers of it.
    void complete(std::size_t index) {
        ends_s_[index] = servers_[index].step_end();
        if (--busy_[group(index)] > 0) return;
        const std::size_t first = group(index) * members_;
        for (std::size_t member = first; member < first + members_; ++member) touch(member);
    }

  private:
    std::size_t group(std::size_t index) const { return index / members_; }

    // Steps of a group end together.
    void wait_for_slowest(double time_s) {
        for (auto first = pending_.begin(); first != pending_.end();) {
            auto last = first;
            double end_s = time_s;
            for (; last != pending_.end() && group(*last) == group(*first); ++last) {
                if (servers_[*last].busy()) end_s = std::max(end_s, ends_s_[*last]);
            }
            for (; first != last; ++first) {
                if (!servers_[*first].busy()) continue;
                servers_[*first].wait_until(end_s);
                ends_s_[*first] = end_s;
            }
        }
    }

    std::vector<Server>& servers_;
    std::size_t members_;
    std::vector<double> ends_s_;  // of the steps that each server runs
    std::vector<std::uint8_t> is_pending_;
    std::vector<std::int64_t> busy_;    // servers of a group whose steps run
    std::vector<std::size_t> pending_;  // servers that may form a step
};

class Simulation {
  public:
    Simulation(const ClusterSettings& settings, RequestSource& source, const std::atomic<bool>* stop)
        : settings_(checked(settings)),
          loader_(source, table_, table_.results.queued_s),
          stop_(stop),
          pools_{Router(settings.router, 0, first_pool(settings)),
                 Router(settings.router, static_cast<std::size_t>(settings.transfer.prefill_servers),
                        settings.servers.size())},
          servers_(servers_of(settings, table_)),
          steps_(servers_, settings.lockstep),
          link_free_s_(servers_.size(), 0),
          samples_(settings.samples) {
        const std::size_t most = source.most();
        if (most >= WaitingQueue::kMostRequests) {
            throw std::invalid_argument("simulation: " + std::to_string(most) +
                                        " requests; expected fewer than " +
                                        std::to_string(WaitingQueue::kMostRequests));
        }
        table_.results.queued_s.reserve(most);
        table_.prompt.reserve(most);
        table_.output.reserve(most);
        const auto places = static_cast<std::size_t>(settings.client.max_concurrency);
        for (std::size_t i = 0; i < std::min(places, most); ++i) client_free_.push({0, 0});
        more_ = loader_.load();
        grow_results(table_);
        check_prefixes(table_, settings);
    }

    SimulationResult run() {
        SimulationResult result;
        try {
            loop();
        } catch (const Interrupted&) {
            result.interrupted = true;
        }
        trim(table_, next_, settings_);
        result.requests = std::move(table_.results);
        for (const Server& server : servers_) result.servers.push_back(server.totals());
        result.timeline = samples_.take();
        result.end_s = time_s_;
        result.request_seconds = request_seconds_;
        return result;
    }

  private:
    void loop() {
        const bool has_deadlines =
            settings_.client.timeout_s < kNever || settings_.client.queue_timeout_s < kNever;
        std::int64_t events = 0;
        while (true) {
            if (++events % kEventsBetweenQuestions == 0) {
                if (stop_ && stop_->load(std::memory_order_relaxed)) throw Interrupted();
                check_interrupt();
            }
            const std::size_t first = steps_.first();
            const double end_s = steps_.end_s(first);
            const double sent_s = next_send();
            const double arrives_s = transfers_.empty() ? kNever : transfers_.top().time_s;
            const double deadline_s = has_deadlines ? next_deadline() : kNever;
            const double next_s = std::min(std::min(end_s, sent_s), std::min(arrives_s, deadline_s));
            // When all events up to now have passed, servers form their steps.
            if (steps_.pending() && next_s > time_s_) {
                steps_.begin(time_s_);
                continue;
            }
            if (next_s == kNever) return;
            pass(next_s);
            if (end_s == next_s) {
                complete(first);
            } else if (deadline_s == next_s) {
                time_out();
            } else if (arrives_s == next_s) {
                arrive();
            } else {
                send();
            }
        }
    }

    void pass(double time_s) {
        samples_.until(time_s, servers_);
        request_seconds_ += static_cast<double>(in_system_) * (time_s - time_s_);
        time_s_ = time_s;
    }

    // The client. ----------------------------------------------------------------------------------------

    bool has_next() {
        if (next_ == table_.prompt.size() && more_) {
            more_ = loader_.load();
            grow_results(table_);
            check_prefixes(table_, settings_);
        }
        return next_ < table_.prompt.size();
    }

    double next_send() {
        if (!has_next()) return kNever;
        const double arrival = table_.results.queued_s[next_];
        if (settings_.client.max_concurrency == 0) return std::max(arrival, time_s_);
        if (client_free_.empty()) return kNever;
        return std::max({arrival, client_free_.top().time_s, time_s_});
    }

    void send() {
        const auto request = static_cast<std::uint32_t>(next_++);
        if (settings_.client.max_concurrency > 0) client_free_.pop();
        table_.results.queued_s[request] = time_s_;
        ++in_system_;
        deliver(0, request, false);
    }

    void deliver(std::size_t pool, std::uint32_t request, bool prefilled) {
        const std::size_t chosen = pools_[pool].choose(servers_, request, table_.prompt[request]);
        const Outcome outcome = servers_[chosen].deliver(request, time_s_, prefilled);
        steps_.touch(chosen);
        if (outcome != Outcome::unfinished) settle(request, outcome);
    }

    double seen(std::uint32_t request, double time_s) const {
        const double poll = settings_.client.poll_s;
        if (!(poll > 0)) return time_s;
        const double sent = table_.results.queued_s[request];
        const double polls = std::ceil((time_s - sent) / poll);
        // A pause below the resolution of times is none.
        return std::isfinite(polls) ? std::max(time_s, sent + polls * poll) : time_s;
    }

    // A request has left the system.
    void settle(std::uint32_t request, Outcome outcome) {
        RequestResults& results = table_.results;
        results.outcome[request] = outcome;
        --in_system_;
        double& finish_s = results.finish_s[request];
        double free_s = time_s_;
        if (!std::isnan(finish_s)) free_s = finish_s = seen(request, finish_s);
        double& first_s = results.first_token_s[request];
        if (!std::isnan(first_s)) first_s = seen(request, first_s);
        if (settings_.client.max_concurrency > 0) client_free_.push({free_s + settings_.client.think_s, 0});
    }

    // The next time at which a client gives up.
    double next_deadline() {
        const RequestResults& results = table_.results;
        double next = kNever;
        const auto open = [&](std::size_t request) {
            return results.outcome[request] == Outcome::unfinished;
        };
        if (settings_.client.timeout_s < kNever) {
            while (oldest_ < next_ && !open(oldest_)) ++oldest_;
            if (oldest_ < next_) next = results.queued_s[oldest_] + settings_.client.timeout_s;
        }
        if (settings_.client.queue_timeout_s < kNever) {
            while (oldest_queued_ < next_ &&
                   (!open(oldest_queued_) || !std::isnan(results.scheduled_s[oldest_queued_]))) {
                ++oldest_queued_;
            }
            if (oldest_queued_ < next_) {
                next = std::min(next, results.queued_s[oldest_queued_] + settings_.client.queue_timeout_s);
            }
        }
        return std::max(next, time_s_);
    }

    void time_out() {
        const RequestResults& results = table_.results;
        const bool whole = settings_.client.timeout_s < kNever && oldest_ < next_ &&
                           results.queued_s[oldest_] + settings_.client.timeout_s <= time_s_;
        const auto request = static_cast<std::uint32_t>(whole ? oldest_ : oldest_queued_);
        table_.results.finish_s[request] = time_s_;
        settle(request, Outcome::timed_out);
        const auto moves = std::find(moving_.begin(), moving_.end(), request);
        if (moves != moving_.end()) {
            moving_.erase(moves);  // its transfer ends without a request
        } else {
            servers_[results.server[request]].cancel(request, time_s_);
            steps_.touch(results.server[request]);
        }
    }

    // Servers. -------------------------------------------------------------------------------------------

    void complete(std::size_t index) {
        Server& server = servers_[index];
        departures_.clear();
        server.complete(departures_);
        steps_.complete(index);
        const bool is_first = static_cast<std::int64_t>(index) < settings_.transfer.prefill_servers;
        for (const Departure& departure : departures_) {
            if (is_first && table_.output[departure.request] > 1) {
                transfer(index, departure.request);
            } else {
                settle(departure.request, departure.outcome);
            }
        }
    }

    void transfer(std::size_t index, std::uint32_t request) {
        const Transfer& link = settings_.transfer;
        table_.results.finish_s[request] = kUnknown;
        double seconds = 0;
        if (link.bytes_per_token > 0) {
            seconds = link.bytes_per_token * table_.prompt[request] / link.byte_per_s;
        }
        if (link.layerwise) seconds = std::max(0.0, seconds - servers_[index].last_step_s());
        const double begins_s = std::max(time_s_, link_free_s_[index]);
        link_free_s_[index] = begins_s + seconds;
        transfers_.push({begins_s + seconds + link.handshake_s, request});
        moving_.push_back(request);
    }

    // A cache has come to the servers for decoding.
    void arrive() {
        const std::uint32_t request = transfers_.top().request;
        transfers_.pop();
        const auto moves = std::find(moving_.begin(), moving_.end(), request);
        if (moves == moving_.end()) return;
        moving_.erase(moves);
        table_.results.first_token_s[request] = time_s_;
        deliver(1, request, true);
    }

    const ClusterSettings& settings_;
    RequestTable table_;
    Loader loader_;
    const std::atomic<bool>* stop_;
    Router pools_[2];
    std::vector<Server> servers_;
    Steps steps_;
    std::vector<double> link_free_s_;
    TimedQueue client_free_;  // times at which the client may send
    TimedQueue transfers_;
    std::vector<std::uint32_t> moving_;  // requests in transfers_ whose clients wait
    std::vector<Departure> departures_;
    Samples samples_;
    std::size_t next_ = 0;
    std::size_t oldest_ = 0;
    std::size_t oldest_queued_ = 0;
    bool more_ = false;
    std::int64_t in_system_ = 0;
    double time_s_ = 0;
    double request_seconds_ = 0;
};

}  // namespace

SimulationResult simulate(const ClusterSettings& settings, RequestSource& requests) {
    return Simulation(settings, requests, nullptr).run();
}

std::vector<SimulationResult> simulate(const std::vector<SimulationJob>& jobs, std::size_t threads) {
    return run_jobs<SimulationResult>(jobs, threads,
                                      [](const SimulationJob& job, const std::atomic<bool>& stop) {
                                          return Simulation(job.settings, *job.requests, &stop).run();
                                      });
}

}  // namespace infercost
