// What one step of a serving engine costs, from tables.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "simulate/intervals.hpp"

namespace infercost {

// Seconds and joules at ascending knots, linear between them. Beyond the last knot the last interval goes on,
// or its last value if the interval falls; with one knot the value is constant.
struct Curve {
    std::vector<double> knots;
    std::vector<double> seconds;
    std::vector<double> joules;
};

// Seconds and joules over two axes, bilinear between knots: row-major, `rows` x `columns`. Beyond the last
// knots values go on as in a curve, and never fall along an axis.
struct Surface {
    std::vector<double> rows;
    std::vector<double> columns;
    std::vector<double> seconds;
    std::vector<double> joules;
};

// The tables of StepCosts; see there for how they add up. An empty curve or surface costs nothing.
struct StepTables {
    Curve tokens;   // over tokens of a step that runs eagerly, or with prefill
    Curve graphs;   // over recorded sizes, for steps of decoding alone; looked up, not interpolated
    Curve outputs;  // over tokens that are sampled
    Surface decode_attention;   // decoding sequences x their mean context
    Surface prefill_attention;  // tokens of a chunk x context before it
    Curve drafts;               // over sequences that draft
    double host_step_s = 0;
    double host_sequence_s = 0;
    double host_prefill_s = 0;  // more in a step with prefill
    bool overlaps_host = false;
    double idle_w = 0;  // power while the device waits for the host
};

struct StepCost {
    double seconds = 0;
    double joules = 0;
};

// Part of a prompt that a step computes.
struct Chunk {
    std::int64_t tokens = 0;
    std::int64_t context = 0;  // tokens of the sequence before it, computed or cached
};

// Steps of decoding alone: step i = 0 ... steps - 1 takes seconds + i * slope_s. Each adds a token to the
// context of every sequence.
struct DecodeRun {
    double seconds = 0;
    double slope_s = 0;
    double joules = 0;
    double slope_j = 0;
    std::int64_t steps = 1;
};

// The costs of steps of one engine on one device or group of devices.
//
// A step with n decoding sequences of context C in total, which process w tokens each (1 + drafts), and
// chunks of prompts: T = n * w + tokens of the chunks, O = n * w + completed prompts.
//   device = tokens(T) + outputs(O) + decode_attention(n, C / n) + sum of prefill_attention(chunk)
//            + drafts(n + completed prompts, if w > 1)
// Without chunks and with T <= the largest recorded size, graphs(smallest size >= T) replaces tokens(T).
//   host = host_step_s + host_sequence_s * (n + chunks) + host_prefill_s if there are chunks
//   seconds = max(device, host) if overlaps_host, else device + host
//   joules = those of the parts of device + idle_w * (seconds - device)
class StepCosts {
  public:
    // Throws std::invalid_argument if lengths differ, if a value is negative or not finite, or if knots do
    // not ascend or begin above 1 (0 for contexts before a chunk).
    explicit StepCosts(StepTables tables);

    const StepTables& tables() const { return tables_; }

    // The cost of one step. `completed` of the chunks end their prompt.
    StepCost step(std::int64_t sequences, std::int64_t tokens_each, std::int64_t context,
                  std::span<const Chunk> chunks, std::int64_t completed) const;

    // The cost of steps with mean numbers, also between whole ones; of a chunk, `before` is its context.
    // Steps without a chunk pay for recorded sizes.
    struct MeanStep {
        double sequences = 0;
        double tokens_each = 1;
        double mean_context = 0;
        double chunk = 0;  // tokens; 0 without one
        double before = 0;
        double completed = 0;
    };
    StepCost step(const MeanStep& mean) const;

    // Parts of the device's cost, also between whole numbers: means over many steps. An empty table costs
    // nothing.
    StepCost tokens(double count) const { return tokens_.at(count); }
    StepCost outputs(double count) const { return outputs_.at(count); }
    StepCost drafts(double sequences) const { return drafts_.at(sequences); }
    StepCost decode_attention(double sequences, double mean_context) const {
        return decode_.at(sequences, mean_context);
    }
    StepCost prefill_attention(double chunk, double before) const { return prefill_.at(chunk, before); }
    // Products of a step that decodes alone, with the padding of recorded sizes.
    StepCost products(std::int64_t tokens) const {
        return tokens < static_cast<std::int64_t>(recorded_.size())
                   ? recorded_[static_cast<std::size_t>(tokens)].cost
                   : tokens_.at(static_cast<double>(tokens));
    }

    // Steps of decoding alone from this one on, as long as their cost is linear. Needs sequences >= 1.
    DecodeRun decode_run(std::int64_t sequences, std::int64_t tokens_each, std::int64_t context) const;

  private:
    // f(x) = a + b x
    struct Segment {
        double s[2] = {0, 0};
        double j[2] = {0, 0};
    };
    struct Line {
        Intervals intervals;
        std::vector<Segment> segments;
        StepCost at(double x) const {
            if (segments.empty()) return {};
            const Segment& segment = segments[intervals.find(x)];
            return {segment.s[0] + segment.s[1] * x, segment.j[0] + segment.j[1] * x};
        }
    };
    // f(x, y) = a + b x + c y + d x y
    struct Cell {
        double s[4] = {0, 0, 0, 0};
        double j[4] = {0, 0, 0, 0};
        StepCost at(double x, double y, double xy) const {
            return {s[0] + s[1] * x + s[2] * y + s[3] * xy, j[0] + j[1] * x + j[2] * y + j[3] * xy};
        }
    };
    struct Grid {
        Intervals rows;  // where cells begin
        Intervals columns;
        std::vector<Cell> cells;
        bool empty() const { return cells.empty(); }
        const Cell& cell(std::size_t row, std::size_t column) const {
            return cells[row * columns.size() + column];
        }
        StepCost at(double x, double y) const {
            if (cells.empty()) return {};
            return cell(rows.find(x), columns.find(y)).at(x, y, x * y);
        }
    };
    struct Recorded {
        std::int64_t tokens = 0;
        StepCost cost;
    };

    static Line line_of(const Curve& curve, const char* name);
    static Grid grid_of(const Surface& surface, const char* name, double first_column);
    // Everything of a step of decoding alone but attention; host stays apart.
    StepCost decode_base(std::int64_t sequences, std::int64_t tokens_each) const;

    StepTables tables_;
    Line tokens_;
    Line outputs_;
    Line drafts_;
    std::vector<Recorded> recorded_;
    Grid decode_;
    Grid prefill_;
};

}  // namespace infercost
