#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "bindings/bindings.hpp"
#include "sparsity/mapped_file.hpp"
#include "sparsity/scan.hpp"

namespace infercost {
namespace {

using Sizes64 = std::vector<std::uint64_t>;

struct GroupKind {
    std::uint64_t n, m;
    std::uint64_t Overfull::* overfull;
};
constexpr GroupKind kGroupKinds[] = {
    {2, 4, &Overfull::two_of_four  },
    {1, 4, &Overfull::one_of_four  },
    {4, 8, &Overfull::four_of_eight},
};

std::uint64_t divided_up(std::uint64_t a, std::uint64_t b) {
    return a / b + (a % b == 0 ? 0 : 1);
}

// A buffer's bytes, or an address that the caller vouches for.
const unsigned char* to_data(const py::object& data, std::uint64_t offset, std::uint64_t needed,
                             std::optional<py::buffer_info>& held) {
    if (py::isinstance<py::int_>(data)) {
        return reinterpret_cast<const unsigned char*>(data.cast<std::uintptr_t>()) + offset;
    }
    if (!py::isinstance<py::buffer>(data)) {
        throw InputTypeError("data is a " + py::str(py::type::of(data).attr("__name__")).cast<std::string>() +
                             ", expected a buffer of bytes or an address");
    }
    held.emplace(data.cast<py::buffer>().request());
    const auto bytes = static_cast<std::uint64_t>(held->size) * static_cast<std::uint64_t>(held->itemsize);
    if (held->ndim != 1 || (held->size > 1 && held->strides[0] != held->itemsize)) {
        throw std::invalid_argument("data is not a flat buffer; pass memoryview(data).cast('B')");
    }
    if (offset > bytes || needed > bytes - offset) {
        throw std::invalid_argument("data holds " + std::to_string(bytes) + " bytes, expected at least " +
                                    std::to_string(offset + needed));
    }
    return static_cast<const unsigned char*>(held->ptr) + offset;
}

ScanRegion to_region(const Scan& scan, std::uint64_t first_row, const std::optional<std::uint64_t>& rows,
                     std::uint64_t first_column, const std::optional<std::uint64_t>& columns,
                     const std::optional<std::int64_t>& row_stride,
                     const std::vector<std::pair<std::uint64_t, std::int64_t>>& inner) {
    const WeightShape& shape = scan.shape();
    ScanRegion region;
    region.first_row = first_row;
    region.rows = rows.value_or(shape.rows - std::min(first_row, shape.rows));
    region.first_column = first_column;
    region.columns = columns.value_or(shape.columns - std::min(first_column, shape.columns));
    const auto bits = static_cast<std::uint64_t>(scan.element().bits);
    region.row_stride = row_stride.value_or(static_cast<std::int64_t>(divided_up(shape.columns * bits, 8)));
    std::uint64_t elements = 1;
    for (const auto& [size, stride] : inner) {
        region.inner.push_back({size, stride});
        elements *= size;
    }
    if (!inner.empty() && elements != shape.columns) {
        throw std::invalid_argument("inner dimensions have " + std::to_string(elements) +
                                    " elements, expected " + std::to_string(shape.columns));
    }
    return region;
}

// How many bytes of a buffer a region reaches over.
std::uint64_t reach_of(const Scan& scan, const ScanRegion& region) {
    if (region.rows == 0 || region.columns == 0) return 0;
    if (region.row_stride < 0 || !region.inner.empty()) {
        throw std::invalid_argument("strides below zero and inner dimensions need an address, not a buffer");
    }
    const auto bits = static_cast<std::uint64_t>(scan.element().bits);
    return (region.rows - 1) * static_cast<std::uint64_t>(region.row_stride) +
           divided_up(region.columns * bits, 8);
}

void add_region(Scan& scan, const py::object& data, std::uint64_t offset, std::uint64_t first_row,
                const std::optional<std::uint64_t>& rows, std::uint64_t first_column,
                const std::optional<std::uint64_t>& columns, const std::optional<std::int64_t>& row_stride,
                const std::vector<std::pair<std::uint64_t, std::int64_t>>& inner, unsigned threads,
                const std::optional<std::string>& simd) {
    if (threads < 1) throw std::invalid_argument("threads is 0; expected at least 1");
    const Isa isa = simd ? parse_isa(*simd) : best_isa();
    ScanRegion region = to_region(scan, first_row, rows, first_column, columns, row_stride, inner);
    if (py::isinstance<FileBytes>(data)) {
        const auto& file = data.cast<const FileBytes&>();
        const CoreCall core;
        return scan.add(region, file, offset, threads, isa);
    }
    const bool is_address = py::isinstance<py::int_>(data);
    std::optional<py::buffer_info> held;  // keeps the buffer while the lock is released
    region.data = to_data(data, offset, is_address ? 0 : reach_of(scan, region), held);
    const CoreCall core;
    scan.add(region, threads, isa);
}

py::list groups_of(const WeightShape& shape, const TileCounts& counts) {
    py::list groups;
    for (const GroupKind& kind : kGroupKinds) {
        const std::uint64_t along_rows = shape.rows * divided_up(shape.columns, kind.m);
        groups.append(py::make_tuple(kind.n, kind.m, "rows", along_rows,
                                     along_rows - counts.along_rows.*kind.overfull));
        if (shape.flat) continue;
        const std::uint64_t along_columns = shape.columns * divided_up(shape.rows, kind.m);
        groups.append(py::make_tuple(kind.n, kind.m, "columns", along_columns,
                                     along_columns - counts.along_columns.*kind.overfull));
    }
    return groups;
}

py::list blocks_of(const WeightShape& shape, const TileCounts& counts) {
    py::list blocks;
    if (shape.flat) return blocks;
    for (int b = 0; b < kBlockSizeCount; ++b) {
        const auto size = static_cast<std::uint64_t>(kBlockSizes[b]);
        const std::uint64_t all = divided_up(shape.rows, size) * divided_up(shape.columns, size);
        blocks.append(py::make_tuple(size, all, all - counts.used_blocks[b]));
    }
    return blocks;
}

py::dict magnitudes_of(const Magnitudes& magnitudes) {
    py::dict result;
    result["sampled"] = magnitudes.sampled;
    result["zeros"] = magnitudes.zeros;
    result["nonfinite"] = magnitudes.nonfinite;
    result["largest"] = magnitudes.largest;
    result["smallest"] = magnitudes.smallest;
    result["root_mean_square"] = magnitudes.root_mean_square;
    result["lowest_octave"] = magnitudes.lowest_octave;
    result["below"] = magnitudes.below;
    result["bins"] = py::tuple(py::cast(magnitudes.bins));
    return result;
}

py::dict result_of(const Scan& scan) {
    const ScanResult found = scan.result();
    py::dict result;
    result["elements"] = found.elements;
    result["zeros"] = found.zeros;
    result["rows"] = scan.shape().rows;
    result["zero_rows"] = found.zero_rows;
    result["channels"] = found.channels;
    result["zero_channels"] = found.zero_channels;
    result["groups"] = groups_of(scan.shape(), found.counts);
    result["blocks"] = blocks_of(scan.shape(), found.counts);
    result["magnitudes"] = magnitudes_of(found.magnitudes);
    return result;
}

std::uint64_t sum_words(const py::buffer& data) {
    const py::buffer_info info = data.request();
    const auto words = static_cast<std::uint64_t>(info.size * info.itemsize) / 8;
    const auto* bytes = static_cast<const unsigned char*>(info.ptr);
    const Isa isa = best_isa();
    const CoreCall core;
#ifdef INFERCOST_X86_DISPATCH
    if (isa == Isa::avx512) return avx512::sum_words(bytes, words);
    if (isa == Isa::avx2) return avx2::sum_words(bytes, words);
#endif
    static_cast<void>(isa);
    return baseline::sum_words(bytes, words);
}

}  // namespace

void register_sparsity(py::module_& m) {
    py::class_<FileBytes>(m, "FileBytes",
                          "An open file, by its descriptor, for a scan. Without `mapped`, all of it is read; "
                          "else what is in\n"
                          "the page cache is mapped.")
        .def(py::init<int, std::string, bool>(), py::arg("descriptor"), py::arg("name"), py::kw_only(),
             py::arg("mapped") = true);
    py::class_<Scan>(m, "SparsityScan",
                     "One pass over a weight, region by region: how many elements are zero and how they lie.")
        .def(py::init([](const std::string& dtype, std::uint64_t rows, std::uint64_t columns,
                         std::uint64_t channel_columns, bool flat, std::int64_t zero, bool magnitudes) {
                 const WeightShape shape{rows, columns, channel_columns, flat};
                 return std::make_unique<Scan>(parse_element(dtype), shape, zero, magnitudes);
             }),
             py::arg("dtype"), py::arg("rows"), py::arg("columns"), py::kw_only(),
             py::arg("channel_columns") = 1, py::arg("flat") = false, py::arg("zero") = 0,
             py::arg("magnitudes") = true)
        .def("add", &add_region, py::arg("data"), py::kw_only(), py::arg("offset") = 0,
             py::arg("first_row") = 0, py::arg("rows") = py::none(), py::arg("first_column") = 0,
             py::arg("columns") = py::none(), py::arg("row_stride") = py::none(),
             py::arg("inner") = std::vector<std::pair<std::uint64_t, std::int64_t>>{}, py::arg("threads") = 1,
             py::arg("simd") = py::none(),
             "Scans a region; `data` is a flat buffer, an address, or FileBytes; `offset` and strides are in "
             "bytes. Rows\n"
             "start at a multiple of 64, and so do columns.")
        .def("result", &result_of,
             "What was found, when every element has been in one region. `groups` are (n, m, axis, groups,\n"
             "satisfied), `blocks` (size, blocks, wholly zero); what does not fill a group or a block is\n"
             "filled up with zeros.");
    m.def(
        "element_bits", [](const std::string& dtype) { return parse_element(dtype).bits; }, py::arg("dtype"),
        "The width of an element that can be scanned; of \"int4\" and its kin two lie in a byte.");
    m.def("sum_words", &sum_words, py::arg("data"),
          "The sum of the 64-bit words of a flat buffer: memory as fast as one thread can read it, for\n"
          "benchmarks.");
    m.attr("SAMPLE_SIZE") = kSampleSize;
}

}  // namespace infercost
