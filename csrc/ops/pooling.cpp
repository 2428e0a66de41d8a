// Pooling and resampling. A window of w elements costs w per result: comparisons, or additions and a
// division.
#include "ops/shapes.hpp"
#include "ops/workspace.hpp"

namespace infercost {
namespace {

template <int kAxes>
void windowed(const Call& call, Work& work) {
    work.kind = WorkKind::pooling;
    work.dtype = arithmetic_dtype(call);
    const std::vector<Expr> kernel = call.integers("kernel_size");
    Expr window = 1;
    for (int axis = 0; axis < kAxes; ++axis) {
        // One number stands for all axes.
        window = window * kernel.at(kernel.size() == 1 ? 0 : static_cast<std::size_t>(axis));
    }
    work.pointwise_flops = call.numel(call.output()) * window;
}

constexpr WorkShape adaptive = per_input<1, WorkKind::pooling>;
template <int N>
constexpr WorkShape resample = per_output<N, WorkKind::pooling>;

constexpr std::string_view kWindow = "window size per result";
constexpr std::string_view kAdaptive = "1 per element read";

constexpr TrafficShape kPlaces = with(stream_all, places_of_maxima);
constexpr TrafficShape kResized = with(stream_all, interpolation_workspace);

constexpr OpRule kRows[] = {
    {"aten.max_pool1d",                windowed<1>,  stream_all, kWindow                                          },
    {"aten.max_pool2d",                windowed<2>,  kPlaces,    kWindow                                          },
    {"aten.max_pool3d",                windowed<3>,  kPlaces,    kWindow                                          },
    {"aten.max_pool2d_with_indices",   windowed<2>,  stream_all, kWindow                                          },
    {"aten.max_pool3d_with_indices",   windowed<3>,  stream_all, kWindow                                          },
    {"aten.avg_pool1d",                windowed<1>,  stream_all, kWindow                                          },
    {"aten.avg_pool2d",                windowed<2>,  stream_all, kWindow                                          },
    {"aten.avg_pool3d",                windowed<3>,  stream_all, kWindow                                          },
    {"aten.adaptive_avg_pool1d",       adaptive,     stream_all, kAdaptive                                        },
    {"aten.adaptive_avg_pool2d",       adaptive,     stream_all, kAdaptive                                        },
    {"aten.adaptive_avg_pool3d",       adaptive,     stream_all, kAdaptive                                        },
    {"aten._adaptive_avg_pool2d",      adaptive,     stream_all, kAdaptive                                        },
    {"aten._adaptive_avg_pool3d",      adaptive,     stream_all, kAdaptive                                        },
    {"aten.adaptive_max_pool1d",       adaptive,     kPlaces,    kAdaptive                                        },
    {"aten.adaptive_max_pool2d",       adaptive,     stream_all, kAdaptive                                        },
    {"aten.upsample_nearest1d",        resample<0>,  stream_all, "moves bytes"                                    },
    {"aten.upsample_nearest2d",        resample<0>,  kResized,   "moves bytes"                                    },
    {"aten._upsample_nearest_exact2d", resample<0>,  kResized,   "moves bytes"                                    },
    {"aten.upsample_linear1d",         resample<3>,  stream_all, "3 per result: two products and an addition"     },
    {"aten.upsample_bilinear2d",       resample<7>,  kResized,   "7 per result: four products and three additions"},
    {"aten.upsample_bicubic2d",        resample<31>, stream_all, "31 per result: 16 products and 15 additions"    },
    {"aten._upsample_bilinear2d_aa",   resample<7>,  stream_all, "7 per result at the base window"                },
    {"aten._upsample_bicubic2d_aa",    resample<31>, stream_all, "31 per result at the base window"               },
};
static_assert(each_op_once(kRows));

}  // namespace

std::span<const OpRule> pooling_rules() {
    return kRows;
}

}  // namespace infercost
