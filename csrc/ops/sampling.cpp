// Resampling of images and signals: each result is a weighted sum of its neighbors. Whole rows, columns or
// channels share positions and weights, which are not counted.
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace sampling_table {

template <int N>
constexpr WorkShape resample = per_output<N, WorkKind::pooling>;

// One pass per axis, the last axis first. Downsampling widens the window: 2 * support elements of the shorter
// side.
template <int kSupport>
void antialiased(const Call& call, Work& work) {
    work.kind = WorkKind::pooling;
    work.dtype = arithmetic_dtype(call);
    const TensorIndex input = call.first_operand();
    Expr results = call.numel(input);
    constexpr std::int64_t kTaps = 2 * std::int64_t{kSupport};
    for (const int axis : {-1, -2}) {
        const Expr in = call.dim(input, axis);
        const Expr out = call.dim(call.output(), axis);
        const Expr taps = Expr::maximum(kTaps, Expr::ceil_div(kTaps * in, out));
        results = ratio(results, in) * out;
        work.pointwise_flops += results * (2 * taps - 1);
    }
}

// mode 0: linear in each axis, 1: nearest, 2: cubic in each axis
template <int kLinear, int kCubic>
void sample(const Call& call, Work& work) {
    const Expr mode = call.integer("interpolation_mode", 0);
    const int each = mode == Expr(1) ? 0 : (mode == Expr(2) ? kCubic : kLinear);
    work.kind = WorkKind::gather;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = call.numel(call.output()) * each;
}

// One matrix per image is multiplied by all positions of a grid: [positions, axes + 1] x [axes + 1, axes].
void affine_grid(const Call& call, Work& work) {
    const TensorIndex theta = call.require_tensor("theta");
    const Expr axes = call.dim(theta, -2);
    const Expr images = call.dim(theta, 0);
    set_contraction(work, WorkKind::gemm, call.engine_dtype(theta), images,
                    ratio(call.numel(call.output()), images * axes), axes, call.dim(theta, -1));
}

// Samples per bin and axis if their number depends on the boxes (sampling_ratio of 0 or less).
constexpr std::int64_t kSamples = 2;

// Each result is the mean of interpolated points.
void roi_align(const Call& call, Work& work) {
    Expr ratio = call.integer("sampling_ratio", 0);
    if (ratio.is_constant() && ratio.constant() <= 0) ratio = kSamples;
    work.kind = WorkKind::gather;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = call.numel(call.output()) * ratio * ratio * 8;
}

// Per pair of boxes: 4 for corners, 2 for lengths, 2 for clamping, area, 2 for the union, quotient,
// comparison.
void suppress(const Call& call, Work& work) {
    const Expr boxes = call.dim(call.require_tensor("dets"), 0);
    work.kind = WorkKind::sort;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = boxes * (boxes - 1) / 2 * 13;
}

constexpr std::string_view kMoves = "moves bytes";
constexpr std::string_view kLinear = "3 per result: two products and an addition";
constexpr std::string_view kBilinear = "7 per result: four products and three additions";
constexpr std::string_view kBicubic = "31 per result: 16 products and 15 additions";
constexpr std::string_view kTrilinear = "15 per result: eight products and seven additions";
constexpr std::string_view kAntialiased =
    "2*taps - 1 per result of the pass over each axis; taps = 2*support*max(1, in/out)";
constexpr std::string_view kGrid2 = "7 per result, 31 when cubic, 0 when nearest";
constexpr std::string_view kAlign =
    "8 per sample; 2 x 2 samples per bin where sampling_ratio leaves it to the boxes";
constexpr std::string_view kBins = "1 per result; how much a bin holds depends on the boxes";

constexpr OpRule kTable[] = {
    {"aten.upsample_nearest1d", resample<0>, stream_all, kMoves, CastPolicy::full},
    {"aten.upsample_nearest2d", resample<0>, stream_all, kMoves, CastPolicy::full,
     WorkspaceRule::interpolation},
    {"aten.upsample_nearest3d", resample<0>, stream_all, kMoves, CastPolicy::full},
    {"aten._upsample_nearest_exact1d", resample<0>, stream_all, kMoves, CastPolicy::full},
    {"aten._upsample_nearest_exact2d", resample<0>, stream_all, kMoves, CastPolicy::full,
     WorkspaceRule::interpolation},
    {"aten._upsample_nearest_exact3d", resample<0>, stream_all, kMoves, CastPolicy::full},
    {"aten.upsample_linear1d", resample<3>, stream_all, kLinear, CastPolicy::full,
     LibraryTrait::thread_per_position},
    {"aten.upsample_bilinear2d", resample<7>, stream_all, kBilinear, CastPolicy::full,
     WorkspaceRule::interpolation, LibraryTrait::thread_per_position},
    {"aten.upsample_bicubic2d", resample<31>, stream_all, kBicubic, CastPolicy::full,
     LibraryTrait::thread_per_position},
    {"aten.upsample_trilinear3d", resample<15>, stream_all, kTrilinear, CastPolicy::full,
     LibraryTrait::thread_per_position},
    {"aten._upsample_bilinear2d_aa", antialiased<1>, stream_all, kAntialiased, CastPolicy::full},
    {"aten._upsample_bicubic2d_aa", antialiased<2>, stream_all, kAntialiased, CastPolicy::full},
    {"aten._upsample_lanczos2d_aa", antialiased<3>, stream_all, kAntialiased},
    {"aten.grid_sampler", sample<7, 31>, stream_all, kGrid2, CastPolicy::widest},
    {"aten.grid_sampler_2d", sample<7, 31>, stream_all, kGrid2, CastPolicy::widest},
    {"aten._grid_sampler_2d_cpu_fallback", sample<7, 31>, stream_all, kGrid2},
    {"aten.cudnn_grid_sampler", resample<7>, stream_all, kBilinear},
    {"aten.grid_sampler_3d", sample<15, 15>, stream_all, "15 per result, 0 when nearest", CastPolicy::widest},
    {"aten.affine_grid_generator", affine_grid, stream_operands, "2 * positions * (axes + 1) * axes"},
    {"aten.cudnn_affine_grid_generator", affine_grid, stream_operands, "2 * positions * (axes + 1) * axes"},
    {"torchvision.roi_align", roi_align, stream_all, kAlign, CastPolicy::restored},
    {"torchvision.ps_roi_align", roi_align, stream_all, kAlign, CastPolicy::restored},
    {"torchvision.roi_pool", per_output<1>, stream_all, kBins, CastPolicy::restored},
    {"torchvision.ps_roi_pool", per_output<1>, stream_all, kBins, CastPolicy::restored},
    {"torchvision.nms", suppress, stream_all, "13 per pair of boxes, none left out; the sort is not counted",
     CastPolicy::restored},
};
constexpr auto kRows = op_rows(kTable, Untied("elements at several places make one result"));

}  // namespace sampling_table
}  // namespace

std::span<const OpRule> sampling_rules() {
    return sampling_table::kRows;
}

}  // namespace infercost
