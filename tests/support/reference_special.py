"""Definitions of rarer elementwise operators; see reference_elements.py."""

from __future__ import annotations

import math
from typing import Any

from support.reference import Scalar, apply
from support.reference_elements import Definition, define, one, sigmoid


def function(self: Scalar) -> Scalar:
    return apply("function", self)


def function_of_two(self: Scalar, other: Scalar) -> Scalar:
    return apply("function", self, other)


def logit(self: Scalar) -> Scalar:
    return apply("log", self / (1 - self))


def logit_within(self: Scalar, eps: float) -> Scalar:
    return logit(apply("minimum", apply("maximum", self, eps), 1 - eps))


def sinc(self: Scalar) -> Scalar:
    scaled = self * math.pi
    return apply("select", self.equals(0.0), 1.0, apply("sin", scaled) / scaled)


def logaddexp(base: str) -> Any:
    def definition(self: Scalar, other: Scalar) -> Scalar:
        largest, smallest = apply("maximum", self, other), apply("minimum", self, other)
        raised = apply("exp" + base, smallest - largest)
        return largest + apply("log" + base, 1 + raised)

    return definition


def heaviside(self: Scalar, values: Scalar) -> Scalar:
    return apply("select", self.equals(0.0), values, apply("select", self > 0, 1.0, 0.0))


def multivariate_gamma(self: Scalar, p: int) -> Scalar:
    total = Scalar(0.0, self.tally)
    for i in range(p):
        total = total + apply("function", self - i / 2)
    return total


def fake_quantize(self: Scalar) -> Scalar:
    level = apply("round", self * 10.0 + 3.0)
    return (apply("minimum", apply("maximum", level, 0.0), 255.0) - 3.0) * 0.1


def fake_quantize_with_mask(self: Scalar) -> Scalar:
    level = apply("round", self * 10.0 + 3.0)
    apply("and", level >= 0, level <= 255)
    return (apply("minimum", apply("maximum", level, 0.0), 255.0) - 3.0) * 0.1


def softshrink(self: Scalar, lambd: float) -> Scalar:
    lower = apply("select", self < -lambd, self + lambd, 0.0)
    return apply("select", self > lambd, self - lambd, lower)


def xlogy(self: Scalar, other: Scalar) -> Scalar:
    return self * apply("log", other)


def isclose(self: Scalar, other: Scalar) -> Scalar:
    return apply("abs", self - other) <= 1e-8 + 1e-5 * apply("abs", other)


def rrelu(self: Scalar) -> Scalar:
    return apply("select", self > 0, self, self * 0.2)


FUNCTIONS = [
    "acosh",
    "asinh",
    "atanh",
    "arccosh",
    "arcsinh",
    "arctanh",
    "erfc",
    "lgamma",
    "digamma",
    "i0",
    "frexp",
    "signbit",
    "special_airy_ai",
    "special_bessel_j0",
    "special_bessel_j1",
    "special_bessel_y0",
    "special_bessel_y1",
    "special_modified_bessel_i0",
    "special_modified_bessel_i1",
    "special_modified_bessel_k0",
    "special_modified_bessel_k1",
    "special_scaled_modified_bessel_k0",
    "special_scaled_modified_bessel_k1",
    "special_spherical_bessel_j0",
    "special_i0",
    "special_i0e",
    "special_i1",
    "special_i1e",
    "special_erfc",
    "special_erfcx",
    "special_gammaln",
    "special_digamma",
    "special_psi",
    "special_ndtri",
    "special_log_ndtr",
]
FUNCTIONS_OF_TWO = [
    "polygamma",
    "igamma",
    "igammac",
    "nextafter",
    "copysign",
    "gcd",
    "isin",
    "bitwise_left_shift",
    "bitwise_right_shift",
    "__lshift__",
    "__rshift__",
    "__ilshift__",
    "__irshift__",
    "special_gammainc",
    "special_gammaincc",
    "special_polygamma",
    "special_zeta",
    "special_chebyshev_polynomial_t",
    "special_chebyshev_polynomial_u",
    "special_chebyshev_polynomial_v",
    "special_chebyshev_polynomial_w",
    "special_shifted_chebyshev_polynomial_t",
    "special_shifted_chebyshev_polynomial_u",
    "special_shifted_chebyshev_polynomial_v",
    "special_shifted_chebyshev_polynomial_w",
    "special_hermite_polynomial_h",
    "special_hermite_polynomial_he",
    "special_laguerre_polynomial_l",
    "special_legendre_polynomial_p",
]
SAME = {
    "absolute": "abs",
    "arccos": "acos",
    "arcsin": "asin",
    "arctan": "atan",
    "fix": "trunc",
    "isreal": "isfinite",
    "isposinf": "isinf",
    "isneginf": "isinf",
    "special_erf": "erf",
    "special_erfinv": "erfinv",
    "special_exp2": "exp2",
    "special_expm1": "expm1",
    "special_log1p": "log1p",
    "special_round": "round",
}

