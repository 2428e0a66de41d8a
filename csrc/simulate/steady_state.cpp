#include "simulate/steady_state.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

namespace infercost {
namespace {

constexpr double kTiny = 1e-12;
constexpr double kLeastRoom = 0.05;  // of a budget that decoding sequences fill
constexpr double kSpan = 256;        // numbers of requests inside are closer to each other where they are few
constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A mean number of sequences stands for some that are fewer and some that are more, of which each is padded.
constexpr double kDense = 64;      // each number is a knot up to here
constexpr double kPerOctave = 16;  // and so many are beyond
constexpr double kHalfWidth = 0.04;
constexpr int kAround = 9;

void check(bool holds, const char* name, double value, const char* expected) {
    if (holds) return;
    throw std::invalid_argument("steady state: " + std::string(name) + " is " + std::to_string(value) +
                                "; expected " + expected);
}

// The normal distribution function within 2e-4: logistic with a cubic term.
double normal(double value, double deviation) {
    const double z = std::clamp(value / std::max(deviation, 1e-15), -8.0, 8.0);
    return 1 / (1 + std::exp(-(1.5976 * z + 0.070565992 * z * z * z)));
}

StepCost plus(StepCost a, StepCost b, double share = 1) {
    return {a.seconds + share * b.seconds, a.joules + share * b.joules};
}

}  // namespace

SteadyServer::SteadyServer(const SteadySettings& settings) : settings_(settings) {
    const SteadySettings& of = settings_;
    if (!of.costs) throw std::invalid_argument("steady state: costs are missing; expected StepCosts");
    constexpr double kMost = 1 << 20;
    check(of.most_sequences >= 1 && of.most_sequences <= kMost, "most_sequences", of.most_sequences,
          "1 to 1048576");
    check(of.tokens_each >= 1 && of.tokens_each <= 1024, "tokens_each", of.tokens_each, "1 to 1024");
    check(of.yield >= 1 && of.yield <= of.tokens_each, "yield", of.yield, "1 to tokens_each");
    check(of.pool_tokens >= 0, "pool_tokens", of.pool_tokens, "a number from 0 on");
    check(of.block_tokens >= 1, "block_tokens", of.block_tokens, "a number from 1 on");
    check(of.copies >= 1, "copies", of.copies, "a number from 1 on");
    check(of.devices >= 1, "devices", of.devices, "a number from 1 on");
    check(of.fill >= 1, "fill", of.fill, "a number from 1 on");
    check(of.budget >= 1 && std::isfinite(of.budget), "budget", of.budget, "a number from 1 on");
    check(of.lockstep >= 1 && of.lockstep <= of.copies, "lockstep", of.lockstep, "1 to copies");
    check(of.reserves >= 0 && of.reserves <= 1, "reserves", of.reserves, "0 to 1");
    std::vector<double> knots;
    for (double knot = 1; knot <= kDense; ++knot) knots.push_back(knot);
    for (double i = 1; knots.back() < of.most_sequences; ++i) {
        knots.push_back(kDense * std::exp2(i / kPerOctave));
    }
    const auto at = [&](double sequences) {
        return costs().products(static_cast<std::int64_t>(sequences * of.tokens_each));
    };
    for (const double knot : knots) {
        StepCost mean = at(knot);
        if (knot > kDense) {
            mean = {};
            for (int i = 0; i < kAround; ++i) {
                const double apart = kHalfWidth * (2.0 * i / (kAround - 1) - 1);
                mean = plus(mean, at(std::nearbyint(knot * (1 + apart))), 1.0 / kAround);
            }
        }
        products_.push_back(mean);
    }
    from_ = Intervals(std::move(knots));
}

StepCost SteadyServer::products(double sequences) const {
    const std::size_t at = std::min(from_.find(sequences), products_.size() - 2);
    const double share = (sequences - from_[at]) / (from_[at + 1] - from_[at]);
    const StepCost a = products_[at];
    const StepCost b = products_[at + 1];
    return {a.seconds + share * (b.seconds - a.seconds), a.joules + share * (b.joules - a.joules)};
}

SteadyStates::SteadyStates(const SteadyServer& server, const SteadyLoad& load)
    : server_(&server), prompt_(load.prompt), output_(load.output) {
    const SteadySettings& of = server.settings();
    steps_ = std::max(output_ - 1, 0.0) / of.yield;
    new_ = prompt_ * (1 - load.prefix_hit);
    cached_ = prompt_ * load.prefix_hit;
    // Attention grows with the square of a prompt: a longer one stands for all.
    long_ = load.prompt_square / prompt_ * (1 - load.prefix_hit);
    // A decode step meets long answers more often; the first token comes from the prompt.
    const double age = load.output_square / (2 * output_);
    context_ = prompt_ + age;
    const double open = of.block_tokens / 2;  // a last block is half full
    const double held = context_ + of.reserves * (output_ - age) + open;
    most_ = std::max(1.0, std::min(of.most_sequences, std::floor(of.pool_tokens / held)));
    fits_ = of.pool_tokens >= prompt_ + output_;
}

StepCost SteadyStates::with_host(StepCost device, double host) const {
    const StepTables& tables = server_->costs().tables();
    const double seconds = tables.overlaps_host ? std::max(device.seconds, host) : device.seconds + host;
    return {seconds, device.joules + tables.idle_w * (seconds - device.seconds)};
}

// A step that decodes alone, of one sequence at least.
StepCost SteadyStates::pure(double running) const {
    const SteadySettings& of = server_->settings();
    const StepCosts& costs = server_->costs();
    const double some = std::max(running, 1.0);
    StepCost device = plus(server_->products(some), costs.outputs(some * of.tokens_each));
    device = plus(device, costs.decode_attention(some, context_));
    if (of.tokens_each > 1) device = plus(device, costs.drafts(some));
    return with_host(device, costs.tables().host_step_s + costs.tables().host_sequence_s * some);
}

// A step that reads `prompts` chunks, each a part of 1 / parts of a prompt.
StepCost SteadyStates::mixed(double running, double prompts, double parts) const {
    const SteadySettings& of = server_->settings();
    const StepCosts& costs = server_->costs();
    const double decoding = of.mixes ? running : 0.0;
    const double chunk = new_ / parts;
    const double ends = prompts / parts;
    const double tokens = decoding * of.tokens_each;
    const double sampled = tokens + ends;
    StepCost device = costs.tokens(std::max(tokens + prompts * chunk, 1.0));
    // Fewer than one sequence: some steps have none.
    device = plus(device, costs.outputs(std::max(sampled, 1.0)), std::min(sampled, 1.0));
    device = plus(device, costs.decode_attention(std::max(decoding, 1.0), context_), std::min(decoding, 1.0));
    if (of.tokens_each > 1) {
        device = plus(device, costs.drafts(std::max(decoding + ends, 1.0)), std::min(sampled, 1.0));
    }
    const double one = long_ / parts;
    const double before = cached_ + long_ * (parts - 1) / (2 * parts);
    device = plus(device, costs.prefill_attention(std::max(one, 1.0), before), prompts * chunk / one);
    const StepTables& tables = costs.tables();
    return with_host(
        device, tables.host_step_s + tables.host_sequence_s * (decoding + prompts) + tables.host_prefill_s);
}

SteadyStates::Round SteadyStates::round(double inside) const {
    const SteadySettings& of = server_->settings();
    const double steps = std::max(steps_, kTiny);
    const double held = std::max(std::min(inside, most_), 1.0);
    const double budget = of.chunks ? of.budget : std::max(of.budget, new_);
    const double room = std::max(budget - (of.mixes ? held * of.tokens_each : 0.0), kLeastRoom * budget);
    const double whole = std::ceil(new_ / room - kTiny);  // chunks of a prompt that is read alone
    const double cycle = of.mixes ? steps + whole : steps;
    const double limit = room / new_;
    double begun = held / cycle;  // prompts in a step
    const bool limited = begun > limit;
    // Chunks of several prompts fill a step: the fuller it is, the fewer there are.
    const double full = std::min(begun / limit, 1.0);
    const double parts = std::max(1.0, whole + (std::max(1.0, new_ / room) - whole) * full);
    begun = std::min(begun, limit);
    const double others = limited ? begun : begun * (held - 1) / held;
    const double running = limited ? begun * steps : 1 + (held - 1) * steps / cycle;
    const double some = std::max(-std::expm1(-others * parts), std::min(1.0, others * new_ / room));
    const double most = std::max(1.0, room * parts / new_);  // chunks that a step has room for
    const double chunks = std::clamp(others * parts / std::max(some, kTiny), 1.0, most);
    const StepCost alone = pure(running);
    const StepCost shared = mixed(running, chunks, parts);
    // A step with one's own prompt has those of others that wait for the same step.
    const double own = std::min(1 + others * parts, most);
    const double reading_s = parts * mixed(running - (limited ? 0.0 : 1.0), own, parts).seconds;
    // Copies in lockstep are as slow as the one that reads a prompt.
    const double any = of.lockstep > 1 ? 1 - std::pow(1 - some, of.lockstep) : some;
    const double step_s = (of.mixes ? 1 - any : 1.0) * alone.seconds + any * shared.seconds;
    const double free = held / (reading_s + steps * step_s);
    const double rate = limited ? std::min(free, begun / step_s) : free;
    // Steps of each kind in a second: those with prompts are as many as chunks need.
    const double with_prompts = std::min(rate * parts / (limited ? most : own), 1 / shared.seconds);
    const double left = std::max(0.0, 1 - with_prompts * shared.seconds);
    double decoding = left / alone.seconds;
    double waiting = 0;
    if (of.lockstep > 1) {
        decoding = std::max(0.0, 1 / ((1 - any) * alone.seconds + any * shared.seconds) - with_prompts);
        decoding = std::min(decoding, left / alone.seconds);
        waiting = left - decoding * alone.seconds;
    }
    return {
        .rate = rate,
        .running = limited ? running : held * steps / cycle,
        .reading_s = reading_s * of.fill,
        .step_s = step_s,
        .some = any,
        .pure_s = alone.seconds,
        .mixed_s = shared.seconds,
        .watts = with_prompts * shared.joules + decoding * alone.joules +
                 waiting * server_->costs().tables().idle_w,
        .held = held,
    };
}

SteadyState SteadyStates::under(const SteadyLoad& load) {
    if (std::isnan(load.rate_per_s)) return at_clients(load);
    if (!has_states_) find_states();
    return at_rate(load);
}

// A fixed number of requests in all copies.
SteadyState SteadyStates::at_clients(const SteadyLoad& load) const {
    const SteadySettings& of = server_->settings();
    const double inside = std::max(load.clients / of.copies, 1.0);
    const Round means = round(inside);
    const double e2e_s = inside / means.rate;  // Little's law: who is not running waits
    const double wait_s = std::max(e2e_s - means.reading_s - steps_ * means.step_s, 0.0);
    return figures(means, load, means.rate, wait_s, 1);
}

void SteadyStates::find_states() {
    for (std::size_t i = 0; i < kKnots; ++i) {
        const double place = std::pow(kSpan, static_cast<double>(i) / (kKnots - 1));
        inside_[i] = 1 + (most_ - 1) * (place - 1) / (kSpan - 1);
        states_[i] = round(inside_[i]);
    }
    has_states_ = true;
}

// A Poisson rate of all copies. The probability of a number inside is proportional to the product of rate /
// X(i).
SteadyState SteadyStates::at_rate(const SteadyLoad& load) const {
    const SteadySettings& of = server_->settings();
    const double rate = load.rate_per_s / of.copies;
    const Round& last = states_[kKnots - 1];
    const double capacity = last.rate;
    const double utilization = rate / capacity;
    std::array<double, kKnots> chance{};
    const double log_rate = std::log(rate);
    double top = 0;
    double slope = log_rate - std::log(states_[0].rate);
    chance[0] = slope;
    top = std::max(top, slope);
    for (std::size_t i = 1; i < kKnots; ++i) {
        const double next = log_rate - std::log(states_[i].rate);
        chance[i] = chance[i - 1] + (inside_[i] - inside_[i - 1]) * (slope + next) / 2;
        top = std::max(top, chance[i]);
        slope = next;
    }
    const double rho = std::min(utilization, 1 - kTiny);
    const double at_end = std::exp(chance[kKnots - 1] - top);
    const double tail = at_end * rho / (1 - rho);  // all that wait, a geometric series
    const double empty = std::exp(-top);
    double total = empty + tail;
    for (std::size_t i = 0; i < kKnots; ++i) {
        // Numbers between knots count with them; the first knot is one request, and none is apart.
        const double before = i > 0 ? inside_[i] - inside_[i - 1] : 1.0;
        const double after = i + 1 < kKnots ? inside_[i + 1] - inside_[i] : 0.0;
        chance[i] = (before + after) / 2 * std::exp(chance[i] - top);
        total += chance[i];
    }
    const double queue = at_end * rho / ((1 - rho) * (1 - rho)) / total;
    double inside = 0;  // by each copy's number of requests, of those that have any
    double leaving = 0;
    double arriving = 0;
    Round means;
    double reading_s = 0;
    double step_s = 0;
    for (std::size_t i = 0; i < kKnots; ++i) {
        const Round& state = states_[i];
        const double own = (chance[i] + (i + 1 == kKnots ? tail : 0.0)) / total;
        inside += own;
        means.running += own * state.running;
        means.held += own * state.held;
        means.some += own * state.some;
        means.pure_s += own * state.pure_s;
        means.mixed_s += own * state.mixed_s;
        means.watts += own * state.watts;
        // An answer is seen by as many requests as leave. One that comes to an empty server is alone.
        leaving += own * state.rate;
        step_s += own * state.rate * state.step_s;
        const double meets = i == 0 ? own + empty / total : own;
        arriving += meets;
        reading_s += meets * state.reading_s;
    }
    const double busy = 1 - empty / total;
    means.running *= busy / inside;
    means.held /= inside;
    means.some /= inside;
    means.pure_s /= inside;
    means.mixed_s /= inside;
    means.watts = busy * means.watts / inside + (1 - busy) * server_->costs().tables().idle_w;
    means.step_s = step_s / leaving;
    means.reading_s = reading_s / arriving;
    const double square =
        (1 - means.some) * means.pure_s * means.pure_s + means.some * means.mixed_s * means.mixed_s;
    const double step = (1 - means.some) * means.pure_s + means.some * means.mixed_s;
    const double wait_s = busy * square / (2 * step) + queue / rate;
    const bool stable = utilization < 1;
    SteadyState found =
        figures(means, load, std::min(rate, capacity), stable ? wait_s : kInfinity, utilization);
    if (!stable && fits_) found.tpot_s = last.step_s / of.yield;
    return found;
}

SteadyState SteadyStates::figures(const Round& means, const SteadyLoad& load, double rate, double wait_s,
                                  double utilization) const {
    const SteadySettings& of = server_->settings();
    const double tpot_s = means.step_s / of.yield;
    const double ttft_s = wait_s + means.reading_s;
    const double requests = rate * of.copies;
    const double tokens = requests * output_;
    double in_tpot = 1;
    if (load.tpot_s > 0) {
        // Steps with prompts among those of an answer are Poisson: they spread its time per token.
        const double more_s = std::abs(means.mixed_s - (of.mixes ? means.pure_s : 0.0));
        in_tpot =
            normal(load.tpot_s - tpot_s, std::sqrt(means.some / std::max(steps_, 1.0)) * more_s / of.yield);
    }
    double in_ttft = 1;
    if (load.ttft_s > 0) {
        const double room_s = load.ttft_s - means.reading_s;
        const double late =
            std::isfinite(wait_s) ? std::exp(-std::max(room_s, 0.0) / std::max(wait_s, kTiny)) : 1.0;
        in_ttft = room_s < 0 ? 0.0 : 1 - late;
    }
    // Of the tokens that a completed request frees, a new one takes those of its prompt; the growth of the
    // others takes the rest. What is admitted into that rest is taken back: of so many requests at least
    // once. A reserve makes that rare; the power is that of simulations of SGLang.
    constexpr double kReserved = 5;
    const bool full = means.held >= most_ * (1 - 1e-9) && most_ < of.most_sequences && of.reserves < 1;
    SteadyState found{
        .ttft_s = ttft_s,
        .tpot_s = tpot_s,
        .e2e_s = ttft_s + steps_ * means.step_s,
        .tokens_per_s = tokens,
        .tokens_per_s_per_device = tokens / of.devices,
        .usd_per_million_tokens = 1e6 * of.usd_per_s / tokens,
        .joules_per_token = of.knows_energy ? means.watts / (rate * output_) : kNoNumber,
        .max_concurrency = most_ * of.copies,
        .preempted_share = full ? std::pow(1 - of.reserves, kReserved) * output_ / (prompt_ + output_) : 0.0,
        .slo_share = in_ttft * in_tpot,
        .running = means.running,
        .requests_per_s = requests,
        .utilization = utilization,
        .wait_s = wait_s,
    };
    if (fits_) return found;
    // A request that is longer than the memory never runs.
    found.ttft_s = found.tpot_s = found.e2e_s = found.tokens_per_s = found.tokens_per_s_per_device =
        kNoNumber;
    found.usd_per_million_tokens = found.joules_per_token = found.preempted_share = found.slo_share =
        kNoNumber;
    found.running = found.requests_per_s = found.wait_s = kNoNumber;
    found.max_concurrency = 0;
    return found;
}

}  // namespace infercost
