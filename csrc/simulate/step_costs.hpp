// What one step of a serving engine costs, from tables.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace infercost {

// Seconds and joules at ascending knots, linear between them. Beyond the last knot the last interval goes on;
// with one knot the value is constant.
struct Curve {
    std::vector<double> knots;
    std::vector<double> seconds;
    std::vector<double> joules;
};

// Seconds and joules over two axes, bilinear between knots: row-major, `rows` x `columns`.
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
    // Throws std::invalid_argument if lengths differ, if a value is negative or not finite, if knots do not
    // ascend or begin above 1 (0 for contexts before a chunk), or if values fall in the last interval, from
    // which larger steps are extrapolated.
    explicit StepCosts(StepTables tables);

    const StepTables& tables() const { return tables_; }

    // The cost of one step. `completed` of the chunks end their prompt.
    StepCost step(std::int64_t sequences, std::int64_t tokens_each, std::int64_t context,
                  std::span<const Chunk> chunks, std::int64_t completed) const;

    // Steps of decoding alone from this one on, as long as their cost is linear. Needs sequences >= 1.
    DecodeRun decode_run(std::int64_t sequences, std::int64_t tokens_each, std::int64_t context) const;

  private:
    // f(x) = a + b x
    struct Segment {
        double from = 0;
        double s[2] = {0, 0};
        double j[2] = {0, 0};
    };
    struct Line {
        std::vector<Segment> segments;
        StepCost at(double x) const {
            if (segments.empty()) return {};
            std::size_t low = 0;
            std::size_t high = segments.size();
            while (high - low > 1) {
                const std::size_t middle = (low + high) / 2;
                (segments[middle].from <= x ? low : high) = middle;
            }
            const Segment& segment = segments[low];
            return {segment.s[0] + segment.s[1] * x, segment.j[0] + segment.j[1] * x};
        }
    };
    // f(x, y) = a + b x + c y + d x y
    struct Cell {
        double s[4] = {0, 0, 0, 0};
        double j[4] = {0, 0, 0, 0};
    };
    struct Grid {
        std::vector<double> rows;  // where cells begin
        std::vector<double> columns;
        std::vector<Cell> cells;
        bool empty() const { return cells.empty(); }
        std::size_t row(double x) const { return find(rows, x); }
        std::size_t column(double y) const { return find(columns, y); }
        const Cell& cell(std::size_t row, std::size_t column) const {
            return cells[row * columns.size() + column];
        }
        static std::size_t find(const std::vector<double>& from, double x) {
            const auto above = std::upper_bound(from.begin() + 1, from.end(), x);
            return static_cast<std::size_t>(above - from.begin()) - 1;
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