SPECIAL: list[Definition] = [
    *(define(op, function) for op in FUNCTIONS),
    *(define(op, function_of_two) for op in FUNCTIONS_OF_TWO),
    *(define(op, one(operation)) for op, operation in SAME.items()),
    define("arctan2", lambda self, other: apply("atan2", self, other)),
    define("negative", lambda self: -self),
    *(define(op, multivariate_gamma, p=3) for op in ("mvlgamma", "special_multigammaln")),
    *(define(op, lambda self: self * (math.pi / 180)) for op in ("deg2rad", "rad2deg")),
    define("ldexp", lambda self, other: self * apply("exp2", other)),
    define("heaviside", heaviside),
    define("hypot", lambda self, other: apply("sqrt", self * self + other * other)),
    define("lcm", lambda self, other: self * (other / apply("function", self, other))),
    define("logaddexp", logaddexp("")),
    define("logaddexp2", logaddexp("2")),
    *(define(op, logit) for op in ("logit", "special_logit")),
    *(define(op, logit_within, eps=0.01) for op in ("logit", "special_logit")),
    *(define(op, sinc) for op in ("sinc", "special_sinc")),
    *(define(op, xlogy) for op in ("xlogy", "special_xlogy")),
    define("special_xlog1py", lambda self, other: self * apply("log", 1 + other)),
    define("special_entr", lambda self: -(self * apply("log", self))),
    define("special_ndtr", lambda self: 0.5 * apply("function", self * -math.sqrt(0.5))),
    define("special_expit", sigmoid),
    define("greater", lambda self, other: self > other),
    define("less", lambda self, other: self < other),
    define("isclose", isclose),
    define("hardshrink", lambda self, lambd: apply("select", apply("abs", self) > lambd, self, 0.0), lambd=0.5),
    define("softshrink", softshrink, lambd=0.5),
    define("log_sigmoid_forward", lambda self: -apply("log", 1 + apply("exp", -self))),
    *(define(op, rrelu) for op in ("rrelu", "rrelu_with_noise")),
    define("_add_relu", lambda self, other: apply("maximum", self + other, 0.0)),
    define("_masked_scale", lambda self, mask, scale: self * mask * scale, scale=2.0),
    *(
        define(op, lambda self, draw, p: self * (draw >= p) * (1 / (1 - p)), p=0.5)
        for op in ("_fused_dropout", "feature_alpha_dropout")
    ),
    *(
        define(op, fake_quantize)
        for op in (
            "fake_quantize_per_tensor_affine",
            "fake_quantize_per_channel_affine",
            "_fake_quantize_learnable_per_tensor_affine",
            "_fake_quantize_learnable_per_channel_affine",
        )
    ),
    *(
        define(op, fake_quantize_with_mask)
        for op in (
            "fake_quantize_per_tensor_affine_cachemask",
            "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams",
            "fake_quantize_per_channel_affine_cachemask",
        )
    ),
]
