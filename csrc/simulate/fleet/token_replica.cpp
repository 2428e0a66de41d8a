#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>

#include "simulate/fleet/replica.hpp"

namespace infercost {
namespace {

constexpr double kSame = 1e-6;          // steps
constexpr double kMostReserved = 4096;  // SGLang's tokens to come of one request

struct Sequence {
    FleetRequest request;
    double started_s = std::numeric_limits<double>::quiet_NaN();
    double first_token_s = std::numeric_limits<double>::quiet_NaN();
    double late_s = 0;      // of its tokens, which leave a pipeline after the step that counts them
    double generated = 0;   // tokens, when its prompt was read last
    double from_clock = 0;  // and when that was
    double end_clock = 0;
    std::int64_t read = 0;  // tokens of its prompt, and of what it had generated before it was preempted
    std::int64_t to_read = 0;
    std::uint64_t order = 0;  // of admission
};
bool later(const Sequence& a, const Sequence& b) {
    return a.end_clock > b.end_clock;
}

// Seconds of the next `steps` of decoding.
double seconds_of(const DecodeRun& run, double steps) {
    return steps * (run.seconds + run.slope_s * (steps - 1) / 2);
}

// The inverse.
double steps_in(const DecodeRun& run, double seconds) {
    const double half = run.slope_s / 2;
    const double linear = run.seconds - half;
    if (half == 0) return linear > 0 ? seconds / linear : 0;
    const double root = linear * linear + 4 * half * seconds;
    // The form whose terms do not cancel.
    return root <= 0 ? 0 : 2 * seconds / (linear + std::sqrt(root));
}

std::int64_t to_read(const Sequence& s) {
    return s.request.prompt + static_cast<std::int64_t>(std::llround(s.generated));
}

// Memory of a replica, in tokens: what its sequences read, and the share of the tokens to come that it keeps.
class TokenMemory {
  public:
    explicit TokenMemory(const TokenSettings& settings)
        : s_(settings),
          spare_(static_cast<double>(settings.block_tokens - 1) / 2),
          share_(settings.reserves) {}

    double context = 0;  // that the next step of decoding reads
    double ends = 0;     // tokens of prompts and answers of all that run
    std::int64_t reading_tokens = 0;

    // The last block of a sequence is half empty, on average. One alone has what it needs.
    double free_tokens(std::int64_t running) const {
        return s_.pool_tokens - context - static_cast<double>(reading_tokens) -
               spare_ * static_cast<double>(std::max<std::int64_t>(0, running - 1));
    }

    // With a share of the tokens to come. SGLang keeps memory for all those of prompts that are not yet read.
    bool fits(const Sequence& next, const std::vector<Sequence>& reading, std::int64_t decoding,
              double clock) const {
        const double read = next.request.prompt + next.generated;
        double all =
            ends - context - static_cast<double>(reading_tokens) + next.request.output - next.generated;
        double kept = 0;
        if (s_.reserve_steps > 0) {
            const auto keep = [&](const Sequence& s) {
                const double to_come = s.request.output - s.generated;
                all -= to_come;
                kept += std::min(to_come, kMostReserved) + static_cast<double>(s_.block_tokens);
            };
            keep(next);
            for (const Sequence& each : reading) keep(each);
        }
        const std::int64_t running = decoding + static_cast<std::int64_t>(reading.size());
        const double spare = running > 0 ? spare_ : 0.0;
        // Steps that do not decode take no memory for the next tokens.
        const double unused = s_.mixes ? 0.0 : static_cast<double>(decoding);
        return read + spare + kept + share(clock) * std::max(0.0, all) <= free_tokens(running) + unused;
    }

    void set_share(double share, double clock) {
        share_ = share;
        share_clock_ = clock;
    }

  private:
    // SGLang's share falls with the steps of decoding.
    double share(double clock) const {
        if (s_.reserve_steps == 0) return share_;
        const double fall = (s_.reserves - s_.least_reserves) / static_cast<double>(s_.reserve_steps);
        return std::max(share_ - fall * (clock - share_clock_), std::min(share_, s_.least_reserves));
    }

    const TokenSettings& s_;
    double spare_;  // tokens of memory that a sequence holds and does not use
    double share_;  // of the tokens to come for which memory is kept, at share_clock_
    double share_clock_ = 0;
};

// A clock counts steps of decoding. Steps that read prompts are taken one by one, with as many tokens of
// prompts as they have room for. Between them the clock moves at the pace of steps of decoding, which is
// linear in the context, to the next step at which a sequence ends. Sequences leave at a reading of the
// clock, so that nothing is done for each of them when the pace changes. Memory is counted in tokens, not in
// blocks, and a step of drafts yields their mean.
class TokenReplica final : public Replica {
  public:
    explicit TokenReplica(const TokenSettings& settings)
        : s_(settings), each_(static_cast<std::int64_t>(std::llround(settings.tokens_each))), memory_(s_) {}

