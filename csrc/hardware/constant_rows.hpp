// How rows of the table of calibration constants are written. Each file of the table includes this inside of
// namespace infercost, without a guard, and undefines the macros at its end.

// A row for a field of a struct; the field gives the name in a machine. A row without a key is not in
// calibration files: error bands depend on what was measured on machines alike (calibration/bands).
#define ROW(key, group, field, unit, range, otherwise, ...)               \
    ConstantField<group> {                                                \
        {key, #field, unit, range, otherwise, __VA_ARGS__}, &group::field \
    }
// A constant from which the loader derives other figures of a machine.
#define LOADED(key, name, unit, range, otherwise, ...) \
    Constant {                                         \
        key, name, unit, range, otherwise, __VA_ARGS__ \
    }
// A value that the loader derives from constants and from facts of a device.
#define DERIVED(group, field, unit, otherwise, meaning) \
    ROW("", group, field, unit, kNotNegative, otherwise, meaning)
