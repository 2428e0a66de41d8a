#include <algorithm>
#include <cmath>
#include <deque>

#include "simulate/fleet/replica.hpp"

namespace infercost {
namespace {

// A clock counts steps. While prompts are read it moves by their steps, or stands; else it moves at the pace
// of steps of decoding, which is linear in the context. Sequences leave at a reading of the clock, so that
// nothing is done for each of them when the pace changes.
class TokenReplica final : public Replica {
  public:
    explicit TokenReplica(const TokenSettings& settings)
        : s_(settings), each_(static_cast<std::int64_t>(std::llround(settings.tokens_each))) {}

    double next_s() const override { return next_s_; }

    void advance(double time_s, std::vector<FleetDone>& done) override {
        move_clock(next_clock_, time_s);
        if (reading_ && read_end_s_ <= time_s) end_reading(time_s, done);
        while (!decoding_.empty() && decoding_.front().end_clock <= clock_ + kSame) leave(done, time_s);
        if (!reading_) begin_reading(time_s);
        plan();
    }

    void take(const FleetRequest& request, double time_s, std::vector<FleetDone>& done) override {
        if (static_cast<double>(request.prompt) + request.output > s_.pool_tokens) {
            done.push_back({request, time_s, std::nan(""), time_s, Outcome::too_large});
            return;
        }
        waiting_.push_back(request);
        if (reading_) return;
        if (decoding_.empty()) {
            now_s_ = time_s;
            next_s_ = time_s;
            next_clock_ = clock_;
        } else if (waiting_.size() == 1 && has_room()) {
            // At the end of the step that runs.
            const double clock = std::ceil(clock_ + steps_in(time_s - now_s_) - kSame);
            if (clock < next_clock_) plan_at(clock);
        }
    }

    void evict(double, std::vector<FleetRequest>& left) override {
        const std::size_t first = left.size();
        for (const Decoding& each : decoding_) left.push_back(each.request);
        for (const Decoding& each : read_) left.push_back(each.request);
        left.insert(left.end(), waiting_.begin(), waiting_.end());
        std::sort(left.begin() + static_cast<std::ptrdiff_t>(first), left.end(),
                  [](const FleetRequest& a, const FleetRequest& b) {
                      return a.arrival_s != b.arrival_s ? a.arrival_s < b.arrival_s : a.number < b.number;
                  });
    }

    std::int64_t requests() const override {
        return static_cast<std::int64_t>(decoding_.size() + read_.size() + waiting_.size());
    }
    std::int64_t running() const override {
        return static_cast<std::int64_t>(decoding_.size() + read_.size());
    }
    double joules() const override { return joules_; }

  private:
    static constexpr double kSame = 1e-6;  // steps

    struct Decoding {
        double end_clock;
        double started_s;
        double first_token_s;
        FleetRequest request;
    };
    static bool later(const Decoding& a, const Decoding& b) { return a.end_clock > b.end_clock; }

    std::int64_t sequences() const { return static_cast<std::int64_t>(decoding_.size()); }

    // ---- the clock ----

    // Seconds of the next `steps` of decoding.
    double seconds_of(double steps) const { return steps * (run_.seconds + run_.slope_s * (steps - 1) / 2); }

    // Its inverse.
    double steps_in(double seconds) const {
        const double half = run_.slope_s / 2;
        const double linear = run_.seconds - half;
        if (half == 0) return linear > 0 ? seconds / linear : 0;
        const double root = linear * linear + 4 * half * seconds;
        // The form whose terms do not cancel.
        return root <= 0 ? 0 : 2 * seconds / (linear + std::sqrt(root));
    }

    void move_clock(double clock, double time_s) {
        const double steps = clock - clock_;
        if (steps > 0 && !decoding_.empty()) {
            if (!reading_) joules_ += steps * (run_.joules + run_.slope_j * (steps - 1) / 2);
            context_ += steps * s_.yield * static_cast<double>(sequences());
        }
        clock_ = clock;
        now_s_ = time_s;
    }

    void plan_at(double clock) {
        next_clock_ = clock;
        next_s_ = now_s_ + seconds_of(clock - clock_);
    }

    // Finds the next event from now on.
    void plan() {
        if (reading_) {
            next_s_ = read_end_s_;
            next_clock_ = read_clock_;
            if (decoding_.empty() || read_clock_ <= clock_) return;
            const double end_clock = decoding_.front().end_clock;
            if (end_clock >= read_clock_) return;
            const double pace = (read_end_s_ - now_s_) / (read_clock_ - clock_);
            next_clock_ = end_clock;
            next_s_ = now_s_ + (end_clock - clock_) * pace;
            return;
        }
        if (decoding_.empty()) {
            next_s_ = kNever;
            next_clock_ = clock_;
            return;
        }
        const auto context = static_cast<std::int64_t>(std::llround(context_));
        run_ = s_.costs->decode_run(sequences(), each_, context);
        const double linear = static_cast<double>(std::max<std::int64_t>(1, run_.steps));
        plan_at(std::max(clock_, std::min(decoding_.front().end_clock, clock_ + linear)));
    }

