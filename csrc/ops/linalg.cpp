// Factorizations and solvers, by the operation counts of textbook algorithms. They are pointwise FLOPs:
// published counts of multiply-accumulates do not include them, and matrix units compute at most a part of
// them.
//
// Sources: LAPACK Working Note 41, appendix C (Cholesky, LU, QR, triangular solves); Golub and Van Loan,
// Matrix Computations, 4th edition: 5.2 (QR), 7.5 (eigenvalues), 8.3 (symmetric eigenvalues), 8.6 (singular
// values). The constants of the last three include iterations to convergence. Row exchanges are not counted.
#include "ops/shapes.hpp"

namespace infercost {
namespace {
namespace linalg_table {

struct Matrices {
    Expr count;  // matrices in the batch
    Expr rows;
    Expr columns;
    Expr shorter;
    Expr longer;
};

Matrices matrices_in(const Call& call, TensorIndex t) {
    const Expr rows = call.dim(t, -2);
    const Expr columns = call.dim(t, -1);
    return {ratio(call.numel(t), rows * columns), rows, columns, Expr::minimum(rows, columns),
            Expr::maximum(rows, columns)};
}

void library(const Call& call, Work& work, const Expr& flops) {
    work.kind = WorkKind::library;
    work.dtype = arithmetic_dtype(call);
    // A complex multiply-add is eight real operations.
    work.pointwise_flops = is_complex(work.dtype) ? flops * 4 : flops;
}

// ---- operations for one matrix ------------------------------------------------------------------------

Expr cholesky_of(const Expr& n) {
    return n * (n + 1) * (2 * n + 1) / 6;
}
// Step k divides a column of rows - k and subtracts an outer product of (rows - k) x (columns - k).
Expr lu_of(const Matrices& a) {
    const Expr& s = a.shorter;
    const Expr once = s * (s + 1) / 2;
    const Expr squares = s * (s + 1) * (2 * s + 1) / 6;
    return s * a.rows - once + 2 * (s * a.rows * a.columns - (a.rows + a.columns) * once + squares);
}
Expr lu_solve_of(const Expr& n) {  // for one right-hand side
    return 2 * n * n - n;
}
Expr cholesky_inverse_of(const Expr& n) {
    return (4 * n * n * n + 3 * n * n + 5 * n) / 6;
}
Expr inverse_of(const Expr& n) {  // Gauss-Jordan, in place
    return 2 * n * n * n - 2 * n * n + 2 * n;
}
Expr qr_of(const Matrices& a) {  // reflectors and R
    const Expr& s = a.shorter;
    return 2 * a.longer * s * s - 2 * s * s * s / 3;
}
Expr q_of(const Expr& m, const Expr& n, const Expr& k) {  // m x n from k reflectors
    return 4 * m * n * k - 2 * (m + n) * k * k + 4 * k * k * k / 3;
}

// ---- rows ---------------------------------------------------------------------------------------------

template <Expr (*kOne)(const Expr&)>
void square(const Call& call, Work& work) {
    const Matrices a = matrices_in(call, call.first_operand());
    library(call, work, a.count * kOne(a.rows));
}
template <Expr (*kOne)(const Matrices&)>
void factor(const Call& call, Work& work) {
    const Matrices a = matrices_in(call, call.first_operand());
    library(call, work, a.count * kOne(a));
}

// Number of right-hand sides; a vector is one.
Expr right_hand_sides(const Call& call, const Matrices& a, TensorIndex result) {
    return ratio(call.numel(result), a.columns);
}

void solve(const Call& call, Work& work) {
    const Matrices a = matrices_in(call, call.require_tensor("A"));
    const Expr sides = right_hand_sides(call, a, call.output());
    library(call, work, a.count * lu_of(a) + sides * lu_solve_of(a.rows));
}
// The factors are given; solve with the triangles of the matrix `factors`, `kPasses` times.
template <int kPasses>
void substitute(const Call& call, Work& work) {
    TensorIndex factors = kNoTensor;
    for (const char* name : {"LU", "LU_data", "LD", "input2", "A"}) {
        if (factors == kNoTensor) factors = call.tensor(name);
    }
    const Matrices a = matrices_in(call, factors == kNoTensor ? call.first_operand() : factors);
    const Expr sides = right_hand_sides(call, a, call.output());
    const Expr n = a.rows;
    library(call, work, sides * (kPasses == 3 ? lu_solve_of(n) : n * n * kPasses));
}

void determinant(const Call& call, Work& work) {
    const Matrices a = matrices_in(call, call.first_operand());
    library(call, work, a.count * (lu_of(a) + a.rows));
}
void log_determinant(const Call& call, Work& work) {
    const Matrices a = matrices_in(call, call.first_operand());
    library(call, work, a.count * (lu_of(a) + a.rows * 3));
}

void qr(const Call& call, Work& work) {
    const Matrices a = matrices_in(call, call.first_operand());
    Expr flops = qr_of(a);
    const std::string_view mode = call.text("mode");
    const bool complete = mode == "complete" || !call.flag("some", true);
    if (mode != "r") flops += q_of(a.rows, complete ? a.rows : a.shorter, a.shorter);
    library(call, work, a.count * flops);
}
void reflectors_to_q(const Call& call, Work& work) {
    const Matrices a = matrices_in(call, call.first_operand());
    library(call, work, a.count * q_of(a.rows, a.columns, a.shorter));
}

bool wants_vectors(const Call& call) {
    for (const char* name : {"compute_v", "compute_uv"}) {
        if (call.has(name)) return call.flag(name, true);
    }
    return true;
}
template <bool kVectors>
void symmetric_eigen(const Call& call, Work& work) {
    const Matrices a = matrices_in(call, call.first_operand());
    const Expr cube = a.rows * a.rows * a.rows;
    library(call, work, a.count * (kVectors && wants_vectors(call) ? 9 * cube : 4 * cube / 3));
}
template <int kTimesCube>
void eigen(const Call& call, Work& work) {
    const Matrices a = matrices_in(call, call.first_operand());
    library(call, work, a.count * a.rows * a.rows * a.rows * kTimesCube);
}

void singular_values(const Call& call, Work& work) {
    const Matrices a = matrices_in(call, call.first_operand());
    const Expr& s = a.shorter;
    library(call, work, a.count * (4 * a.longer * s * s - 4 * s * s * s / 3));
}
void svd(const Call& call, Work& work) {
    if (!wants_vectors(call)) return singular_values(call, work);
    const Matrices a = matrices_in(call, call.first_operand());
    const Expr& s = a.shorter;
    const Expr& l = a.longer;
    const bool full = call.flag("full_matrices", !call.flag("some", true));
    library(
        call, work,
        a.count * (full ? 4 * l * l * s + 8 * l * s * s + 9 * s * s * s : 14 * l * s * s + 8 * s * s * s));
}

// V * diag(1 / s) * U^T: a decomposition, a scaled factor, and one product.
void pseudo_inverse(const Call& call, Work& work) {
    const Matrices a = matrices_in(call, call.first_operand());
    const Expr& s = a.shorter;
    const Expr& l = a.longer;
    library(call, work, a.count * (14 * l * s * s + 8 * s * s * s + s * s + 2 * l * s * s));
}

void least_squares(const Call& call, Work& work) {
    const Matrices a = matrices_in(call, call.first_operand());
    const Expr& s = a.shorter;
    const Expr sides = call.numel(call.require_tensor("b")) / a.rows;
    library(call, work, a.count * qr_of(a) + sides * (4 * a.longer * s - 2 * s * s + s * s));
}

// ---- sums of products ---------------------------------------------------------------------------------

void products(const Call& call, Work& work, const Expr& count) {
    const TensorIndex self = call.first_operand();
    const Matrices a = matrices_in(call, self);
    set_contraction(work, WorkKind::gemm, call.engine_dtype(self), a.count * count, a.rows, a.rows, a.rows);
}
// The Taylor polynomial of degree 18 in five products. Repeated squaring depends on the values, and is not
// counted.
void exponential(const Call& call, Work& work) {
    products(call, work, 5);
}
// Exponentiation by squaring: one product per bit after the first, and one more per further set bit.
void power(const Call& call, Work& work) {
    const Expr n = call.integer("n", 1);
    std::int64_t count = 0;
    if (n.is_constant()) {
        for (std::int64_t left = n.constant(); left > 1; left /= 2) count += 1 + left % 2;
    }
    products(call, work, count);
}

void vector_dot(const Call& call, Work& work) {
    const TensorIndex x = call.require_tensor("x");
    const TensorIndex y = call.require_tensor("y");
    const Expr axis = call.integer("dim", -1);
    const Expr k = call.dim(x, axis.is_constant() ? static_cast<int>(axis.constant()) : -1);
    set_contraction(work, WorkKind::gemm, call.engine_dtype(y), call.numel(call.output()), 1, 1, k);
}

constexpr std::string_view kSolve = "as lu, then 2*n^2 - n per right-hand side";
constexpr std::string_view kLu = "n(n-1)/2 + n(n-1)(2n-1)/3 for n x n; row exchanges are not counted";
constexpr std::string_view kCholesky = "n(n+1)(2n+1)/6";
constexpr std::string_view kInverse = "2*n^3 - 2*n^2 + 2*n";
constexpr std::string_view kQr = "l long, s short: 2ls^2 - 2s^3/3 for R, 4mnk - 2(m+n)k^2 + 4k^3/3 for Q";
constexpr std::string_view kEigh = "9*n^3; 4*n^3/3 without vectors";
constexpr std::string_view kSvd = "l long, s short: 14ls^2 + 8s^3; full 4l^2s + 8ls^2 + 9s^3";
constexpr std::string_view kValues = "l long, s short: 4ls^2 - 4s^3/3";

constexpr OpRule kTable[] = {
    {"aten.linalg_cholesky", square<cholesky_of>, stream_all, kCholesky},
    {"aten.linalg_cholesky_ex", square<cholesky_of>, stream_all, kCholesky},
    {"aten.cholesky", square<cholesky_of>, stream_all, kCholesky},
    {"aten.linalg_ldl_factor", square<cholesky_of>, stream_all, kCholesky},
    {"aten.linalg_ldl_factor_ex", square<cholesky_of>, stream_all, kCholesky},
    {"aten.linalg_lu", factor<lu_of>, stream_all, kLu},
    {"aten.linalg_lu_factor", factor<lu_of>, stream_all, kLu},
    {"aten.linalg_lu_factor_ex", factor<lu_of>, stream_all, kLu},
    {"aten._lu_with_info", factor<lu_of>, stream_all, kLu},
    {"aten.lu_unpack", moves<WorkKind::copy>, stream_all, "moves bytes"},
    {"aten.linalg_det", determinant, stream_all, "as lu, and n products"},
    {"aten._linalg_det", determinant, stream_all, "as lu, and n products"},
    {"aten.det", determinant, stream_all, "as lu, and n products"},
    {"aten.linalg_slogdet", log_determinant, stream_all, "as lu, and 3n: abs, log, add"},
    {"aten._linalg_slogdet", log_determinant, stream_all, "as lu, and 3n: abs, log, add"},
    {"aten.slogdet", log_determinant, stream_all, "as lu, and 3n: abs, log, add"},
    {"aten.linalg_inv", square<inverse_of>, stream_all, kInverse},
    {"aten.linalg_inv_ex", square<inverse_of>, stream_all, kInverse},
    {"aten.inverse", square<inverse_of>, stream_all, kInverse},
    {"aten.cholesky_inverse", square<cholesky_inverse_of>, stream_all, "2*n^3/3 + n^2/2 + 5n/6"},
    {"aten.linalg_solve", solve, stream_all, kSolve},
    {"aten.linalg_solve_ex", solve, stream_all, kSolve},
    {"aten._linalg_solve_ex", solve, stream_all, kSolve},
    {"aten.linalg_lu_solve", substitute<3>, stream_all, "2*n^2 - n per right-hand side"},
    {"aten.lu_solve", substitute<3>, stream_all, "2*n^2 - n per right-hand side"},
    {"aten.cholesky_solve", substitute<2>, stream_all, "2*n^2 per right-hand side"},
    {"aten._cholesky_solve_helper", substitute<2>, stream_all, "2*n^2 per right-hand side"},
    {"aten.linalg_ldl_solve", substitute<2>, stream_all, "2*n^2 per right-hand side"},
    {"aten.linalg_solve_triangular", substitute<1>, stream_all, "n^2 per right-hand side"},
    {"aten.triangular_solve", substitute<1>, stream_all, "n^2 per right-hand side"},
    {"aten.linalg_lstsq", least_squares, stream_all, "as R of qr, then 4ls - s^2 per right-hand side"},
    {"aten.linalg_qr", qr, stream_all, kQr},
    {"aten.qr", qr, stream_all, kQr},
    {"aten.geqrf", factor<qr_of>, stream_all, kQr},
    {"aten.linalg_householder_product", reflectors_to_q, stream_all, kQr},
    {"aten.orgqr", reflectors_to_q, stream_all, kQr},
    {"aten.linalg_eigh", symmetric_eigen<true>, stream_all, kEigh},
    {"aten._linalg_eigh", symmetric_eigen<true>, stream_all, kEigh},
    {"aten.linalg_eigvalsh", symmetric_eigen<false>, stream_all, kEigh},
    {"aten.linalg_eig", eigen<25>, stream_all, "25*n^3"},
    {"aten.linalg_eigvals", eigen<10>, stream_all, "10*n^3"},
    {"aten._linalg_eigvals", eigen<10>, stream_all, "10*n^3"},
    {"aten.linalg_svd", svd, stream_all, kSvd},
    {"aten._linalg_svd", svd, stream_all, kSvd},
    {"aten.svd", svd, stream_all, kSvd},
    {"aten.linalg_svdvals", singular_values, stream_all, kValues},
    {"aten.linalg_pinv", pseudo_inverse, stream_all, "as svd, then s^2 + 2ls^2"},
    {"aten.pinverse", pseudo_inverse, stream_all, "as svd, then s^2 + 2ls^2"},
    {"aten.linalg_matrix_exp", exponential, stream_operands, "2*5*n^3; squarings depend on the values"},
    {"aten.matrix_exp", exponential, stream_operands, "2*5*n^3; squarings depend on the values"},
    {"aten.linalg_matrix_power", power, stream_operands, "2*n^3 per product, by repeated squaring"},
    {"aten.matrix_power", power, stream_operands, "2*n^3 per product, by repeated squaring"},
    {"aten.linalg_vecdot", vector_dot, stream_operands, "2*k per result", CastPolicy::lower},
    {"aten._linalg_check_errors", no_work, no_traffic, "a check"},
};
constexpr auto kRows = op_rows(kTable, Untied("a decomposition reads whole matrices"));

}  // namespace linalg_table
}  // namespace

std::span<const OpRule> linalg_rules() {
    return linalg_table::kRows;
}

}  // namespace infercost
