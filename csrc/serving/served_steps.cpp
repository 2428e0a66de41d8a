#include "serving/served_steps.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

#include "lowering/engines/engine_memory.hpp"
#include "serving/knots.hpp"

namespace infercost {
namespace {

constexpr std::int64_t kLeastContext = 16;  // mean context of a table
constexpr std::size_t kContexts = 44;       // knots of contexts
constexpr std::size_t kContextsBefore = 28;
constexpr std::size_t kSampledKnots = 64;
constexpr std::int64_t kSampledEach = 512;  // numbers of sampled tokens that are all knots at first

// The host launches layers with experts, which no recorded graph runs, from Python, call by call.
struct ExpertLaunches {
    double layer_s = 0;
    std::int64_t recorded = 0;  // tokens of the largest graph
};
// Fitted to times to the first token on H100 that depend on neither prompt nor devices: 172 ms of 94 layers
// of Qwen3-235B-A22B with TensorRT-LLM, 85 to 150 ms of 62 of MiniMax-M2.5 with vLLM; SGLang is assumed to be
// as vLLM.
ExpertLaunches expert_launches(ServingEngine engine) {
    switch (engine) {
        case ServingEngine::vllm:
            return {1.5e-3, 512};
        case ServingEngine::sglang:
            return {1.5e-3, 0};
        case ServingEngine::trtllm:
            return {1.6e-3, 0};
        default:
            return {};
    }
}

// NaN, the mark of an unknown energy, stays.
double larger(double one, double other) {
    return std::isnan(one) || one > other ? one : other;
}

double mean(const Numbers& values) {
    double sum = 0;
    for (const double value : values) sum += value;
    return sum / static_cast<double>(values.size());
}

Numbers reals(const Whole& values) {
    return {values.begin(), values.end()};
}

// Tokens of chunks: whole tiles of queries, on which whole waves of them lie, and usual budgets of steps.
Whole chunk_rows(std::int64_t most) {
    constexpr std::array<std::pair<std::int64_t, std::int64_t>, 4> kSteps = {
        {{64, 1024}, {128, 4096}, {512, 65'536}, {8192, 10'000'000}}
    };
    Whole rows = {1, 16, 32};
    for (const auto& [step, last] : kSteps) {
        const std::int64_t end = std::min(last, most);
        for (std::int64_t at = rows.back() / step * step + step; at <= end; at += step) rows.push_back(at);
    }
    rows.push_back(most);
    return ascending(rows);
}

// What only the tables of a prefill say.
struct Reads {
    Curve tokens;
    Surface attention;
    double fill = 1;
    double host_s = 0;
    double spread = 0;
    double peak_bytes = 0;
};

class Builder {
  public:
    Builder(const ServedModel& model, const StepLimits& limits)
        : model_(model),
          machine_(*model.place.machine),
          limits_(limits),
          steps_(model.decode, machine_),
          reads_(model.prefill, machine_),
          batch_(steps_.size_of(SizeRole::batch)),
          context_(steps_.size_of(SizeRole::context)),
          sequence_(reads_.size_of(SizeRole::sequence)),
          devices_(static_cast<double>(model.devices)),
          ranks_(devices_ / static_cast<double>(steps_.stages())),
          static_w_(machine_.constants.energy.static_w) {
        const auto power = machine_.power_w.find("idle");
        idle_w_ = power == machine_.power_w.end() ? 0.0 : power->second;
        // A graph with windows holds where they are full.
        least_context_ = steps_.least(context_, 1, limits.most_context);
        least_tokens_ = reads_.least(sequence_, 2, limits.tokens);
        // Their errors say what to capture.
        steps_at(0, {1}, {least_context_});
        reads_at(0, {least_tokens_});
    }

    ServedSteps build();

  private:
    struct Line {
        Numbers seconds;
        Numbers joules;
    };

    PhaseColumns steps_at(std::size_t variant, const Whole& sequences, const Whole& contexts) const;
    PhaseColumns reads_at(std::size_t variant, const Whole& tokens) const;
    void put_in_stages(PhaseColumns& found, const Whole& rounds, const Numbers& total_s) const;
    void follow(PhaseColumns& found) const;

    double joules(const PhaseColumns& found, StepPart part, std::size_t at) const {
        const PartColumns& of_part = found.of(part);
        return ranks_ * of_part.joules[at] + devices_ * static_w_ * of_part.seconds[at];
    }
    Line line_of(const PhaseColumns& found, StepPart part) const;
    Curve chosen(const Numbers& at, const Line& line) const;

    Whole contexts() const;
    void decode(ServedSteps& made);
    Curve outputs(const Whole& sequences, const PhaseColumns& column);
    Reads read(const Curve& recorded, const Curve& outputs);
    Surface chunk_attention(const Whole& rows);
    double launched(std::int64_t tokens, double seconds) const;
    void hold(ServedSteps& made, const Reads& reads);

    const ServedModel& model_;
    const Hardware& machine_;
    const StepLimits& limits_;
    PhaseEvaluator steps_;
    PhaseEvaluator reads_;
    std::string batch_, context_, sequence_;
    double devices_;  // of a copy
    double ranks_;    // of a stage of a copy
    double idle_w_ = 0;
    double static_w_;    // of a device; NaN if its energy is unknown
    double host_s_ = 0;  // of a step of one sequence
    std::int64_t least_context_ = 1;
    std::int64_t least_tokens_ = 2;
};

// ---- decode ----

// The parts of decode steps; of a pipeline those of all micro-batches, in one round.
PhaseColumns Builder::steps_at(std::size_t variant, const Whole& sequences, const Whole& contexts) const {
    const std::int64_t stages = steps_.stages();
    if (stages == 1) {
        PhaseColumns found = steps_.evaluate(variant, {
                                                          {batch_,   sequences},
                                                          {context_, contexts }
        });
        return found;
    }
    const std::int64_t parts = model_.micro_batches > 0 ? model_.micro_batches : stages;
    Whole of_part, rounds;
    for (const std::int64_t share : sequences) {
        const std::int64_t several = std::min(parts, std::max<std::int64_t>(share, 1));
        of_part.push_back((share + several - 1) / several);
        rounds.push_back((share + of_part.back() - 1) / of_part.back());
    }
    PhaseColumns found = steps_.evaluate(variant, {
                                                      {batch_,   of_part },
                                                      {context_, contexts}
    });
    Numbers total_s;
    for (std::size_t i = 0; i < found.points(); ++i) {
        // A token waits for the one before it: for all stages, or for all micro-batches in the slowest one.
        total_s.push_back(std::max(found.device_s(i) + found.host_s[i],
                                   static_cast<double>(rounds[i]) * found.slowest_s[i]));
    }
    put_in_stages(found, rounds, total_s);
    return found;
}

// Scales the parts of a step of a pipeline to the seconds of the step with its host, which is counted once,
// in the proportions that they have in all stages. `found` has sums over stages, for one micro-batch.
void Builder::put_in_stages(PhaseColumns& found, const Whole& rounds, const Numbers& total_s) const {
    const auto stages = static_cast<double>(steps_.stages());
    for (std::size_t i = 0; i < found.points(); ++i) {
        const double factor = std::max(0.0, total_s[i] - found.host_s[i]) / found.device_s(i);
        const auto micro_batches = static_cast<double>(rounds[i]);
        for (PartColumns& part : found.parts) {
            // Devices draw static power while they work, and idle power while they wait for other stages.
            const double working_s = micro_batches * part.seconds[i];
            part.seconds[i] *= factor;
            part.spread[i] *= factor;
            const double waiting_j = (idle_w_ - static_w_) * (stages * part.seconds[i] - working_s);
            part.joules[i] = micro_batches * part.joules[i] + waiting_j;
        }
        found.attention_start_s[i] *= factor;
        found.wait_s[i] *= factor;
        // The host of the last stage works for each micro-batch, and one of them is counted with the step.
        found.of(StepPart::tokens).joules[i] += (micro_batches - 1) * found.host_s[i] * (static_w_ - idle_w_);
    }
}

// Knots of the mean context before a step, with both sides of each window.
Whole Builder::contexts() const {
    Whole each = geometric(kLeastContext, limits_.most_context, kContexts);
    each.push_back(least_context_);
    const Sizes sizes = steps_.all_sizes({});
    for (const Holdings& stage : model_.decode.stages) {
        for (const Cache& cache : stage.caches) {
            if (cache.kind != CacheKind::sliding) continue;
            const std::int64_t window = cache.positions.evaluate(sizes);
            each.push_back(window - 1);
            each.push_back(window);
        }
    }
    for (std::int64_t& at : each) at = std::max(at, least_context_);
    return ascending(each);
}

Builder::Line Builder::line_of(const PhaseColumns& found, StepPart part) const {
    Line line{found.of(part).seconds, Numbers(found.points())};
    for (std::size_t i = 0; i < found.points(); ++i) line.joules[i] = joules(found, part, i);
    return line;
}

Curve Builder::chosen(const Numbers& at, const Line& line) const {
    std::vector<std::span<const double>> tables = {line.seconds};
    if (std::all_of(line.joules.begin(), line.joules.end(), [](double j) { return std::isfinite(j); })) {
        tables.push_back(line.joules);
    }
    Curve made;
    for (const std::size_t place : chosen_knots(at, tables, limits_.tolerance)) {
        made.knots.push_back(at[place]);
        made.seconds.push_back(line.seconds[place]);
        made.joules.push_back(line.joules[place]);
    }
    return made;
}

// One column of a grid with `columns` of them.
PhaseColumns column_of(const PhaseColumns& grid, std::size_t columns, std::size_t at) {
    const auto taken = [&](const Numbers& values) {
        Numbers made;
        for (std::size_t i = at; i < values.size(); i += columns) made.push_back(values[i]);
        return made;
    };
    PhaseColumns made;
    for (std::size_t part = 0; part < kStepParts; ++part) {
        const PartColumns& of = grid.parts[part];
        made.parts[part] = {taken(of.seconds), taken(of.spread), taken(of.joules)};
    }
    made.attention_start_s = taken(grid.attention_start_s);
    made.wait_s = taken(grid.wait_s);
    made.host_s = taken(grid.host_s);
    return made;
}

void Builder::decode(ServedSteps& made) {
    const Whole sequences = count_from(1, limits_.sequences);
    const Whole kept = contexts();
    const std::size_t columns = kept.size();
    Whole batches, befores;
    for (const std::int64_t each : sequences) {
        batches.insert(batches.end(), columns, each);
        befores.insert(befores.end(), kept.begin(), kept.end());
    }
    PhaseColumns found = steps_at(0, batches, befores);
    const auto first_beyond =
        std::lower_bound(kept.begin(), kept.end(), std::min(limits_.context, kept.back())) - kept.begin();
    const bool in_stages = made.stages > 1;
    PhaseColumns column = column_of(found, columns, in_stages ? 0 : static_cast<std::size_t>(first_beyond));

    Surface& surface = made.tables.decode_attention;
    surface.rows = reals(sequences);
    surface.columns.push_back(1.0);
    for (const std::int64_t context : kept) surface.columns.push_back(static_cast<double>(context) + 1);
    // Below the first knot, time beside launches is proportional to the context, which has the step's token.
    const double beside = 1 / (static_cast<double>(kept[0]) + 1);
    for (std::size_t row = 0; row < sequences.size(); ++row) {
        Numbers seconds(columns), joule(columns);
        for (std::size_t at = 0; at < columns; ++at) {
            const std::size_t i = row * columns + at;
            seconds[at] = found.of(StepPart::attention).seconds[i];
            joule[at] = joules(found, StepPart::attention, i);
            if (!in_stages) continue;
            // Another stage may be the slowest one at another context: all that changes with it counts as
            // attention.
            const double rest_s = found.device_s(i) - seconds[at];
            seconds[at] += rest_s - (column.device_s(row) - column.of(StepPart::attention).seconds[row]);
            seconds[at] = std::max(0.0, seconds[at]);
            for (const StepPart part : {StepPart::tokens, StepPart::outputs, StepPart::drafts}) {
                joule[at] += joules(found, part, i) - joules(column, part, row);
            }
            joule[at] = at_least(0.0, joule[at]);
        }
        const double start_s = found.attention_start_s[row * columns];
        const double first_s = start_s + (seconds[0] - start_s) * beside;
        surface.seconds.push_back(first_s);
        surface.joules.push_back(joule[0] * first_s / std::max(seconds[0], 1e-30));
        surface.seconds.insert(surface.seconds.end(), seconds.begin(), seconds.end());
        surface.joules.insert(surface.joules.end(), joule.begin(), joule.end());
    }

    for (std::size_t row = 0; row < sequences.size(); ++row) {
        column.of(StepPart::tokens).seconds[row] += column.wait_s[row];
    }
    const Line tokens = line_of(column, StepPart::tokens);
    Numbers of_step;
    for (const std::int64_t each : sequences) {
        of_step.push_back(static_cast<double>(each * (model_.settings.draft_tokens + 1)));
    }
    made.tables.graphs = stairs(of_step, tokens.seconds, tokens.joules);
    if (model_.settings.draft_tokens > 0) {
        made.tables.drafts = chosen(reals(sequences), line_of(column, StepPart::drafts));
    }
    host_s_ = found.host_s[0];
    const double more_s = found.host_s[(sequences.size() - 1) * columns] - host_s_;
    made.tables.host_sequence_s =
        more_s / static_cast<double>(std::max<std::int64_t>(1, limits_.sequences - 1));
    made.tables.host_step_s = host_s_ - made.tables.host_sequence_s;
    Numbers bands;
    for (std::size_t i = 0; i < found.points(); ++i) {
        bands.push_back(found.band_s(i, machine_.spread) / found.device_s(i));
    }
    made.spread = mean(bands);
    // The host of one stage works for all.
    made.tables.idle_w = ranks_ * (static_w_ + static_cast<double>(made.stages - 1) * idle_w_);
    made.tables.outputs = outputs(sequences, column);
}

// Head and sampling over sampled tokens, of which a step without drafts has one of each sequence.
Curve Builder::outputs(const Whole& sequences, const PhaseColumns& column) {
    if (model_.settings.draft_tokens == 0) {
        return chosen(reals(sequences), line_of(column, StepPart::outputs));
    }
    const std::int64_t most = limits_.sequences * (model_.settings.draft_tokens + 1);
    Whole sampled = count_from(1, std::min(most, kSampledEach));
    const Whole more = geometric(1, most, kSampledKnots);
    sampled.insert(sampled.end(), more.begin(), more.end());
    sampled = ascending(sampled);
    const Whole context(sampled.size(), std::min(limits_.context, limits_.most_context));
    return chosen(reals(sampled), line_of(steps_at(1, sampled, context), StepPart::outputs));
}

// ---- prefill ----

PhaseColumns Builder::reads_at(std::size_t variant, const Whole& tokens) const {
    SizeValues sizes = {
        {sequence_, tokens}
    };
    if (const auto batch = reads_.graph().size_of_role(SizeRole::batch)) {
        sizes.emplace_back(*batch, Whole(tokens.size(), 1));
    }
    return reads_.evaluate(variant, std::move(sizes));
}

// Leaves the parts of a chunk that follows others in a pipeline: those of the slowest stage.
void Builder::follow(PhaseColumns& found) const {
    if (reads_.stages() > 1) put_in_stages(found, Whole(found.points(), 1), Numbers(found.slowest_s));
}

double Builder::launched(std::int64_t tokens, double seconds) const {
    const ExpertLaunches launches = expert_launches(model_.place.engine);
    const Whole& given = model_.settings.graph_sizes;
    const std::int64_t largest =
        given.empty() ? launches.recorded : *std::max_element(given.begin(), given.end());
    if (tokens <= largest) return seconds;
    const auto layers = static_cast<double>(model_.expert_layers);
    return std::max(seconds, launches.layer_s * layers / static_cast<double>(reads_.stages()));
}

Reads Builder::read(const Curve& recorded, const Curve& outputs) {
    const Whole tokens = count_from(least_tokens_, limits_.tokens);
    PhaseColumns found = reads_at(0, tokens);
    Reads made;
    if (reads_.stages() > 1) {
        Numbers fills;
        for (std::size_t i = 0; i < tokens.size(); ++i) {
            fills.push_back((found.device_s(i) + found.host_s[i]) / found.slowest_s[i]);
        }
        made.fill = mean(fills);
    }
    follow(found);
    made.host_s = found.host_s[0];
    made.peak_bytes = found.peak_memory_bytes.back();
    Numbers bands;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        bands.push_back(found.band_s(i, machine_.spread) / found.device_s(i));
    }
    made.spread = mean(bands);
    // Fewer tokens than the graph holds for cost what they do in a step that decodes them, with the launches
    // of attention; the last of those is followed by a line.
    const double first_start_s = found.attention_start_s[0];
    Numbers at;
    Line line;
    const std::int64_t few = std::min(least_tokens_, static_cast<std::int64_t>(recorded.knots.back()) + 1);
    for (std::int64_t n = 1; n < few; ++n) {
        const StepCost cost = next_of(recorded, static_cast<double>(n));
        at.push_back(static_cast<double>(n));
        line.seconds.push_back(cost.seconds + first_start_s);
        line.joules.push_back(cost.joules + first_start_s * devices_ * static_w_);
    }
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        double& seconds = found.of(StepPart::tokens).seconds[i];
        seconds = launched(tokens[i], seconds + found.wait_s[i] + found.attention_start_s[i]);
        if (reads_.stages() > 1) {  // one token is sampled, at what that adds to a step
            seconds = std::max(0.0, seconds + (found.of(StepPart::outputs).seconds[i] - outputs.seconds[0]));
        }
        at.push_back(static_cast<double>(tokens[i]));
        line.seconds.push_back(seconds);
        line.joules.push_back(joules(found, StepPart::tokens, i));
    }
    made.tokens = chosen(at, line);
    made.attention = chunk_attention(chunk_rows(limits_.tokens));
    return made;
}

// Attention over tokens of a chunk and the context before it. Chunks are timed behind contexts in some ratios
// to their length, and lines lie between them: time grows with the context linearly, but for whole blocks of
// keys.
Surface Builder::chunk_attention(const Whole& rows) {
    struct Timed {
        Numbers before, seconds, joules;
    };
    std::vector<Timed> timed(rows.size());
    for (std::size_t share = 0; share < kCachedShares.size(); ++share) {
        const std::int64_t cached = kCachedShares[share];
        Whole prompts;
        std::vector<bool> kept;
        for (const std::int64_t row : rows) {
            const std::int64_t rest = kThousandths - cached;
            const std::int64_t prompt = std::max(least_tokens_, (row * kThousandths + rest - 1) / rest);
            // Contexts far beyond those of the table are left out.
            kept.push_back(share < 2 || prompt - row <= 2 * limits_.most_context);
            prompts.push_back(kept.back() ? prompt : std::max(least_tokens_, row));
        }
        PhaseColumns found = reads_at(share, prompts);
        follow(found);
        for (std::size_t i = 0; i < rows.size(); ++i) {
            if (!kept[i]) continue;
            double& seconds = found.of(StepPart::attention).seconds[i];
            seconds = std::max(0.0, seconds - found.attention_start_s[i]);
            // A chunk that the graph does not hold for has its share of the pairs of queries and keys.
            const std::int64_t before = prompts[i] * cached / kThousandths;
            const auto of_chunk = static_cast<double>(prompts[i] - before);
            const double wanted = std::min(static_cast<double>(rows[i]), of_chunk);
            const auto context = static_cast<double>(before);
            const double pairs = (wanted * (context + wanted / 2)) / (of_chunk * (context + of_chunk / 2));
            timed[i].before.push_back(context);
            timed[i].seconds.push_back(pairs * seconds);
            timed[i].joules.push_back(pairs * joules(found, StepPart::attention, i));
        }
    }
    Whole befores = geometric(kLeastContext, limits_.most_context, kContextsBefore);
    befores.push_back(0);
    Surface made{reals(rows), reals(ascending(befores)), {}, {}};
    for (const Timed& row : timed) {
        for (const double at : made.columns) {
            made.seconds.push_back(extended(at, row.before, row.seconds));
            made.joules.push_back(extended(at, row.before, row.joules));
        }
    }
    // Larger chunks and contexts follow the last cell, whose slopes must not fall: rounds of tiles do not
    // count.
    const std::size_t columns = made.columns.size();
    const std::size_t end = made.seconds.size();
    for (Numbers* const table : {&made.seconds, &made.joules}) {
        Numbers& values = *table;
        for (std::size_t i = end - columns; i < end; ++i) values[i] = larger(values[i], values[i - columns]);
        const double along = values[end - 2] + values[end - columns - 1] - values[end - columns - 2];
        values[end - 1] = larger(values[end - 1], along);
    }
    return made;
}

// ---- memory ----

void Builder::hold(ServedSteps& made, const Reads& reads) {
    const Sizes sizes = steps_.all_sizes({
        {batch_,   1              },
        {context_, limits_.context}
    });
    SizeValues point;
    for (const auto& [name, value] : sizes) point.emplace_back(name, Whole{value});
    const double peak = steps_.evaluate(0, std::move(point)).peak_memory_bytes[0];
    Sizes of_prompt = {
        {sequence_, limits_.tokens}
    };
    if (const auto batch = reads_.graph().size_of_role(SizeRole::batch)) of_prompt.emplace(*batch, 1);
    const auto reading =
        fullest_memory(model_.place, model_.prefill.stages, reads_.all_sizes(of_prompt), reads.peak_bytes);
    PromptMemory prompt;
    if (reading) prompt = {static_cast<double>(reading->activation_bytes), 1};
    const auto found =
        fullest_memory(model_.place, model_.decode.stages, sizes, peak, reading ? &prompt : nullptr);
    if (!found) {
        throw std::invalid_argument("the decode step has no cache; expected a language model that generates");
    }
    made.memory = *found;
    made.block_tokens = cache_block_tokens(model_.place.engine, machine_.kind == MachineKind::gpu);
    std::int64_t most = 0;
    for (const Holdings& stage : model_.decode.stages) {
        most = std::max(most, paged_bytes(stage, made.block_tokens, sizes));
    }
    const std::int64_t pages = (limits_.context + made.block_tokens) / made.block_tokens;  // of context + 1
    made.kv_bytes_per_token = static_cast<double>(most) / static_cast<double>(pages * made.block_tokens);
    made.step_tokens =
        engine_step_tokens(model_.place.engine, machine_.dram().capacity_bytes, is_a100(machine_));
}

ServedSteps Builder::build() {
    ServedSteps made;
    made.stages = steps_.stages();
    decode(made);
    Reads reads = read(made.tables.graphs, made.tables.outputs);
    hold(made, reads);
    made.tables.tokens = std::move(reads.tokens);
    made.tables.prefill_attention = std::move(reads.attention);
    made.tables.host_prefill_s = std::max(0.0, reads.host_s - host_s_);
    made.tables.overlaps_host = model_.settings.hides_host;
    made.prefill_fill = reads.fill;
    made.prefill_spread = reads.spread;
    return made;
}

void check(const ServedModel& model, const StepLimits& limits) {
    const std::size_t decode_plans = model.settings.draft_tokens > 0 ? 2 : 1;
    for (const auto& [phase, plans] :
         {std::pair(&model.decode, decode_plans), std::pair(&model.prefill, kCachedShares.size())}) {
        bool complete = phase->graph && !phase->kinds.empty() && !phase->stages.empty();
        for (const StageKind& kind : phase->kinds) complete &= kind.count > 0 && kind.plans.size() == plans;
        if (!complete) {
            throw std::invalid_argument(
                "a phase of a served model lacks its graph, a stage or a plan; pass " +
                std::to_string(plans) + " plans of each kind of stage");
        }
    }
    constexpr std::int64_t kMost = 10'000'000;
    constexpr std::int64_t kMostSequences = 1'000'000;
    for (const auto& [value, name, least, most] :
         {std::tuple(limits.context, "context", std::int64_t{2}, kMost),
          std::tuple(limits.sequences, "most_sequences", std::int64_t{1}, kMostSequences),
          std::tuple(limits.tokens, "most_tokens", std::int64_t{2}, kMost),
          std::tuple(limits.most_context, "most_context", std::int64_t{2}, kMost)}) {
        if (value >= least && value <= most) continue;
        throw std::invalid_argument(std::string(name) + " is " + std::to_string(value) +
                                    "; expected a whole number from " + std::to_string(least) + " to " +
                                    std::to_string(most));
    }
    if (!(limits.tolerance >= 0 && limits.tolerance <= 0.1)) {
        throw std::invalid_argument("tolerance is " + std::to_string(limits.tolerance) +
                                    "; expected a number from 0 to 0.1");
    }
}

}  // namespace

ServedSteps served_steps(const ServedModel& model, const StepLimits& limits) {
    check(model, limits);
    return Builder(model, limits).build();
}

std::int64_t expert_layers(const Graph& graph) {
    std::int64_t products = 0;
    for (const Node& node : graph.nodes()) {
        if (graph.ops()[node.op].name.find("grouped") != std::string::npos) ++products;
    }
    return products / 2;
}

}  // namespace infercost