    // ---- prompts ----

    bool has_room() const {
        if (waiting_.empty() || sequences() >= s_.max_sequences) return false;
        return fits(waiting_.front(), std::max(context_, reserved_));
    }
    bool fits(const FleetRequest& request, double held) const {
        return held + reserve_of(request) <= s_.pool_tokens;
    }
    double reserve_of(const FleetRequest& request) const {
        return request.prompt + s_.reserves * request.output;
    }

    // Reads the next prompts that fit a step together, or the first one in several steps.
    void begin_reading(double time_s) {
        if (!has_room()) return;
        double held = std::max(context_, reserved_);
        std::int64_t tokens = 0;
        chunks_.clear();
        while (!waiting_.empty() &&
               sequences() + static_cast<std::int64_t>(read_.size()) < s_.max_sequences) {
            const FleetRequest& next = waiting_.front();
            if (!fits(next, held) || (tokens > 0 && tokens + next.prompt > s_.max_tokens)) break;
            held += reserve_of(next);
            reserved_ += reserve_of(next);
            tokens += next.prompt;
            read_.push_back({0, time_s, 0, next});
            chunks_.push_back({next.prompt, 0});
            waiting_.pop_front();
        }
        const std::int64_t decoding = s_.mixes ? sequences() : 0;
        const auto context = static_cast<std::int64_t>(std::llround(s_.mixes ? context_ : 0.0));
        double seconds = 0;
        std::int64_t steps = 0;
        if (tokens <= s_.max_tokens) {
            const StepCost cost =
                s_.costs->step(decoding, each_, context, chunks_, static_cast<std::int64_t>(chunks_.size()));
            seconds = cost.seconds;
            joules_ += cost.joules;
            steps = 1;
        } else {
            const std::int64_t part = std::max<std::int64_t>(1, s_.max_tokens - decoding * each_);
            for (std::int64_t before = 0; before < tokens; before += part, ++steps) {
                const Chunk chunk{std::min(part, tokens - before), before};
                const StepCost cost =
                    s_.costs->step(decoding, each_, context, {&chunk, 1}, before + part >= tokens ? 1 : 0);
                seconds += cost.seconds;
                joules_ += cost.joules;
            }
        }
        reading_ = true;
        read_end_s_ = time_s + seconds * (decoding == 0 ? s_.prefill_fill : 1.0);
        read_clock_ = clock_ + (s_.mixes ? static_cast<double>(steps) : 0.0);
    }

    void end_reading(double time_s, std::vector<FleetDone>& done) {
        reading_ = false;
        for (Decoding& each : read_) {
            each.first_token_s = time_s;
            if (each.request.output <= 1) {
                reserved_ -= reserve_of(each.request);
                done.push_back({each.request, each.started_s, time_s, time_s, Outcome::finished});
                continue;
            }
            each.end_clock = clock_ + std::ceil((each.request.output - 1) / s_.yield - kSame);
            context_ += each.request.prompt + 1;
            decoding_.push_back(each);
            std::push_heap(decoding_.begin(), decoding_.end(), later);
        }
        read_.clear();
    }

    void leave(std::vector<FleetDone>& done, double time_s) {
        std::pop_heap(decoding_.begin(), decoding_.end(), later);
        const Decoding& s = decoding_.back();
        done.push_back({s.request, s.started_s, s.first_token_s, time_s, Outcome::finished});
        context_ -= s.request.prompt + s.request.output;
        reserved_ -= reserve_of(s.request);
        decoding_.pop_back();
        if (decoding_.empty()) context_ = 0;
        context_ = std::max(context_, 0.0);
    }

    TokenSettings s_;
    std::int64_t each_;
    double now_s_ = 0;
    double clock_ = 0;  // steps of decoding up to now_s_
    double next_s_ = kNever;
    double next_clock_ = 0;
    DecodeRun run_;
    double context_ = 0;              // of all that decode
    double reserved_ = 0;             // tokens of the cache that admitted requests were given room for
    std::vector<Decoding> decoding_;  // a heap
    std::vector<Decoding> read_;
    std::vector<Chunk> chunks_;
    bool reading_ = false;
    double read_end_s_ = 0;
    double read_clock_ = 0;
    std::deque<FleetRequest> waiting_;
    double joules_ = 0;
};

}  // namespace

std::unique_ptr<Replica> make_token_replica(const TokenSettings& settings) {
    return std::make_unique<TokenReplica>(settings);
}

}  // namespace infercost