    double next_s() const override { return next_s_; }

    void advance(double time_s, std::vector<FleetDone>& done) override {
        move_clock(next_clock_, time_s);
        if (steps_) end_step(done);
        while (!decoding_.empty() && decoding_.front().end_clock <= clock_ + kSame) leave(done);
        if (requests() == 0) memory_.set_share(s_.reserves, clock_);
        if (!begin_step()) plan_decoding();
    }

    void take(const FleetRequest& request, double time_s, std::vector<FleetDone>& done) override {
        const bool many = !s_.chunked_prefill && request.prompt > s_.max_tokens;
        if (many || static_cast<double>(request.prompt) + request.output > s_.pool_tokens) {
            const Outcome outcome = many ? Outcome::too_many_tokens : Outcome::too_large;
            done.push_back({request, time_s, std::nan(""), time_s, outcome});
            return;
        }
        waiting_.push_back({.request = request});
        if (steps_) return;
        if (decoding_.empty()) {
            now_s_ = time_s;
            next_s_ = time_s;
            next_clock_ = clock_;
        } else if (waiting_.size() == 1 && may_admit()) {
            // At the end of the step that runs.
            const double clock = std::ceil(clock_ + steps_in(run_, time_s - now_s_) - kSame);
            if (clock < next_clock_) plan_at(clock);
        }
    }

    void evict(double, std::vector<FleetRequest>& left) override {
        for (const auto* sequences : {&decoding_, &reading_}) {
            for (const Sequence& each : *sequences) left.push_back(each.request);
        }
        for (const Sequence& each : waiting_) left.push_back(each.request);
    }

    std::int64_t requests() const override { return running() + static_cast<std::int64_t>(waiting_.size()); }
    std::int64_t running() const override {
        return static_cast<std::int64_t>(decoding_.size() + reading_.size());
    }
    double joules() const override { return joules_; }

  private:
    std::int64_t sequences() const { return static_cast<std::int64_t>(decoding_.size()); }
    double generated(const Sequence& s) const { return s.generated + (clock_ - s.from_clock) * s_.yield; }

    double free_tokens() const { return memory_.free_tokens(running()); }

    // ---- the clock ----

    void move_clock(double clock, double time_s) {
        const double steps = clock - clock_;
        if (steps > 0 && !decoding_.empty()) {
            if (!steps_) joules_ += steps * (run_.joules + run_.slope_j * (steps - 1) / 2);
            memory_.context += steps * s_.yield * static_cast<double>(sequences());
        }
        clock_ = clock;
        now_s_ = time_s;
    }

    void plan_at(double clock) {
        next_clock_ = clock;
        next_s_ = now_s_ + seconds_of(run_, clock - clock_);
    }

    // Decodes until a sequence ends, the pace changes, or memory runs out.
    void plan_decoding() {
        while (free_tokens() < 0 && sequences() > 1) preempt();
        if (decoding_.empty()) {
            next_s_ = kNever;
            next_clock_ = clock_;
            return;
        }
        const auto context = static_cast<std::int64_t>(std::llround(memory_.context));
        run_ = s_.costs->decode_run(sequences(), each_, context);
        double steps = static_cast<double>(std::max<std::int64_t>(1, run_.steps));
        if (sequences() > 1) {
            const double growth = s_.yield * static_cast<double>(sequences());
            steps = std::min(steps, std::floor(free_tokens() / growth) + 1);
        }
        plan_at(std::max(clock_, std::min(decoding_.front().end_clock, clock_ + steps)));
    }

    // ---- prompts ----

    // Tokens of prompts that the next step has room for.
    std::int64_t budget() const { return s_.max_tokens - (s_.mixes ? sequences() * each_ : 0); }

    bool may_admit() const {
        return !waiting_.empty() && !full_ && running() < s_.max_sequences &&
               fits_step(waiting_.front(), budget());
    }

    bool fits_step(const Sequence& next, std::int64_t tokens) const {
        return tokens >= (s_.chunked_prefill ? 1 : std::min(to_read(next), s_.max_tokens));
    }

