// Figures that follow from the latency and the energy of forwards: transfer, cold start, money, carbon and
// tokens. Each formula is written once, in derived.cpp, and is evaluated for one point or for columns.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "costs/cost_rows.hpp"

namespace infercost {

#define INFERCOST_COST_NAME(name) name,
enum class CostInput : std::size_t { INFERCOST_COST_INPUTS(INFERCOST_COST_NAME) };
enum class CostFigure : std::size_t { INFERCOST_COST_FIGURES(INFERCOST_COST_NAME) };
#undef INFERCOST_COST_NAME

#define INFERCOST_COST_ONE(name) +1
inline constexpr std::size_t kCostInputs = 0 INFERCOST_COST_INPUTS(INFERCOST_COST_ONE);
inline constexpr std::size_t kCostFigures = 0 INFERCOST_COST_FIGURES(INFERCOST_COST_ONE);
#undef INFERCOST_COST_ONE

// Names of all inputs and figures, in the order of their values.
std::span<const std::string_view> cost_input_names();
std::span<const std::string_view> cost_figure_names();

// Throws InputError for a name that is unknown.
CostInput cost_input(std::string_view name);
CostFigure cost_figure(std::string_view name);

// An input of all points: one number, or one for each.
struct CostColumn {
    std::span<const double> values;
};

using CostColumns = std::array<std::optional<CostColumn>, kCostInputs>;

// Inputs that decide which of two formulas holds at a point: they are needed before the others.
std::vector<CostInput> cost_conditions(CostFigure figure);

// Inputs of a figure at points with these conditions; those of a formula that holds at no point are left out.
std::vector<CostInput> cost_inputs(CostFigure figure, const CostColumns& conditions);

// A figure at the points of columns, which have one value or as many as `out`. Throws InputError
// if an input that is needed is missing.
void derive(CostFigure figure, const CostColumns& inputs, std::span<double> out);

}  // namespace infercost
