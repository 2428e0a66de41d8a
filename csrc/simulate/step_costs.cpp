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

void check_finite(double value, const char* name) {
    if (!(value >= 0) || !std::isfinite(value)) {
        refuse(name, "is " + std::to_string(value) + "; expected a finite number of at least 0");
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

// Knots with one more, as far from the last as that from the one before.
std::vector<double> with_end(std::vector<double> knots) {
    const std::size_t count = knots.size();
    knots.push_back(knots[count - 1] + (count > 1 ? knots[count - 1] - knots[count - 2] : 1));
    return knots;
}

double going_on(double before, double last) {
    return last + std::max(0.0, last - before);
}

std::vector<double> with_end_of_values(std::vector<double> values) {
    values.push_back(going_on(values[values.size() - 2], values.back()));
    return values;
}

// Values of `rows` x `columns` with a row and a column more. An axis of one knot is constant.
std::vector<double> with_end_of_values(const std::vector<double>& values, std::size_t rows,
                                       std::size_t columns) {
    const std::size_t width = columns + 1;
    std::vector<double> found(width * (rows + 1));
    for (std::size_t r = 0; r < rows; ++r) {
        const double* row = values.data() + r * columns;
        std::copy(row, row + columns, found.data() + r * width);
        found[r * width + columns] = going_on(row[columns > 1 ? columns - 2 : 0], row[columns - 1]);
    }
    double* last = found.data() + rows * width;
    for (std::size_t c = 0; c < columns; ++c) {
        last[c] = going_on(found[(rows > 1 ? rows - 2 : 0) * width + c], found[(rows - 1) * width + c]);
    }
    // Beyond both axes the slope along one must not fall with the other, or it would end below zero.
    const double right = found[(rows - 1) * width + columns];
    const double beyond = going_on(found[(rows > 1 ? rows - 2 : 0) * width + columns], right);
    last[columns] = std::max(beyond, right + last[columns - 1] - found[(rows - 1) * width + columns - 1]);
    return found;
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
        line.intervals = Intervals({0});
        line.segments.push_back({
            {curve.seconds[0], 0},
            {curve.joules[0],  0}
        });
        return line;
    }
    const std::vector<double> knots = with_end(curve.knots);
    const std::vector<double> seconds = with_end_of_values(curve.seconds);
    const std::vector<double> joules = with_end_of_values(curve.joules);
    for (std::size_t i = 0; i < count; ++i) {
        Segment segment;
        line_through(knots[i], seconds[i], knots[i + 1], seconds[i + 1], segment.s);
        line_through(knots[i], joules[i], knots[i + 1], joules[i + 1], segment.j);
        line.segments.push_back(segment);
    }
    line.intervals = Intervals(curve.knots);
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
    const std::vector<double> x = with_end(surface.rows);
    const std::vector<double> y = with_end(surface.columns);
    const std::vector<double> seconds = with_end_of_values(surface.seconds, rows, columns);
    const std::vector<double> joules = with_end_of_values(surface.joules, rows, columns);
    for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t c = 0; c < columns; ++c) {
            Cell cell;
            for (const bool energy : {false, true}) {
                const std::vector<double>& values = energy ? joules : seconds;
                const std::size_t at = r * (columns + 1) + c;
                const double f[2][2] = {
                    {values[at],               values[at + 1]              },
                    {values[at + columns + 1], values[at + 1 + columns + 1]}
                };
                bilinear({x[r], x[r + 1]}, {y[c], y[c + 1]}, f, energy ? cell.j : cell.s);
            }
            grid.cells.push_back(cell);
        }
    }
    grid.rows = Intervals(surface.rows);
    grid.columns = Intervals(surface.columns);
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
    check_finite(tables_.host_step_s, "host_step_s");
    check_finite(tables_.host_sequence_s, "host_sequence_s");
    check_finite(tables_.host_prefill_s, "host_prefill_s");
    check_finite(tables_.idle_w, "idle_w");
}

StepCost StepCosts::decode_base(std::int64_t sequences, std::int64_t tokens_each) const {
    const std::int64_t tokens = sequences * tokens_each;
    StepCost cost = products(tokens) + outputs_.at(static_cast<double>(tokens));
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
                device = device +
                         prefill_.at(static_cast<double>(chunk.tokens), static_cast<double>(chunk.context));
            }
        }
    }
    if (sequences > 0 && !decode_.empty()) {
        const auto n = static_cast<double>(sequences);
        const auto total = static_cast<double>(context);
        const double mean = total / n;
        device = device + decode_.cell(decode_.rows.find(n), decode_.columns.find(mean)).at(n, mean, total);
    }
    const double host =
        tables_.host_step_s +
        tables_.host_sequence_s * static_cast<double>(sequences + static_cast<std::int64_t>(chunks.size())) +
        (chunks.empty() ? 0.0 : tables_.host_prefill_s);
    const double seconds = tables_.overlaps_host ? std::max(device.seconds, host) : device.seconds + host;
    return {seconds, device.joules + tables_.idle_w * (seconds - device.seconds)};
}

StepCost StepCosts::step(const MeanStep& mean) const {
    const bool reads = mean.chunk > 0;
    const double decoded = mean.sequences * mean.tokens_each;
    StepCost device;
    if (reads) {
        device = tokens(decoded + mean.chunk) + prefill_attention(mean.chunk, mean.before);
    } else if (mean.sequences > 0) {
        device = products(static_cast<std::int64_t>(std::ceil(decoded)));
    }
    if (decoded + mean.completed > 0) {
        device = device + outputs(decoded + mean.completed);
        if (mean.tokens_each > 1) device = device + drafts(mean.sequences + mean.completed);
    }
    if (mean.sequences > 0) device = device + decode_attention(mean.sequences, mean.mean_context);
    const double host_s = tables_.host_step_s + tables_.host_sequence_s * (mean.sequences + (reads ? 1 : 0)) +
                          (reads ? tables_.host_prefill_s : 0.0);
    const double seconds = tables_.overlaps_host ? std::max(device.seconds, host_s) : device.seconds + host_s;
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
        const std::size_t column = decode_.columns.find(mean);
        const Cell& cell = decode_.cell(decode_.rows.find(n), column);
        const StepCost attention = cell.at(n, mean, total);
        run.seconds += attention.seconds;
        run.joules += attention.joules;
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
