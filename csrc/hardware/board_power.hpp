// Power of a board under load, the law of its clock, and the energy of its arithmetic.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "hardware/device_file.hpp"

namespace infercost {

inline constexpr double kTera = 1e12;

using NamedNumbers = std::map<std::string, double>;

// Dynamic power is proportional to C V^2 f. The voltage is constant up to a clock of the process, and rises
// with the clock above it, so that a FLOP takes least energy on a board that is limited to a low clock.
struct BoardPower {
    double dynamic_w;  // that is available to kernels: the limit, or for a short forward burst_w, less static
                       // power
    double burst_w;    // that the board may draw for some milliseconds, less static power
    double clock_hz;   // of the data sheet
    double lowest_voltage_hz;  // clock up to which the lowest voltage suffices
    double rise;               // relative rise of the voltage over the relative rise of the clock, above it
    double dram_j_per_byte;

    // Energy of a FLOP at a share of the clock, relative to that at the lowest voltage.
    double energy(double share) const;
    // Share of the clock at which arithmetic draws the available power, if it draws `lowest_w` at the full
    // clock and the lowest voltage.
    double held(double lowest_w) const;
};

// The power of a board; none if it is unknown. `constants` are in base units.
std::optional<BoardPower> board_power(const DeviceFile& device, const NamedNumbers& constants,
                                      double clock_hz, bool sustained);

// Energy of a FLOP by engine and dtype (`matrix_fp16`), at the clock that the board sustains.
NamedNumbers engine_joules(const DeviceFile& device, const NamedNumbers& constants, const BoardPower& power);

// Constants [power] of a machine: seconds of a FLOP and of a byte at the available power.
void set_power_times(NamedNumbers& machine, const BoardPower& power, const NamedNumbers& joules,
                     bool sustained);

// Constants [energy] of a machine: static power, the power limit, and the joules of a FLOP and of a byte;
// none if they are unknown. `joules` precede [energy]; `instances` share the power of the device equally.
void set_energy(NamedNumbers& machine, const DeviceFile& device, const NamedNumbers& constants,
                const NamedNumbers& joules, double instances);

}  // namespace infercost
