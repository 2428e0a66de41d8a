#include "simulate/server.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "simulate/random.hpp"

namespace infercost {
namespace {

constexpr std::uint32_t kPrefilled = WaitingQueue::kReturns;

std::unique_ptr<Scheduler> make_scheduler(const ServerSettings& settings) {
    switch (settings.engine) {
        case SchedulerEngine::sglang:
            return make_sglang_scheduler(settings);
        case SchedulerEngine::trtllm:
            return make_trtllm_scheduler(settings);
        default:
            return make_vllm_scheduler(settings);
    }
}

std::int64_t usable_blocks(const ServerSettings& settings) {
    // vLLM keeps one block of the pool as the null block.
    return settings.engine == SchedulerEngine::vllm ? settings.blocks - 1 : settings.blocks;
}

}  // namespace

Server::Server(const ServerSettings& given, std::uint16_t index, RequestTable& table, std::uint64_t seed,
               bool prefill_only)
    : settings(given),
      batch(given.block_tokens, given.drafts),
      cache(usable_blocks(given), given.block_tokens, given.prefix_cache),
      table_(table),
      scheduler_(make_scheduler(given)),
      queue_(given.by_priority),
      prefill_only_(prefill_only),
      index_(index),
      seed_(seed) {
    double product = 1;
    for (const double each : given.acceptance) cumulative_.push_back(product *= each);
}

// Arrivals and departures. --------------------------------------------------------------------------------

Outcome Server::deliver(std::uint32_t request, double time_s, bool prefilled) {
    const std::int64_t prompt = table_.prompt[request];
    const std::int64_t longest = settings.max_model_tokens;
    if (longest > 0 && prompt >= longest) return Outcome::too_long;
    if (!prefilled && prompt > scheduler_->longest_prompt(settings)) return Outcome::too_many_tokens;
    std::int64_t output = prefill_only_ ? 1 : table_.output[request];
    if (longest > 0) output = std::min(output, longest - prompt);
    if (!scheduler_->fits(*this, prompt, output)) return Outcome::too_large;
    table_.results.server[request] = index_;
    ++waiting_;
    inbox_.push_back(prefilled ? request | kPrefilled : request);
    if (!busy_) {
        now_s_ = std::max(now_s_, time_s);
    } else if (plan_.open) {
        cut(time_s);
    }
    return Outcome::unfinished;
}

void Server::cancel(std::uint32_t request, double time_s) {
    bool runs = false;
    for (Slot slot = batch.oldest(); slot != kNoSlot && !runs; slot = batch.at(slot).after) {
        runs = batch.at(slot).request == request;
    }
    if (runs) {
        cancelled_.push_back(request);
    } else {
        --waiting_;  // its entry is dropped when it would be the next
    }
    if (busy_) cut(time_s);
}

// Ends a run of steps with the one that is under way at a time.
void Server::cut(double time_s) {
    if (steps_ == 1) return;
    const std::int64_t steps = steps_until(time_s);
    if (steps >= steps_) return;
    steps_ = steps;
    end_s_ = start_s_ + elapsed(steps_);
}

double Server::elapsed(std::int64_t steps) const {
    const auto k = static_cast<double>(steps);
    return k * run_.seconds + run_.slope_s * (k * (k - 1) / 2);
}

double Server::elapsed_j(std::int64_t steps) const {
    const auto k = static_cast<double>(steps);
    return k * run_.joules + run_.slope_j * (k * (k - 1) / 2);
}

// The first of the steps that run, counted from 1, whose end is not before a time; the last if there is none.
std::int64_t Server::steps_until(double time_s) const {
    const double wanted = time_s - start_s_;
    double guess = static_cast<double>(steps_);
    if (run_.slope_s == 0) {
        if (run_.seconds > 0) guess = std::ceil(wanted / run_.seconds);
    } else {
        const double half = run_.slope_s / 2;
        const double linear = run_.seconds - half;
        const double root = linear * linear + 4 * half * wanted;
        if (root >= 0) guess = std::ceil((std::sqrt(root) - linear) / (2 * half));
    }
    // Rounding may make the guess wrong: the answer is in (low, high]. Comparisons with a NaN are false.
    const auto ends_before = [&](std::int64_t steps) { return start_s_ + elapsed(steps) < time_s; };
    std::int64_t high = steps_;
    if (guess < static_cast<double>(steps_)) high = guess >= 1 ? static_cast<std::int64_t>(guess) : 1;
    std::int64_t low = high;
    for (std::int64_t reach = 1; high < steps_ && ends_before(high); reach *= 2) {
        low = high;
        high = std::min(steps_, high + reach);
    }
    if (low == high) {
        for (std::int64_t reach = 1; low > 0 && (low == high || !ends_before(low)); reach *= 2) {
            high = low;
            low = std::max<std::int64_t>(0, low - reach);
        }
    }
    while (high - low > 1) {
        const std::int64_t middle = low + (high - low) / 2;
        (ends_before(middle) ? low : high) = middle;
    }
    return high;
}

void Server::receive() {
    for (const std::uint32_t entry : inbox_) {
        const std::uint32_t request = entry & ~kPrefilled;
        if (table_.results.outcome[request] != Outcome::unfinished) continue;
        enqueue(request, (entry & kPrefilled) != 0);
    }
    inbox_.clear();
}

void Server::enqueue(std::uint32_t request, bool prefilled) {
    std::uint32_t entry = request;
    if (prefilled) {
        Returning record;
        record.request = request;
        record.generated = 1;
        record.prefilled = true;
        entry = queue_.add(record);
    }
    queue_.push_back(entry, table_.priority_of(request), request);
}

void Server::apply_cancels() {
    for (const std::uint32_t request : cancelled_) {
        for (Slot slot = batch.oldest(); slot != kNoSlot; slot = batch.at(slot).after) {
            if (batch.at(slot).request != request) continue;
            free_blocks_of(slot, batch.cached(batch.at(slot)), false, nullptr);
            scheduler_->left(batch.at(slot));
            batch.remove(slot);
            break;
        }
    }
    cancelled_.clear();
}

void Server::free_blocks_of(Slot slot, std::int64_t kept_tokens, bool returns, Returning* record) {
    Sequence& s = batch.at(slot);
    const auto named = static_cast<std::int64_t>(s.held.named.size());
    if (s.decodes) s.held.own = (batch.drafts() ? s.room : cache.blocks_of(batch.cached(s))) - named;
    const std::int64_t full = kept_tokens / settings.block_tokens;
    if (cache.keeps_prefixes()) cache.publish(table_.ids_of(s.request, settings.block_tokens), full, s.held);
    if (record) record->named = static_cast<std::int32_t>(s.held.named.size());
    const std::int32_t kept = cache.release(s.held, full, returns);
    if (record) record->kept = kept;
}

void Server::leave(Slot slot, Outcome outcome, double time_s, std::vector<Departure>& departures) {
    const Sequence& s = batch.at(slot);
    const std::uint32_t request = s.request;
    // A client that has left may be noticed only after the last token.
    if (table_.results.outcome[request] == Outcome::unfinished) {
        if (outcome == Outcome::finished && !prefill_only_ && s.output < table_.output[request]) {
            outcome = Outcome::truncated;
        }
        table_.results.finish_s[request] = time_s + s.late_s;
        departures.push_back({request, outcome});
    }
    free_blocks_of(slot, batch.cached(s), false, nullptr);
    scheduler_->left(batch.at(slot));
    batch.remove(slot);
}

std::int64_t Server::blocks_at(double time_s) const {
    std::int64_t used = cache.used();
    if (busy_ && steps_ > 1 && time_s > start_s_) {
        used += batch.blocks_needed(1, steps_until(time_s) - 1);
    }
    return used;
}

std::int64_t Server::match(std::uint32_t request) const {
    const std::int64_t most = (table_.prompt[request] - 1) / settings.block_tokens;
    const PrefixIds ids = table_.ids_of(request, settings.block_tokens);
    return cache.find(ids, KvCache::kNone, 0, most).named * settings.block_tokens;
}

// Steps. --------------------------------------------------------------------------------------------------

void Server::begin(double time_s) {
    now_s_ = std::max(now_s_, time_s);
    waited_s_ = 0;
    if (!cancelled_.empty()) apply_cancels();
    const bool receives = scheduler_->receives() || batch.size() == 0;
    if (receives && !inbox_.empty()) receive();
    plan_.clear();
    scheduler_->schedule(*this, plan_);
    if (!plan_.decodes && plan_.chunks.empty()) {
        if (batch.size() + waiting_ > 0) {
            throw std::logic_error("a simulated server has " + std::to_string(batch.size()) +
                                   " running and " + std::to_string(waiting_) +
                                   " waiting requests and forms no step; this is a defect, please report it");
        }
        return;
    }
    totals_.most_blocks = std::max(totals_.most_blocks, cache.used());
    for (const Slot slot : plan_.starved) batch.stop_decoding(slot);
    const std::int64_t sequences = plan_.decodes ? batch.decoding() : 0;
    const std::int64_t context = plan_.decodes ? batch.context() : 0;
    steps_ = 1;
    if (plan_.chunks.empty() && sequences > 0) {
        run_ = settings.costs->decode_run(sequences, settings.tokens_each(), context);
        if (settings.jumps && plan_.steady && !batch.drafts()) {
            const std::int64_t most = std::min({run_.steps, batch.ticks_to_wake(), plan_.most_steps});
            steps_ = batch.ticks_with(cache.free(), most);
        }
    } else {
        std::int64_t completed = 0;
        for (const PlannedChunk& chunk : plan_.chunks) completed += chunk.completes;
        const StepCost cost =
            settings.costs->step(sequences, settings.tokens_each(), context, plan_.sizes, completed);
        run_ = {cost.seconds, 0, cost.joules, 0, 1};
    }
    start_s_ = now_s_;
    end_s_ = start_s_ + elapsed(steps_);
    if (!(end_s_ <= kLatest_s) || !std::isfinite(totals_.joules + elapsed_j(steps_))) {
        throw std::invalid_argument(
            "simulation: a step ends at " + std::to_string(end_s_) + " s after " +
            std::to_string(totals_.joules + elapsed_j(steps_)) +
            " J; expected times up to 1e18 s and finite energies: the costs of steps are "
            "too large for these requests");
    }
    busy_ = true;
}

void Server::wait_until(double end_s) {
    waited_s_ = end_s - end_s_;
    end_s_ = end_s;
}

void Server::complete(std::vector<Departure>& departures) {
    busy_ = false;
    last_step_s_ = run_.seconds + run_.slope_s * static_cast<double>(steps_ - 1);
    now_s_ = end_s_;
    totals_.busy_s += elapsed(steps_) + waited_s_;
    totals_.joules += elapsed_j(steps_) + settings.costs->tables().idle_w * waited_s_;
    totals_.steps += steps_;
    ++totals_.runs;
    totals_.prefill_steps += !plan_.chunks.empty();
    if (plan_.decodes) {
        if (batch.drafts()) {
            accept_drafts(departures);
        } else {
            if (steps_ > 1) {
                cache.take(batch.blocks_needed(1, steps_ - 1));
                totals_.most_blocks = std::max(totals_.most_blocks, cache.used());
            }
            totals_.generated_tokens += batch.decoding() * steps_;
            awake_.clear();
            batch.advance(steps_, awake_);
            for (const Slot slot : awake_) {
                Sequence& s = batch.at(slot);
                const std::int64_t generated = batch.generated(s);
                if (s.unseen && generated >= first_seen(s)) {
                    s.unseen = false;
                    table_.results.first_token_s[s.request] = now_s_ + s.late_s;
                }
                if (generated >= s.output) {
                    leave(slot, Outcome::finished, now_s_, departures);
                } else {
                    batch.wake_with(slot, s.output);
                }
            }
        }
    }
    for (const Slot slot : plan_.starved) batch.start_decoding(slot, wakes_with(batch.at(slot)));
    for (const PlannedChunk& chunk : plan_.chunks) {
        if (cache.keeps_prefixes() && settings.engine != SchedulerEngine::vllm) {
            Sequence& s = batch.at(chunk.slot);
            cache.publish(table_.ids_of(s.request, settings.block_tokens), s.computed / settings.block_tokens,
                          s.held);
        }
        if (chunk.completes) sample(chunk.slot, departures);
    }
    scheduler_->passed(plan_, steps_);
    if (requests() == 0) scheduler_->idle();
}

void Server::accept_drafts(std::vector<Departure>& departures) {
    awake_.clear();
    for (const Slot slot : batch.decoders()) {
        Sequence& s = batch.at(slot);
        const double draw = uniform(seed_, s.request, static_cast<std::uint64_t>(s.generated));
        std::int64_t tokens = 1;
        for (const double each : cumulative_) tokens += draw < each;
        tokens = std::min<std::int64_t>(tokens, s.output - s.generated);
        batch.accept(slot, tokens);
        totals_.generated_tokens += tokens;
        if (s.unseen && s.generated >= first_seen(s)) {
            s.unseen = false;
            table_.results.first_token_s[s.request] = now_s_ + s.late_s;
        }
        if (s.generated >= s.output) awake_.push_back(slot);
    }
    std::sort(awake_.begin(), awake_.end(),
              [this](Slot a, Slot b) { return batch.at(a).rank < batch.at(b).rank; });
    for (const Slot slot : awake_) leave(slot, Outcome::finished, now_s_, departures);
}

std::int64_t Server::first_seen(const Sequence& s) const {
    return settings.first_token_buffered ? std::min<std::int64_t>(settings.stream_interval, s.output) : 1;
}

std::int64_t Server::wakes_with(const Sequence& s) const {
    return s.unseen ? first_seen(s) : s.output;
}

// The last chunk of a prompt has ended: its sequence has one more token.
void Server::sample(Slot slot, std::vector<Departure>& departures) {
    Sequence& s = batch.at(slot);
    ++s.generated;
    ++totals_.generated_tokens;
    // A chunk has left the first stage of a pipeline, and goes through the others.
    s.late_s = (settings.prefill_fill - 1) * last_step_s_;
    if (s.unseen && s.generated >= first_seen(s)) {
        s.unseen = false;
        table_.results.first_token_s[s.request] = now_s_ + s.late_s;
    }
    if (s.generated >= s.output) return leave(slot, Outcome::finished, now_s_, departures);
    if (batch.drafts()) s.room = static_cast<std::int32_t>(s.held.total());
    batch.start_decoding(slot, wakes_with(s));
}

// What schedulers do. -------------------------------------------------------------------------------------

bool Server::has_candidate() {
    while (!queue_.empty()) {
        const std::uint32_t entry = queue_.front();
        const Returning record = queue_.record(entry);
        if (table_.results.outcome[record.request] == Outcome::unfinished) return true;
        cache.forget(record.kept);
        queue_.pop();
        queue_.remove(entry);
    }
    return false;
}

Candidate Server::candidate() const {
    Candidate found;
    found.record = queue_.record(queue_.front());
    const std::uint32_t request = found.record.request;
    found.prompt = table_.prompt[request];
    found.output = prefill_only_ ? 1 : table_.output[request];
    if (settings.max_model_tokens > 0) {
        found.output = std::min(found.output, settings.max_model_tokens - found.prompt);
    }
    if (cache.keeps_prefixes() && !found.record.prefilled) {
        found.ids = table_.ids_of(request, settings.block_tokens);
        // The last token is computed in any case: its logits are needed.
        const std::int64_t most = (found.tokens() - 1) / settings.block_tokens;
        found.hit = cache.find(found.ids, found.record.kept, found.record.named, most);
        found.cached = found.hit.blocks() * settings.block_tokens;
    }
    return found;
}

Slot Server::admit(const Candidate& candidate) {
    const Returning& record = candidate.record;
    queue_.remove(queue_.front());
    queue_.pop();
    --waiting_;
    const Slot slot = batch.add();
    Sequence& s = batch.at(slot);
    s.request = record.request;
    s.prompt = static_cast<std::int32_t>(candidate.prompt);
    s.output = static_cast<std::int32_t>(candidate.output);
    s.generated = record.generated;
    s.priority = table_.priority_of(record.request);
    s.computed = static_cast<std::int32_t>(candidate.cached);
    s.target = static_cast<std::int32_t>(candidate.tokens());
    const bool first = std::isnan(table_.results.scheduled_s[record.request]);
    s.unseen = std::isnan(table_.results.first_token_s[record.request]);
    if (candidate.hit.blocks() > 0) cache.adopt(candidate.hit, candidate.ids, record.kept, s.held);
    cache.forget(record.kept);
    totals_.cached_tokens += candidate.cached;
    if (first) {
        table_.results.cached[record.request] = static_cast<std::int32_t>(candidate.cached);
    }
    if (record.prefilled) {
        s.held.own = cache.blocks_of(candidate.prompt);
        cache.take(s.held.own);
        s.computed = s.prompt;
        table_.results.scheduled_s[record.request] = now_s_;
        if (batch.drafts()) s.room = static_cast<std::int32_t>(s.held.own);
        batch.start_decoding(slot, wakes_with(s));
    }
    return slot;
}

std::int64_t Server::blocks_for(const Sequence& s, std::int64_t tokens) const {
    return std::max<std::int64_t>(0, cache.blocks_of(s.computed + tokens) - s.held.total());
}

void Server::take_prompt_blocks(Slot slot, std::int64_t tokens) {
    Sequence& s = batch.at(slot);
    const std::int64_t blocks = std::max<std::int64_t>(0, cache.blocks_of(tokens) - s.held.total());
    cache.take(blocks);
    s.held.own += blocks;
}

void Server::add_chunk(StepPlan& plan, Slot slot, std::int64_t tokens) {
    Sequence& s = batch.at(slot);
    take_prompt_blocks(slot, s.computed + tokens);
    double& scheduled_s = table_.results.scheduled_s[s.request];
    if (std::isnan(scheduled_s)) scheduled_s = now_s_;
    plan.sizes.push_back({tokens, s.computed});
    s.computed += static_cast<std::int32_t>(tokens);
    plan.chunks.push_back({slot, s.computed >= s.target});
    totals_.prompt_tokens += tokens;
    if (cache.keeps_prefixes() && settings.engine == SchedulerEngine::vllm) {
        // Later requests of the same step find them.
        cache.publish(table_.ids_of(s.request, settings.block_tokens), s.computed / settings.block_tokens,
                      s.held);
    }
}

std::int64_t Server::withdraw(StepPlan& plan, Slot slot) {
    for (std::size_t i = 0; i < plan.chunks.size(); ++i) {
        if (plan.chunks[i].slot != slot) continue;
        const std::int64_t tokens = plan.sizes[i].tokens;
        batch.at(slot).computed -= static_cast<std::int32_t>(tokens);
        totals_.prompt_tokens -= tokens;
        plan.chunks.erase(plan.chunks.begin() + static_cast<std::ptrdiff_t>(i));
        plan.sizes.erase(plan.sizes.begin() + static_cast<std::ptrdiff_t>(i));
        return tokens;
    }
    return 0;
}

void Server::take_decode_blocks() {
    if (batch.drafts()) {
        for (const Slot slot : batch.decoders()) take_decode_blocks(slot);
    } else {
        cache.take(batch.blocks_needed());
    }
}

void Server::take_decode_blocks(Slot slot) {
    Sequence& s = batch.at(slot);
    const std::int64_t blocks = batch.blocks_needed(s);
    cache.take(blocks);
    if (batch.drafts()) s.room += static_cast<std::int32_t>(blocks);
}

void Server::preempt(Slot slot, bool to_front, std::int64_t kept_tokens) {
    Sequence& s = batch.at(slot);
    Returning record;
    record.request = s.request;
    record.generated = static_cast<std::int32_t>(batch.generated(s));
    free_blocks_of(slot, kept_tokens, true, &record);
    batch.remove(slot);
    ++totals_.preemptions;
    std::uint16_t& count = table_.results.preemptions[record.request];
    if (count < std::numeric_limits<std::uint16_t>::max()) ++count;
    const std::uint32_t entry = queue_.add(record);
    const std::int32_t priority = table_.priority_of(record.request);
    ++waiting_;
    if (to_front) {
        queue_.push_front(entry, priority, record.request);
    } else {
        queue_.push_back(entry, priority, record.request);
    }
}

}  // namespace infercost
