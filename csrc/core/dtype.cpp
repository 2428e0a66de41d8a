#include "core/dtype.hpp"

#include "core/errors.hpp"

namespace infercost {
namespace {

struct Alias {
    std::string_view name;
    DType dtype;
};

constexpr Alias kAliases[] = {
    {"float",           DType::float32      },
    {"double",          DType::float64      },
    {"half",            DType::float16      },
    {"long",            DType::int64        },
    {"int",             DType::int32        },
    {"short",           DType::int16        },
    {"tfloat32",        DType::tfloat32     },
    {"float8_e4m3fnuz", DType::float8_e4m3fn},
    {"float8_e5m2fnuz", DType::float8_e5m2  },
    {"float8_e8m0fnu",  DType::uint8        },
    {"qint8",           DType::int8         },
    {"quint8",          DType::uint8        },
    {"qint32",          DType::int32        },
    {"uint4",           DType::int4         },
    {"quint4x2",        DType::int4         },
    {"uint2",           DType::int2         },
    {"quint2x4",        DType::int2         },
};

}  // namespace

int bits_of(DType dtype) {
    return kDTypes[dtype].bits;
}
bool is_floating(DType dtype) {
    return kDTypes[dtype].floating;
}
bool is_complex(DType dtype) {
    return dtype == DType::complex128 || dtype == DType::complex64 || dtype == DType::complex32;
}
std::string_view name_of(DType dtype) {
    return kDTypes[dtype].name;
}

DType parse_dtype(std::string_view name) {
    constexpr std::string_view kPrefix = "torch.";
    std::string_view bare = name;
    if (bare.substr(0, kPrefix.size()) == kPrefix) bare.remove_prefix(kPrefix.size());
    for (std::size_t i = 0; i < kDTypes.size(); ++i) {
        if (kDTypes[i].name == bare) return static_cast<DType>(i);
    }
    for (const Alias& alias : kAliases) {
        if (alias.name == bare) return alias.dtype;
    }
    throw InputError("unknown dtype '" + std::string(name) +
                     "'; expected a torch name such as float32, bfloat16, int8 or float8_e4m3fn");
}

}  // namespace infercost
