// The bytes of a file for a scan: mapped under a guard where that works, and read elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#ifdef _WIN32
#include <mutex>
#endif

#include "sparsity/scan.hpp"

namespace infercost {

// A file that is open for reading. Parts of it that are in the page cache are mapped, since a copy of them
// takes a third of the time of a scan. Parts are read
// - on Windows, where a mapped file cannot be cut, but cannot be guarded against errors of a disk either;
// - if they are not in the page cache: reading ahead is faster than one page fault after another;
// - if they cannot be mapped (a pipe, a limit on address space) or not be guarded (see mapped_file.cpp).
//
// Reading a mapped page that the file no longer has, or that its disk does not deliver, raises SIGBUS. The
// guard turns it into an error. For this, the first map installs a handler of SIGBUS, which stays; it passes
// on all signals that are not about these maps.
class FileBytes : public ByteSource {
  public:
    // The descriptor must stay open. If `mapped` is false, all is read.
    FileBytes(int descriptor, std::string name, bool mapped = true);

    // Throws InputError if the file ends before these bytes, or cannot be read.
    void read(std::uint64_t offset, std::size_t bytes, unsigned char* into) const override;
    std::unique_ptr<MappedBytes> map(std::uint64_t offset, std::uint64_t bytes) const override;

  private:
    std::int64_t read_some(std::uint64_t offset, std::size_t bytes, unsigned char* into) const;

    int descriptor_;
    std::string name_;
    bool mapped_;
#ifdef _WIN32
    mutable std::mutex mutex_;
#endif
};

}  // namespace infercost
