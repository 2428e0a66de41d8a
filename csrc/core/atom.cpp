// Atoms: named sizes, and the functions of sizes that are not polynomials.
#include <algorithm>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "core/expr.hpp"
#include "core/fork.hpp"

namespace infercost {
namespace {

std::string printed(const Expr& e, bool nested) {
    const std::string text = e.text();
    const bool simple = text.find_first_of(" */%-") == std::string::npos;
    return nested && !simple ? "(" + text + ")" : text;
}

bool nonnegative_atom(Atom::Kind kind, const std::vector<Expr>& operands) {
    const auto proven = [](const Expr& e) { return e.is_nonnegative(); };
    switch (kind) {
        case Atom::Kind::size:
        case Atom::Kind::gcd:
        case Atom::Kind::n_log2_n:
            return true;
        case Atom::Kind::modulo:
            return operands[1].is_nonnegative();
        case Atom::Kind::maximum:
            return std::any_of(operands.begin(), operands.end(), proven);
        case Atom::Kind::floor_div:
        case Atom::Kind::minimum:
            return std::all_of(operands.begin(), operands.end(), proven);
    }
    return false;
}

std::string atom_text(Atom::Kind kind, const std::string& name, const std::vector<Expr>& operands) {
    switch (kind) {
        case Atom::Kind::size:
            return name;
        case Atom::Kind::floor_div:
            return printed(operands[0], true) + "//" + printed(operands[1], true);
        case Atom::Kind::modulo:
            return printed(operands[0], true) + "%" + printed(operands[1], true);
        case Atom::Kind::gcd:
            return "gcd(" + operands[0].text() + ", " + operands[1].text() + ")";
        case Atom::Kind::n_log2_n:
            return "n_log2_n(" + operands[0].text() + ")";
        case Atom::Kind::maximum:
        case Atom::Kind::minimum:
            break;
    }
    std::string text = kind == Atom::Kind::maximum ? "max(" : "min(";
    for (std::size_t i = 0; i < operands.size(); ++i) text += (i ? ", " : "") + operands[i].text();
    return text + ")";
}

// The operands of an expression that is an atom of this kind, and nothing else.
const std::vector<Expr>* operands_of(Atom::Kind kind, const Expr& e) {
    if (e.is_constant() || e.terms().size() != 1) return nullptr;
    const Term& term = e.terms().front();
    if (term.coefficient != 1 || term.monomial.size() != 1) return nullptr;
    const Factor& factor = term.monomial.front();
    return factor.power == 1 && factor.atom->kind == kind ? &factor.atom->operands : nullptr;
}

// Flattens max(max(a, b), c) and drops operands that another one is proven to cover.
Expr extremum(Atom::Kind kind, const Expr& a, const Expr& b) {
    std::vector<Expr> operands;
    const auto covers = [kind](const Expr& x, const Expr& y) {
        return (kind == Atom::Kind::maximum ? x - y : y - x).is_nonnegative();
    };
    const auto insert = [&](const Expr& e) {
        for (const Expr& kept : operands) {
            if (covers(kept, e)) return;
        }
        std::erase_if(operands, [&](const Expr& kept) { return covers(e, kept); });
        operands.push_back(e);
    };
    const std::vector<Expr>* const of_a = operands_of(kind, a);
    const std::vector<Expr>* const of_b = operands_of(kind, b);
    // Most parts of a long sequence change nothing, and need no text to find that out.
    const auto contains = [&](const std::vector<Expr>* list, const Expr& e) {
        return list &&
               std::any_of(list->begin(), list->end(), [&](const Expr& kept) { return covers(kept, e); });
    };
    if (!of_b && contains(of_a, b)) return a;
    if (!of_a && contains(of_b, a)) return b;
    const auto insert_all = [&](const std::vector<Expr>* list, const Expr& e) {
        if (!list) return insert(e);
        for (const Expr& inner : *list) insert(inner);
    };
    insert_all(of_a, a);
    insert_all(of_b, b);
    if (operands.size() == 1) return operands[0];
    std::sort(operands.begin(), operands.end(),
              [](const Expr& x, const Expr& y) { return x.text() < y.text(); });
    return Atom::expr(Atom::intern(kind, "", std::move(operands)));
}

// FNV-1a.
std::uint64_t hash_of(std::string_view text) {
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    return hash;
}

// Changed under fork_safe_mutex().
struct Table {
    std::unordered_map<std::string_view, const Atom*> by_text;  // keys are the atoms' own texts
    std::uint64_t next_id = 0;
};

// Never destroyed: expressions in static variables may outlive it.
Table& table() {
    static Table* const atoms = new Table();
    return *atoms;
}

}  // namespace

Expr Atom::expr(const AtomRef& atom) {
    return Expr::from_terms({
        {Monomial{{atom, 1}}, 1}
    });
}

Atom::Atom(Kind atom_kind, std::string atom_text, std::vector<Expr> atom_operands, bool is_nonnegative,
           std::uint64_t number)
    : kind(atom_kind),
      text(std::move(atom_text)),
      operands(std::move(atom_operands)),
      nonnegative(is_nonnegative),
      order(hash_of(text)),
      id(number) {}

AtomRef Atom::intern(Kind kind, const std::string& name, std::vector<Expr> operands) {
    std::string text = atom_text(kind, name, operands);
    const bool nonnegative = nonnegative_atom(kind, operands);
    Table& atoms = table();
    const std::scoped_lock lock(fork_safe_mutex());
    const auto found = atoms.by_text.find(text);
    if (found != atoms.by_text.end()) {
        const Atom* atom = found->second;
        if (atom->is_counted()) atom->references_.fetch_add(1, std::memory_order_relaxed);
        return AtomRef(atom);
    }
    auto made = std::unique_ptr<const Atom>(
        new Atom(kind, std::move(text), std::move(operands), nonnegative, atoms.next_id++));
    atoms.by_text.emplace(made->text, made.get());
    return AtomRef(made.release());
}

// Only under the lock does a count fall to zero, and the atom leaves the table at once: whoever finds an atom
// there finds it alive.
void Atom::release() const {
    std::uint64_t count = references_.load(std::memory_order_relaxed);
    while (count > 1) {
        if (references_.compare_exchange_weak(count, count - 1, std::memory_order_release,
                                              std::memory_order_relaxed)) {
            return;
        }
    }
    Table& atoms = table();
    {
        const std::scoped_lock lock(fork_safe_mutex());
        if (references_.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
        atoms.by_text.erase(text);
    }
    delete this;  // without the lock, for it may release the atoms of its operands
}

std::size_t Atom::count() {
    Table& atoms = table();
    const std::scoped_lock lock(fork_safe_mutex());
    return atoms.by_text.size();
}

std::int64_t Atom::apply(const std::vector<std::int64_t>& values) const {
    switch (kind) {
        case Kind::floor_div:
            return floor_div(values[0], values[1]);
        case Kind::modulo:
            return floor_mod(values[0], values[1]);
        case Kind::maximum:
            return *std::max_element(values.begin(), values.end());
        case Kind::minimum:
            return *std::min_element(values.begin(), values.end());
        case Kind::gcd:
            return checked_gcd(values[0], values[1]);
        case Kind::n_log2_n:
            return n_log2_n(values[0]);
        case Kind::size:
            break;
    }
    throw std::logic_error("a named size is not applied to operands");
}

Expr Atom::apply(const std::vector<Expr>& values) const {
    if (kind == Kind::floor_div) return values[0] / values[1];
    if (kind == Kind::modulo) return values[0] % values[1];
    if (kind == Kind::gcd) return Expr::gcd(values[0], values[1]);
    if (kind == Kind::n_log2_n) return Expr::n_log2_n(values[0]);
    Expr result = values[0];
    for (std::size_t i = 1; i < values.size(); ++i) {
        result = kind == Kind::maximum ? Expr::maximum(result, values[i]) : Expr::minimum(result, values[i]);
    }
    return result;
}

Expr Expr::maximum(const Expr& a, const Expr& b) {
    if (a.is_constant() && b.is_constant()) return {std::max(a.value_, b.value_)};
    return extremum(Atom::Kind::maximum, a, b);
}

Expr Expr::gcd(const Expr& a, const Expr& b) {
    if (a.is_constant() && b.is_constant()) return {checked_gcd(a.value_, b.value_)};
    const auto divides = [](const Expr& x, const Expr& y) { return !(x == Expr(0)) && y % x == Expr(0); };
    if (divides(a, b)) return a;
    if (divides(b, a)) return b;
    std::vector<Expr> operands = {a, b};
    if (operands[1].text() < operands[0].text()) std::swap(operands[0], operands[1]);
    return Atom::expr(Atom::intern(Atom::Kind::gcd, "", std::move(operands)));
}

Expr Expr::n_log2_n(const Expr& n) {
    if (n.is_constant()) return {infercost::n_log2_n(n.value_)};
    return Atom::expr(Atom::intern(Atom::Kind::n_log2_n, "", {n}));
}

Expr Expr::minimum(const Expr& a, const Expr& b) {
    if (a.is_constant() && b.is_constant()) return {std::min(a.value_, b.value_)};
    return extremum(Atom::Kind::minimum, a, b);
}

}  // namespace infercost
