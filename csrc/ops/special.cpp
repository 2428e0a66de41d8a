// Functions of one or two numbers that are rarer than those of pointwise.cpp, by the same convention. A
// function without a definition in elementary functions (gamma, Bessel, zeta and similar ones) counts one.
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace special_table {

// Square root of a sum of two squares.
void magnitude(const Call& call, Work& work) {
    per_output<1>(call, work);
    if (complex_operands(call) > 0) work.pointwise_flops = call.numel(call.output()) * 4;
}
// The angle of a real number is 0 or pi.
void angle(const Call& call, Work& work) {
    per_output<1>(call, work);
    work.pointwise_flops = call.numel(call.output()) * (complex_operands(call) > 0 ? 1 : 2);
}
void conjugate(const Call& call, Work& work) {
    work.kind = WorkKind::pointwise;
    work.dtype = arithmetic_dtype(call);
    if (complex_operands(call) > 0) work.pointwise_flops = call.numel(call.output());
}
void polar(const Call& call, Work& work) {
    work.kind = WorkKind::pointwise;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = call.numel(call.output()) * 4;
}

// One logarithm per order, then their sum and a constant.
void multivariate_gamma(const Call& call, Work& work) {
    per_output<1>(call, work);
    work.pointwise_flops = work.pointwise_flops * (call.integer("p", 1) * 3);
}

void logit(const Call& call, Work& work) {
    if (call.has("eps")) {
        per_output<5>(call, work);
    } else {
        per_output<3>(call, work);
    }
}

template <int N>
void quantize(const Call& call, Work& work) {
    work.kind = WorkKind::pointwise;
    work.dtype = arithmetic_dtype(call);
    work.pointwise_flops = call.numel(call.output()) * N;
}

constexpr std::string_view kOne = "1 per element";
constexpr std::string_view kThree = "3 per element";
constexpr std::string_view kSeries = "1 per element; the recurrence depends on the order, which is data";
constexpr std::string_view kFake = "7 per element: scale, add, round, max, min, subtract, scale";
constexpr std::string_view kMasked = "10 per element: as without the mask, and two comparisons joined";

constexpr OpRule kTable[] = {
    {"aten.acosh",                                                     per_output<1>,      stream_all, kOne                                                      },
    {"aten.asinh",                                                     per_output<1>,      stream_all, kOne                                                      },
    {"aten.atanh",                                                     per_output<1>,      stream_all, kOne                                                      },
    {"aten.arccos",                                                    per_output<1>,      stream_all, kOne                                                      },
    {"aten.arcsin",                                                    per_output<1>,      stream_all, kOne                                                      },
    {"aten.arctan",                                                    per_output<1>,      stream_all, kOne                                                      },
    {"aten.arctan2",                                                   per_output<1>,      stream_all, kOne                                                      },
    {"aten.arccosh",                                                   per_output<1>,      stream_all, kOne                                                      },
    {"aten.arcsinh",                                                   per_output<1>,      stream_all, kOne                                                      },
    {"aten.arctanh",                                                   per_output<1>,      stream_all, kOne                                                      },
    {"aten.erfc",                                                      per_output<1>,      stream_all, kOne                                                      },
    {"aten.lgamma",                                                    per_output<1>,      stream_all, kOne                                                      },
    {"aten.digamma",                                                   per_output<1>,      stream_all, kOne                                                      },
    {"aten.polygamma",                                                 per_output<1>,      stream_all, kOne                                                      },
    {"aten.igamma",                                                    per_output<1>,      stream_all, kOne                                                      },
    {"aten.igammac",                                                   per_output<1>,      stream_all, kOne                                                      },
    {"aten.mvlgamma",                                                  multivariate_gamma, stream_all, "3 per element and order: subtract, lgamma, add"          },
    {"aten.i0",                                                        per_output<1>,      stream_all, kOne                                                      },
    {"aten.absolute",                                                  magnitude,          stream_all, "1 per element; 4 of a complex number"                    },
    {"aten.negative",                                                  per_output<1>,      stream_all, kOne                                                      },
    {"aten.fix",                                                       per_output<1>,      stream_all, kOne                                                      },
    {"aten.angle",                                                     angle,              stream_all, "1 per complex number; 2 per real one: compare, select"   },
    {"aten.conj_physical",                                             conjugate,          stream_all, "1 per complex number: negate one part"                   },
    {"aten._conj_physical",                                            conjugate,          stream_all, "1 per complex number: negate one part"                   },
    {"aten.polar",                                                     polar,              stream_all, "4 per result: cos, sin, two products"                    },
    {"aten.signbit",                                                   per_output<1>,      stream_all, kOne                                                      },
    {"aten.copysign",                                                  per_output<1>,      stream_all, kOne                                                      },
    {"aten.nextafter",                                                 per_output<1>,      stream_all, kOne                                                      },
    {"aten.frexp",                                                     per_output<1>,      stream_all, kOne                                                      },
    {"aten.ldexp",                                                     per_output<2>,      stream_all, "2 per element: power of two, product"                    },
    {"aten.deg2rad",                                                   per_output<1>,      stream_all, kOne                                                      },
    {"aten.rad2deg",                                                   per_output<1>,      stream_all, kOne                                                      },
    {"aten.heaviside",                                                 per_output<4>,      stream_all, "4 per element: two comparisons, two selections"          },
    {"aten.hypot",                                                     per_output<4>,      stream_all, "4 per element: two squares, add, sqrt"                   },
    {"aten.gcd",                                                       per_output<1>,      stream_all, "1 per element; the steps depend on the data"             },
    {"aten.lcm",                                                       per_output<3>,      stream_all, "3 per element: gcd, divide, multiply"                    },
    {"aten.logaddexp",                                                 per_output<7>,      stream_all, "7 per element: max, min, subtract, exp, add, log, add"   },
    {"aten.logaddexp2",                                                per_output<7>,      stream_all, "7 per element: max, min, subtract, exp2, add, log2, add" },
    {"aten.logit",                                                     logit,              stream_all, "3 per element: subtract, divide, log; 2 more with eps"   },
    {"aten.sinc",                                                      per_output<5>,      stream_all, "5 per element: scale, sin, divide, compare, select"      },
    {"aten.xlogy",                                                     per_output<2>,      stream_all, "2 per element: log, multiply"                            },
    {"aten.bitwise_left_shift",                                        per_output<1>,      stream_all, kOne                                                      },
    {"aten.bitwise_right_shift",                                       per_output<1>,      stream_all, kOne                                                      },
    {"aten.__lshift__",                                                per_output<1>,      stream_all, kOne                                                      },
    {"aten.__rshift__",                                                per_output<1>,      stream_all, kOne                                                      },
    {"aten.__ilshift__",                                               per_output<1>,      stream_all, kOne                                                      },
    {"aten.__irshift__",                                               per_output<1>,      stream_all, kOne                                                      },
    {"aten.greater",                                                   per_output<1>,      stream_all, kOne                                                      },
    {"aten.less",                                                      per_output<1>,      stream_all, kOne                                                      },
    {"aten.isposinf",                                                  per_output<1>,      stream_all, kOne                                                      },
    {"aten.isneginf",                                                  per_output<1>,      stream_all, kOne                                                      },
    {"aten.isreal",                                                    per_output<1>,      stream_all, kOne                                                      },
    {"aten.isclose",                                                   per_output<6>,      stream_all, "6 per element: subtract, two abs, multiply, add, compare"},
    {"aten.isin",                                                      per_output<1>,      stream_all, "1 per element; comparisons depend on the data"           },
    {"aten.hardshrink",                                                per_output<3>,      stream_all, "3 per element: abs, compare, select"                     },
    {"aten.softshrink",                                                per_output<6>,      stream_all, "6 per element: compare, shift and select, both sides"    },
    {"aten.log_sigmoid_forward",                                       per_output<5>,      stream_all, "5 per element: negate, exp, add, log, negate"            },
    {"aten.rrelu",                                                     per_output<3>,      stream_all, "3 per element: compare, multiply, select"                },
    {"aten.rrelu_with_noise",                                          per_output<3>,      stream_all, "3 per element: compare, multiply, select"                },
    {"aten._add_relu",                                                 per_output<2>,      stream_all, "2 per element: add, max"                                 },
    {"aten._masked_scale",                                             per_output<2>,      stream_all, "2 per element: two products"                             },
    {"aten._fused_dropout",                                            per_output<3>,      stream_all, kThree                                                    },
    {"aten.feature_alpha_dropout",                                     per_output<3>,      stream_all, kThree                                                    },
    {"aten.special_airy_ai",                                           per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_bessel_j0",                                         per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_bessel_j1",                                         per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_bessel_y0",                                         per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_bessel_y1",                                         per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_modified_bessel_i0",                                per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_modified_bessel_i1",                                per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_modified_bessel_k0",                                per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_modified_bessel_k1",                                per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_scaled_modified_bessel_k0",                         per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_scaled_modified_bessel_k1",                         per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_spherical_bessel_j0",                               per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_i0",                                                per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_i0e",                                               per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_i1",                                                per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_i1e",                                               per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_zeta",                                              per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_erf",                                               per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_erfc",                                              per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_erfcx",                                             per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_erfinv",                                            per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_exp2",                                              per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_expm1",                                             per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_log1p",                                             per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_round",                                             per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_gammaln",                                           per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_gammainc",                                          per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_gammaincc",                                         per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_digamma",                                           per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_psi",                                               per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_polygamma",                                         per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_multigammaln",                                      multivariate_gamma, stream_all, "3 per element and order"                                 },
    {"aten.special_ndtri",                                             per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_log_ndtr",                                          per_output<1>,      stream_all, kOne                                                      },
    {"aten.special_ndtr",                                              per_output<3>,      stream_all, "3 per element: scale, erfc, half"                        },
    {"aten.special_entr",                                              per_output<3>,      stream_all, "3 per element: log, multiply, negate"                    },
    {"aten.special_expit",                                             per_output<4>,      stream_all, "4 per element: negate, exp, add, divide"                 },
    {"aten.special_logit",                                             logit,              stream_all, "3 per element: subtract, divide, log; 2 more with eps"   },
    {"aten.special_sinc",                                              per_output<5>,      stream_all, "5 per element: scale, sin, divide, compare, select"      },
    {"aten.special_xlogy",                                             per_output<2>,      stream_all, "2 per element: log, multiply"                            },
    {"aten.special_xlog1py",                                           per_output<3>,      stream_all, "3 per element: add, log, multiply"                       },
    {"aten.special_chebyshev_polynomial_t",                            per_output<1>,      stream_all, kSeries                                                   },
    {"aten.special_chebyshev_polynomial_u",                            per_output<1>,      stream_all, kSeries                                                   },
    {"aten.special_chebyshev_polynomial_v",                            per_output<1>,      stream_all, kSeries                                                   },
    {"aten.special_chebyshev_polynomial_w",                            per_output<1>,      stream_all, kSeries                                                   },
    {"aten.special_shifted_chebyshev_polynomial_t",                    per_output<1>,      stream_all, kSeries                                                   },
    {"aten.special_shifted_chebyshev_polynomial_u",                    per_output<1>,      stream_all, kSeries                                                   },
    {"aten.special_shifted_chebyshev_polynomial_v",                    per_output<1>,      stream_all, kSeries                                                   },
    {"aten.special_shifted_chebyshev_polynomial_w",                    per_output<1>,      stream_all, kSeries                                                   },
    {"aten.special_hermite_polynomial_h",                              per_output<1>,      stream_all, kSeries                                                   },
    {"aten.special_hermite_polynomial_he",                             per_output<1>,      stream_all, kSeries                                                   },
    {"aten.special_laguerre_polynomial_l",                             per_output<1>,      stream_all, kSeries                                                   },
    {"aten.special_legendre_polynomial_p",                             per_output<1>,      stream_all, kSeries                                                   },
    {"aten.fake_quantize_per_tensor_affine",                           quantize<7>,        stream_all, kFake                                                     },
    {"aten.fake_quantize_per_channel_affine",                          quantize<7>,        stream_all, kFake                                                     },
    {"aten._fake_quantize_learnable_per_tensor_affine",                quantize<7>,        stream_all, kFake                                                     },
    {"aten._fake_quantize_learnable_per_channel_affine",               quantize<7>,        stream_all, kFake                                                     },
    {"aten.fake_quantize_per_tensor_affine_cachemask",                 quantize<10>,       stream_all, kMasked                                                   },
    {"aten._fake_quantize_per_tensor_affine_cachemask_tensor_qparams", quantize<10>,       stream_all, kMasked                                                   },
    {"aten.fake_quantize_per_channel_affine_cachemask",                quantize<10>,       stream_all, kMasked                                                   },
};
constexpr auto kRows = op_rows(kTable, Relation::elements);

}  // namespace special_table
}  // namespace

std::span<const OpRule> special_rules() {
    return special_table::kRows;
}

}  // namespace infercost
