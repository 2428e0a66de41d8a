#include "simulate/step_costs.hpp"

#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

namespace infercost {
namespace {

constexpr double kMostSteps = 1e15;  // of a run without an end

[[noreturn]] void refuse(const std::string& name, const std::string& problem) {
    throw std::invalid_argument("step costs: " + name + " " + problem);
}

void check_knots(const std::vector<double>& knots, const std::string& name, double first) {
    if (knots.empty()) refuse(name, "has no knots; expected at least one");
    if (!(knots[0] <= first)) {
        refuse(name, "begins at " + std::to_string(knots[0]) + "; expected a first knot of at most " +
                         std::to_string(static_cast<int>(first)) + ", so that no step is smaller");
    }
    for (std::size_t i = 0; i < knots.size(); ++i) {
        if (!(knots[i] >= 0) || !std::isfinite(knots[i]) || (i > 0 && !(knots[i] > knots[i - 1]))) {
            refuse(name, "has the knot " + std::to_string(knots[i]) + " at index " + std::to_string(i) +
                             "; expected finite knots from 0 on that ascend");
        }
    }
}

void check_values(const std::vector<double>& values, std::size_t expected, const std::string& name) {
    if (values.size() != expected) {
        refuse(name, "has " + std::to_string(values.size()) + " values; expected " +
                         std::to_string(expected) + ", one for each knot");
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (!(values[i] >= 0) || !std::isfinite(values[i])) {
            refuse(name, "has the value " + std::to_string(values[i]) + " at index " + std::to_string(i) +
                             "; expected a finite number of at least 0");
        }
    }
}

void check_number(double value, const char* name) {
    if (!(value >= 0) || !std::isfinite(value)) {
        refuse(name, "is " + std::to_string(value) + "; expected a finite number of at least 0");
    }
}

void check_not_falling(double before, double last, const std::string& name) {
    if (last < before) {
        refuse(name, "falls from " + std::to_string(before) + " to " + std::to_string(last) +
                         " in its last interval, from which larger steps are extrapolated; leave out the "
                         "last knot, or smooth the values");
    }
}

void line_through(double x0, double y0, double x1, double y1, double (&line)[2]) {
    line[1] = (y1 - y0) / (x1 - x0);
    line[0] = y0 - line[1] * x0;
}

// The plane through four corners: a + b x + c y + d x y.
void bilinear(const double (&x)[2], const double (&y)[2], const double (&f)[2][2], double (&cell)[4]) {
    const double wide = x[1] - x[0];
    const double high = y[1] - y[0];
    const double d = (f[1][1] - f[1][0] - f[0][1] + f[0][0]) / (wide * high);
    const double b = (f[1][0] - f[0][0]) / wide - d * y[0];
    const double c = (f[0][1] - f[0][0]) / high - d * x[0];
    cell[0] = f[0][0] - b * x[0] - c * y[0] - d * x[0] * y[0];
    cell[1] = b;
    cell[2] = c;
    cell[3] = d;
}

StepCost operator+(StepCost a, StepCost b) {
    return {a.seconds + b.seconds, a.joules + b.joules};
}

}  // namespace

StepCosts::Line StepCosts::line_of(const Curve& curve, const char* name) {
    Line line;
    const std::size_t count = curve.knots.size();
    if (count == 0 && curve.seconds.empty() && curve.joules.empty()) return line;
    check_knots(curve.knots, name, 1);
    check_values(curve.seconds, count, std::string(name) + " seconds");
    check_values(curve.joules, count, std::string(name) + " joules");
    if (count == 1) {
        line.segments.push_back({
            0, {curve.seconds[0], 0},
             {curve.joules[0],  0}
        });
        return line;
    }
    for (std::size_t i = 0; i + 1 < count; ++i) {
        Segment segment;
        segment.from = curve.knots[i];
        line_through(curve.knots[i], curve.seconds[i], curve.knots[i + 1], curve.seconds[i + 1], segment.s);
        line_through(curve.knots[i], curve.joules[i], curve.knots[i + 1], curve.joules[i + 1], segment.j);
        line.segments.push_back(segment);
    }
    check_not_falling(curve.seconds[count - 2], curve.seconds[count - 1], std::string(name) + " seconds");
    check_not_falling(curve.joules[count - 2], curve.joules[count - 1], std::string(name) + " joules");
    return line;
}

StepCosts::Grid StepCosts::grid_of(const Surface& surface, const char* name, double first_column) {
    Grid grid;
    const std::size_t rows = surface.rows.size();
    const std::size_t columns = surface.columns.size();
    if (rows == 0 && columns == 0 && surface.seconds.empty() && surface.joules.empty()) return grid;
    check_knots(surface.rows, std::string(name) + " rows", 1);
    check_knots(surface.columns, std::string(name) + " columns", first_column);
    check_values(surface.seconds, rows * columns, std::string(name) + " seconds");
    check_values(surface.joules, rows * columns, std::string(name) + " joules");
    // An axis of one knot is constant: a second one, anywhere, has the same values.
    const std::size_t cells_down = std::max<std::size_t>(1, rows - 1);
    const std::size_t cells_across = std::max<std::size_t>(1, columns - 1);
    for (std::size_t r = 0; r < cells_down; ++r) {
        grid.rows.push_back(surface.rows[r]);
        for (std::size_t c = 0; c < cells_across; ++c) {
            if (r == 0) grid.columns.push_back(surface.columns[c]);
            const std::size_t below = std::min(r + 1, rows - 1);
            const std::size_t right = std::min(c + 1, columns - 1);
            const double x[2] = {surface.rows[r], rows > 1 ? surface.rows[r + 1] : surface.rows[r] + 1};
            const double y[2] = {surface.columns[c],
                                 columns > 1 ? surface.columns[c + 1] : surface.columns[c] + 1};
            Cell cell;
            for (const bool energy : {false, true}) {
                const std::vector<double>& values = energy ? surface.joules : surface.seconds;
                const double f[2][2] = {
                    {values[r * columns + c],     values[r * columns + right]    },
                    {values[below * columns + c], values[below * columns + right]}
                };
                bilinear(x, y, f, energy ? cell.j : cell.s);
                const std::string what = std::string(name) + (energy ? " joules" : " seconds");
                if (r + 1 == cells_down) check_not_falling(f[0][0], f[1][0], what);
                if (r + 1 == cells_down) check_not_falling(f[0][1], f[1][1], what);
                if (c + 1 == cells_across) check_not_falling(f[0][0], f[0][1], what);
                if (c + 1 == cells_across) check_not_falling(f[1][0], f[1][1], what);
                // Beyond both axes the slope along one must not fall with the other.
                const double twist = f[1][1] - f[1][0] - f[0][1] + f[0][0];
                if (r + 1 == cells_down && c + 1 == cells_across && twist < -1e-12 * f[1][1]) {
                    refuse(what,
                           "grows more slowly along one axis as the other grows, in its last cell, "
                           "from which larger steps are extrapolated; smooth the values");
                }
            }
            grid.cells.push_back(cell);
        }
    }
    return grid;
}

StepCosts::StepCosts(StepTables tables) : tables_(std::move(tables)) {
    tokens_ = line_of(tables_.tokens, "tokens");
    outputs_ = line_of(tables_.outputs, "outputs");
    drafts_ = line_of(tables_.drafts, "drafts");
    decode_ = grid_of(tables_.decode_attention, "decode attention", 1);
    prefill_ = grid_of(tables_.prefill_attention, "prefill attention", 0);
    const Curve& graphs = tables_.graphs;
    if (!graphs.knots.empty() || !graphs.seconds.empty() || !graphs.joules.empty()) {
        check_knots(graphs.knots, "graphs", graphs.knots.empty() ? 1 : std::max(1.0, graphs.knots[0]));
        check_values(graphs.seconds, graphs.knots.size(), "graphs seconds");
        check_values(graphs.joules, graphs.knots.size(), "graphs joules");
        constexpr double kLargestGraph = 1 << 20;
        for (const double knot : graphs.knots) {
            if (knot < 1 || knot > kLargestGraph || knot != std::floor(knot)) {
                refuse("graphs", "has a size of " + std::to_string(knot) +
                                     " tokens; expected whole numbers from 1 to 1048576");
            }
        }
        // One entry for each number of tokens up to the largest size.
        std::size_t next = 0;
        for (std::int64_t n = 0; n <= static_cast<std::int64_t>(graphs.knots.back()); ++n) {
            if (static_cast<double>(n) > graphs.knots[next]) ++next;
            recorded_.push_back({
                static_cast<std::int64_t>(graphs.knots[next]), {graphs.seconds[next], graphs.joules[next]}
            });
        }
    }
    check_number(tables_.host_step_s, "host_step_s");
    check_number(tables_.host_sequence_s, "host_sequence_s");
    check_number(tables_.host_prefill_s, "host_prefill_s");
    check_number(tables_.idle_w, "idle_w");
}

StepCost StepCosts::decode_base(std::int64_t sequences, std::int64_t tokens_each) const {
    const std::int64_t tokens = sequences * tokens_each;
    StepCost cost = tokens < static_cast<std::int64_t>(recorded_.size())
                        ? recorded_[static_cast<std::size_t>(tokens)].cost
                        : tokens_.at(static_cast<double>(tokens));
    cost = cost + outputs_.at(static_cast<double>(tokens));
    if (tokens_each > 1) cost = cost + drafts_.at(static_cast<double>(sequences));
    return cost;
}

StepCost StepCosts::step(std::int64_t sequences, std::int64_t tokens_each, std::int64_t context,
                         std::span<const Chunk> chunks, std::int64_t completed) const {
    StepCost device;
    if (chunks.empty()) {
        device = decode_base(sequences, tokens_each);
    } else {
        std::int64_t tokens = sequences * tokens_each;
        for (const Chunk& chunk : chunks) tokens += chunk.tokens;
        const std::int64_t outputs = sequences * tokens_each + completed;
        device = tokens_.at(static_cast<double>(tokens));
        if (outputs > 0) device = device + outputs_.at(static_cast<double>(outputs));
        if (tokens_each > 1 && sequences + completed > 0) {
            device = device + drafts_.at(static_cast<double>(sequences + completed));
        }
        if (!prefill_.empty()) {
            for (const Chunk& chunk : chunks) {
                const auto x = static_cast<double>(chunk.tokens);
                const auto y = static_cast<double>(chunk.context);
                const Cell& cell = prefill_.cell(prefill_.row(x), prefill_.column(y));
                device.seconds += cell.s[0] + cell.s[1] * x + cell.s[2] * y + cell.s[3] * x * y;
                device.joules += cell.j[0] + cell.j[1] * x + cell.j[2] * y + cell.j[3] * x * y;
            }
        }
    }
    if (sequences > 0 && !decode_.empty()) {
        const auto n = static_cast<double>(sequences);
        const auto total = static_cast<double>(context);
        const double mean = total / n;
        const Cell& cell = decode_.cell(decode_.row(n), decode_.column(mean));
        device.seconds += cell.s[0] + cell.s[1] * n + cell.s[2] * mean + cell.s[3] * total;
        device.joules += cell.j[0] + cell.j[1] * n + cell.j[2] * mean + cell.j[3] * total;
    }
    const double host =
        tables_.host_step_s +
        tables_.host_sequence_s * static_cast<double>(sequences + static_cast<std::int64_t>(chunks.size())) +
        (chunks.empty() ? 0.0 : tables_.host_prefill_s);
    const double seconds = tables_.overlaps_host ? std::max(device.seconds, host) : device.seconds + host;
    return {seconds, device.joules + tables_.idle_w * (seconds - device.seconds)};
}

DecodeRun StepCosts::decode_run(std::int64_t sequences, std::int64_t tokens_each,
                                std::int64_t context) const {
    const StepCost base = decode_base(sequences, tokens_each);
    DecodeRun run{base.seconds, 0, base.joules, 0, static_cast<std::int64_t>(kMostSteps)};
    if (!decode_.empty()) {
        const auto n = static_cast<double>(sequences);
        const auto total = static_cast<double>(context);
        const double mean = total / n;
        const std::size_t column = decode_.column(mean);
        const Cell& cell = decode_.cell(decode_.row(n), column);
        run.seconds += cell.s[0] + cell.s[1] * n + cell.s[2] * mean + cell.s[3] * total;
        run.joules += cell.j[0] + cell.j[1] * n + cell.j[2] * mean + cell.j[3] * total;
        // The mean context grows by one a step, and the total by n.
        run.slope_s = cell.s[2] + cell.s[3] * n;
        run.slope_j = cell.j[2] + cell.j[3] * n;
        if (column + 1 < decode_.columns.size()) {
            run.steps = std::max<std::int64_t>(
                1, static_cast<std::int64_t>(std::floor(decode_.columns[column + 1] - mean)) + 1);
        }
    }
    const double host = tables_.host_step_s + tables_.host_sequence_s * static_cast<double>(sequences);
    if (!tables_.overlaps_host) {
        run.seconds += host;
        run.joules += tables_.idle_w * host;
        return run;
    }
    if (run.slope_s != 0) {
        // The longer of both may change: the run ends before that.
        const double crossing = (host - run.seconds) / run.slope_s;
        if (crossing > 0 && crossing < static_cast<double>(run.steps)) {
            run.steps = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(crossing)));
        }
    }
    if (run.seconds < host) {
        run.joules += tables_.idle_w * (host - run.seconds);
        run.slope_j -= tables_.idle_w * run.slope_s;
        run.seconds = host;
        run.slope_s = 0;
    }
    return run;
}

}  // namespace infercost