    // Begins a step with prompts; false if there are none to read.
    bool begin_step() {
        std::int64_t left = budget();
        std::int64_t completed = 0;
        chunks_.clear();
        const auto read = [&](Sequence& next) {
            const std::int64_t tokens = std::min(left, next.to_read - next.read);
            chunks_.push_back({tokens, next.read});
            next.read += tokens;
            left -= tokens;
            completed += next.read == next.to_read;
        };
        // One whose prompt did not fit into the last step.
        if (!reading_.empty() && left > 0) read(reading_.front());
        while (!waiting_.empty() && !full_ && running() < s_.max_sequences &&
               fits_step(waiting_.front(), left)) {
            if (!memory_.fits(waiting_.front(), reading_, sequences(), clock_)) {
                // SGLang admits none before a sequence leaves.
                full_ = s_.reserve_steps > 0 && running() > 0;
                break;
            }
            Sequence next = waiting_.front();
            waiting_.pop_front();
            next.to_read = to_read(next);
            next.order = ++admitted_;
            if (std::isnan(next.started_s)) next.started_s = now_s_;
            memory_.reading_tokens += next.to_read;
            memory_.ends += next.request.prompt + next.request.output;
            read(next);
            reading_.push_back(next);
        }
        if (chunks_.empty()) return false;
        const std::int64_t decoding = s_.mixes ? sequences() : 0;
        const auto context = static_cast<std::int64_t>(std::llround(decoding > 0 ? memory_.context : 0.0));
        const StepCost cost = s_.costs->step(decoding, each_, context, chunks_, completed);
        joules_ += cost.joules;
        step_s_ = cost.seconds;
        steps_ = true;
        next_s_ = now_s_ + cost.seconds;
        next_clock_ = clock_ + (decoding > 0 ? 1 : 0);
        return true;
    }

    void end_step(std::vector<FleetDone>& done) {
        steps_ = false;
        std::size_t kept = 0;
        for (Sequence& each : reading_) {
            if (each.read < each.to_read) {
                reading_[kept++] = each;
                continue;
            }
            memory_.reading_tokens -= each.to_read;
            each.generated += 1;
            each.from_clock = clock_;
            each.late_s = (s_.prefill_fill - 1) * step_s_;
            if (std::isnan(each.first_token_s)) each.first_token_s = now_s_ + each.late_s;
            const double rest = each.request.output - each.generated;
            if (rest < kSame) {
                finish(each, done);
                continue;
            }
            each.end_clock = clock_ + std::ceil(rest / s_.yield - kSame);
            memory_.context += static_cast<double>(each.to_read) + 1;
            decoding_.push_back(each);
            std::push_heap(decoding_.begin(), decoding_.end(), later);
        }
        reading_.resize(kept);
    }

    void finish(const Sequence& s, std::vector<FleetDone>& done) {
        full_ = false;
        memory_.ends -= s.request.prompt + s.request.output;
        done.push_back({s.request, s.started_s, s.first_token_s, now_s_ + s.late_s, Outcome::finished});
    }

    void leave(std::vector<FleetDone>& done) {
        std::pop_heap(decoding_.begin(), decoding_.end(), later);
        const Sequence last = decoding_.back();
        decoding_.pop_back();
        drop(last);
        finish(last, done);
    }

    // Its context.
    void drop(const Sequence& s) {
        full_ = false;
        memory_.context =
            decoding_.empty() ? 0.0 : std::max(0.0, memory_.context - s.request.prompt - generated(s));
    }

    // A sequence gives its memory back, and is read again: of engines that mix the newest one, else that with
    // the fewest tokens, at the end of the queue.
    void preempt() {
        const auto victim = std::min_element(
            decoding_.begin(), decoding_.end(), [this](const Sequence& a, const Sequence& b) {
                const double made = s_.mixes ? 0.0 : generated(a) - generated(b);
                if (std::abs(made) > kSame) return made < 0;
                const std::int32_t longer = s_.mixes ? 0 : a.request.prompt - b.request.prompt;
                return longer != 0 ? longer > 0 : a.order > b.order;
            });
        Sequence s = *victim;
        decoding_.erase(victim);
        std::make_heap(decoding_.begin(), decoding_.end(), later);
        drop(s);
        memory_.ends -= s.request.prompt + s.request.output;
        s.generated = generated(s);
        s.read = 0;
        if (s_.mixes) {
            waiting_.push_front(s);
        } else {
            waiting_.push_back(s);
        }
        if (s_.reserve_steps > 0) estimate_share();
    }

    // SGLang's share after memory ran out, from what has been generated so far.
    void estimate_share() {
        constexpr double kAhead = 20;  // steps
        double made = 0;
        double most = 1;
        for (const Sequence& each : decoding_) {
            made += generated(each);
            most += each.request.output;
        }
        memory_.set_share(std::min(1.0, (made + kAhead * static_cast<double>(sequences())) / most), clock_);
    }

    TokenSettings s_;
    std::int64_t each_;
    TokenMemory memory_;
    double now_s_ = 0;
    double clock_ = 0;  // steps of decoding up to now_s_
    double next_s_ = kNever;
    double next_clock_ = 0;
    DecodeRun run_;
    double step_s_ = 0;
    bool full_ = false;   // what waits does not fit before a sequence leaves
    bool steps_ = false;  // a step with prompts runs
    std::uint64_t admitted_ = 0;
    std::vector<Sequence> decoding_;  // a heap
    std::vector<Sequence> reading_;
    std::vector<Chunk> chunks_;
    std::deque<Sequence> waiting_;
    double joules_ = 0;
};

}  // namespace

std::unique_ptr<Replica> make_token_replica(const TokenSettings& settings) {
    return std::make_unique<TokenReplica>(settings);
}

}  // namespace infercost
