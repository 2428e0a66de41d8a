// Fourier transforms. A complex transform of n points is 5 * n * log2(n) real operations; a transform with
// one real side is half of that. FFT libraries use this convention to report their speed (FFTW, benchFFT).
// The logarithm is that of n, whether or not n is a power of two. A transform over several dimensions is one
// transform of all their points.
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace fourier_table {

// Return the product of the lengths of `t` along `axes`, or `otherwise` if there are none.
Expr points_along(const Call& call, TensorIndex t, const List<Expr>& axes) {
    Expr points = 1;
    for (const Expr& axis : axes) {
        if (axis.is_constant()) points = points * call.dim(t, static_cast<int>(axis.constant()));
    }
    return points;
}

// Return the FLOPs of transforms of `points` each, over `elements` numbers; half if one side is real.
Expr transform_flops(const Expr& elements, const Expr& points, bool half) {
    const Expr flops = ratio(elements, points) * Expr::n_log2_n(points) * 5;
    return half ? flops / 2 : flops;
}

void transform(const Call& call, Work& work, TensorIndex dense, const List<Expr>& axes, bool half) {
    work.kind = WorkKind::library;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = transform_flops(call.numel(dense), points_along(call, dense, axes), half);
}

void complex_to_complex(const Call& call, Work& work) {
    transform(call, work, call.require_tensor("self"), call.integers("dim"), false);
}
void real_to_complex(const Call& call, Work& work) {
    transform(call, work, call.require_tensor("self"), call.integers("dim"), true);
}
void complex_to_real(const Call& call, Work& work) {
    transform(call, work, call.output(), call.integers("dim"), true);
}

// The functions of torch.fft: dtypes determine which side is real, and the name and its defaults determine
// the axes. The side with all points is the one that symmetry does not halve.
template <int kAxes>  // 1, 2, or 0 for those that are named or all
void by_name(const Call& call, Work& work) {
    const TensorIndex self = call.require_tensor("self");
    const bool real_in = !is_complex(call.stored_dtype(self));
    const bool real_out = !is_complex(call.stored_dtype(call.output()));
    List<Expr> axes = call.integers("dim");
    if (axes.empty()) {
        const std::size_t named = call.integers("s").size();
        const int count = kAxes > 0 ? kAxes : (named > 0 ? static_cast<int>(named) : call.rank(self));
        for (int axis = -count; axis < 0; ++axis) axes.emplace_back(axis);
    }
    const bool two_sided = call.shape(self) == call.shape(call.output());
    // From real to half a spectrum: the lengths of the results, except the last, which is that of the operand
    // or given.
    if (real_in && !real_out && !two_sided) {
        const List<Expr> given = call.integers(kAxes == 1 ? "n" : "s");
        const Expr last =
            given.empty() ? call.dim(self, static_cast<int>(axes.back().constant())) : given.back();
        Expr points = last;
        for (std::size_t i = 0; i + 1 < axes.size(); ++i) {
            points = points * call.dim(call.output(), static_cast<int>(axes[i].constant()));
        }
        const Expr half = call.dim(call.output(), static_cast<int>(axes.back().constant()));
        work.kind = WorkKind::library;
        work.dtype = arithmetic_dtype(call);
        work.pointwise_flops = transform_flops(ratio(call.numel(call.output()), half) * last, points, true);
        return;
    }
    transform(call, work, call.output(), axes, real_in || real_out);
}

// Frames of n_fft samples are cut from the signal, multiplied by the window if there is one, and transformed.
struct Frames {
    Expr points;
    Expr count;
    bool real;
};
Frames frames_of(const Call& call, TensorIndex spectrum) {
    const TensorIndex self = call.require_tensor("self");
    // Either complex numbers [..., frequencies, frames], or a last dimension of two real parts.
    const bool parts = !is_complex(call.stored_dtype(spectrum));
    const int last = parts ? -2 : -1;
    const Expr frequencies = call.dim(spectrum, last - 1);
    const Expr all = ratio(call.numel(spectrum), frequencies);
    return {call.integer("n_fft", 1), parts ? all / 2 : all, !is_complex(call.stored_dtype(self))};
}

void stft(const Call& call, Work& work) {
    const Frames frames = frames_of(call, call.output());
    const Expr samples = frames.count * frames.points;
    work.kind = WorkKind::library;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = transform_flops(samples, frames.points, frames.real);
    if (call.has("window")) work.pointwise_flops += samples * parts_of(work.dtype);
}

// One kernel writes the windowed frames, and the next reads them.
void stft_bytes(const Call& call, Work& work) {
    stream_all.bytes(call, work);
    if (!call.has("window")) return;
    const Frames frames = frames_of(call, call.output());
    const TensorIndex self = call.require_tensor("self");
    call.read(work, self, frames.count * frames.points);
    work.written[Traffic::activation] += call.bytes(self, frames.count * frames.points);
}
constexpr TrafficShape framed{stft_bytes, never};

constexpr std::string_view kWhole = "5*n*log2(n) per transform of n points";
constexpr std::string_view kHalf = "5*n*log2(n)/2 per transform of n points: one side is real";
constexpr std::string_view kByName =
    "5*n*log2(n) per transform of n points; half of it where one side is real";
constexpr std::string_view kMoves = "moves bytes";
constexpr std::string_view kFills = "writes only";

constexpr OpRule kTable[] = {
    {"aten._fft_c2c",      complex_to_complex,    stream_all,   kWhole                                                                  },
    {"aten._fft_r2c",      real_to_complex,       stream_all,   kHalf                                                                   },
    {"aten._fft_c2r",      complex_to_real,       stream_all,   kHalf                                                                   },
    {"aten.fft_fft",       by_name<1>,            stream_all,   kByName                                                                 },
    {"aten.fft_ifft",      by_name<1>,            stream_all,   kByName                                                                 },
    {"aten.fft_rfft",      by_name<1>,            stream_all,   kByName                                                                 },
    {"aten.fft_irfft",     by_name<1>,            stream_all,   kByName                                                                 },
    {"aten.fft_hfft",      by_name<1>,            stream_all,   kByName                                                                 },
    {"aten.fft_ihfft",     by_name<1>,            stream_all,   kByName                                                                 },
    {"aten.fft_fft2",      by_name<2>,            stream_all,   kByName                                                                 },
    {"aten.fft_ifft2",     by_name<2>,            stream_all,   kByName                                                                 },
    {"aten.fft_rfft2",     by_name<2>,            stream_all,   kByName                                                                 },
    {"aten.fft_irfft2",    by_name<2>,            stream_all,   kByName                                                                 },
    {"aten.fft_fftn",      by_name<0>,            stream_all,   kByName                                                                 },
    {"aten.fft_ifftn",     by_name<0>,            stream_all,   kByName                                                                 },
    {"aten.fft_rfftn",     by_name<0>,            stream_all,   kByName                                                                 },
    {"aten.fft_irfftn",    by_name<0>,            stream_all,   kByName                                                                 },
    {"aten.fft_fftshift",  moves<WorkKind::copy>, stream_all,   kMoves                                                                  },
    {"aten.fft_ifftshift", moves<WorkKind::copy>, stream_all,   kMoves                                                                  },
    {"aten.fft_fftfreq",   moves<WorkKind::fill>, only_written, kFills                                                                  },
    {"aten.fft_rfftfreq",  moves<WorkKind::fill>, only_written, kFills                                                                  },
    {"aten.stft",          stft,                  framed,       "1 per sample of a frame with a window, then a transform for each frame"},
};
constexpr auto kRows = op_rows(kTable, Untied("a transform reads all elements of an axis"));

}  // namespace fourier_table
}  // namespace

std::span<const OpRule> fourier_rules() {
    return fourier_table::kRows;
}

}  // namespace infercost
