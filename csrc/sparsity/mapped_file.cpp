#include "sparsity/mapped_file.hpp"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>

#ifdef _WIN32
#include <io.h>
#else
#include <array>
#include <atomic>
#include <limits>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#if defined(__SANITIZE_THREAD__)
#define INFERCOST_THREAD_SANITIZER
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define INFERCOST_THREAD_SANITIZER
#endif
#endif
#ifdef INFERCOST_THREAD_SANITIZER
#include <sys/syscall.h>

#include "core/errors.hpp"
#endif

namespace infercost {
namespace {

InputError ends_at(const std::string& name, std::uint64_t byte) {
    return InputError(name + " ends at byte " + std::to_string(byte) +
                      ", before the bytes that it had when it was opened; it was cut, or is "
                      "still being written: scan it again when it is whole");
}

InputError cannot_be_read(const std::string& name, std::uint64_t byte, int error) {
    return InputError(name + " cannot be read at byte " + std::to_string(byte) + ": " +
                      std::generic_category().message(error));
}

#ifdef _WIN32

std::optional<std::uint64_t> size_of(int /*descriptor*/) {
    return std::nullopt;
}

#else

// The maps that are being scanned. The handler of SIGBUS looks faults up here, so there are only atomics: a
// handler must not wait for a lock, and a child that is forked meanwhile must not find one taken.
struct GuardedMap {
    std::atomic<std::uintptr_t> begin{kFree};
    std::atomic<std::uintptr_t> end{0};
    std::atomic<std::uintptr_t> fault{0};  // the first address that could not be read

    static constexpr std::uintptr_t kFree = 0;
    static constexpr std::uintptr_t kClaimed = 1;  // begin and end are being set

    bool contains(std::uintptr_t address) const {
        const std::uintptr_t first = begin;
        const std::uintptr_t last = end;
        // A map that takes the place of another between the two loads is not that of the fault.
        return first > kClaimed && first == begin && first <= address && address < last;
    }
};
static_assert(std::atomic<std::uintptr_t>::is_always_lock_free);

constexpr std::size_t kGuardedMaps = 64;  // scans at a time; others read
std::array<GuardedMap, kGuardedMaps> guarded_maps;

bool map_zeros(void* at, std::size_t length) {
    constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
#if defined(INFERCOST_THREAD_SANITIZER) && defined(__linux__)
    // It takes a map over another for a write, which races with the threads that scan. Here it is meant to.
    return syscall(SYS_mmap, at, length, PROT_READ, kFlags, -1, 0L) == reinterpret_cast<long>(at);
#else
    return mmap(at, length, PROT_READ, kFlags, -1, 0) == at;
#endif
}

// Whether the fault was in one of the maps. It then consists of zeros, and the thread goes on with them; the
// scan finds the fault at its end. The whole map is replaced, since a part would split it, which fails in a
// process with as many maps as the system allows.
bool replace_map(std::uintptr_t address) {
    for (GuardedMap& map : guarded_maps) {
        if (!map.contains(address)) continue;
        const std::uintptr_t begin = map.begin;
        std::uintptr_t none = 0;
        map.fault.compare_exchange_strong(none, address);
        return map_zeros(reinterpret_cast<void*>(begin), map.end - begin);
    }
    return false;
}

// Whether another process or thread has sent the signal; its address then means nothing.
bool is_sent(const siginfo_t& info) {
#ifdef __linux__
    return info.si_code <= 0;
#else
    return info.si_code == SI_USER || info.si_code == SI_QUEUE;
#endif
}

struct sigaction default_action() {
    struct sigaction action{};
    action.sa_handler = SIG_DFL;
    sigemptyset(&action.sa_mask);
    return action;
}

// Does what would have happened if `action` were in place.
void carry_out(const struct sigaction& action, int number, siginfo_t* info, void* context) {
    if ((action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == SIG_IGN && is_sent(*info)) return;
    const struct sigaction defaults = default_action();
    if ((action.sa_flags & SA_SIGINFO) == 0 &&
        (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN)) {
        // A fault occurs again when the handler returns, and is then in the core dump where it was. Systems
        // end a process that ignores faults as well.
        sigaction(number, &defaults, nullptr);
        if (is_sent(*info)) raise(number);
        return;
    }
    // The flag is the highest bit: on Linux it is unsigned, and the flags are not.
    const auto once = static_cast<unsigned>(SA_RESETHAND);
    if ((static_cast<unsigned>(action.sa_flags) & once) != 0) sigaction(number, &defaults, nullptr);
    if ((action.sa_flags & SA_SIGINFO) != 0) {
        action.sa_sigaction(number, info, context);
    } else {
        action.sa_handler(number);
    }
}

// If another handler was installed above ours (Python's faulthandler, for example), ours must be installed
// again. The other passes on what it does not handle to ours below it; if both places were the same handler,
// the two would call each other without end. So each installation is a function of its own, with a previous
// action that never changes: every call goes down the chain.
constexpr std::size_t kInstallations = 16;  // afterwards, files are read

struct Installation {
    struct sigaction previous{};
    std::atomic<bool> is_set{false};  // publishes `previous` to handlers in other threads
};
std::array<Installation, kInstallations> installations;
std::atomic<std::size_t> installation_count{0};

template <std::size_t I>
void on_bus_error(int number, siginfo_t* info, void* context) {
    const int error = errno;
    const bool handled = !is_sent(*info) && replace_map(reinterpret_cast<std::uintptr_t>(info->si_addr));
    if (!handled && installations[I].is_set.load(std::memory_order_acquire)) {
        carry_out(installations[I].previous, number, info, context);
    }
    errno = error;
}

using Handler = void (*)(int, siginfo_t*, void*);

template <std::size_t... I>
constexpr std::array<Handler, sizeof...(I)> handlers_of(std::index_sequence<I...>) {
    return {&on_bus_error<I>...};
}
constexpr auto kHandlers = handlers_of(std::make_index_sequence<kInstallations>());

bool is_ours(const struct sigaction& action) {
    return (action.sa_flags & SA_SIGINFO) != 0 &&
           std::find(kHandlers.begin(), kHandlers.end(), action.sa_sigaction) != kHandlers.end();
}

bool is_same(const struct sigaction& a, const struct sigaction& b) {
    if (((a.sa_flags ^ b.sa_flags) & SA_SIGINFO) != 0) return false;
    return (a.sa_flags & SA_SIGINFO) != 0 ? a.sa_sigaction == b.sa_sigaction : a.sa_handler == b.sa_handler;
}

// Whether a fault of this thread, and of threads that it starts, reaches our handler first.
bool guard_is_in_place() {
    sigset_t blocked;
    if (pthread_sigmask(SIG_BLOCK, nullptr, &blocked) != 0 || sigismember(&blocked, SIGBUS) == 1)
        return false;
    while (true) {
        struct sigaction present{};
        if (sigaction(SIGBUS, nullptr, &present) != 0) return false;
        if (is_ours(present)) return true;
        // A sanitizer may refuse handlers without saying so (handle_sigbus=2): each round uses one up.
        std::size_t next = installation_count;
        do {
            if (next == kInstallations) return false;
        } while (!installation_count.compare_exchange_weak(next, next + 1));
        installations[next].previous = present;
        installations[next].is_set.store(true, std::memory_order_release);
        struct sigaction ours{};
        ours.sa_sigaction = kHandlers[next];
        ours.sa_mask = present.sa_mask;
        ours.sa_flags = SA_SIGINFO | SA_ONSTACK | (present.sa_flags & (SA_NODEFER | SA_RESTART));
        struct sigaction replaced{};
        if (sigaction(SIGBUS, &ours, &replaced) != 0) return false;
        // A handler that another thread has installed in between belongs into the chain as well.
        if (!is_ours(replaced) && !is_same(replaced, present)) sigaction(SIGBUS, &replaced, nullptr);
    }
}

// The size of a file; none for what has no size, such as a pipe.
std::optional<std::uint64_t> size_of(int descriptor) {
    struct stat status{};
    if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
    return static_cast<std::uint64_t>(status.st_size);
}

// Whether a sample of pages is in the page cache: to ask for all of them takes a tenth of a scan.
bool is_cached([[maybe_unused]] unsigned char* begin, [[maybe_unused]] std::size_t length,
               [[maybe_unused]] std::size_t page) {
#ifdef __linux__
    constexpr std::size_t kSampledPages = 32;
    const std::size_t pages = (length + page - 1) / page;
    const std::size_t samples = std::min(pages, kSampledPages);
    for (std::size_t i = 0; i < samples; ++i) {
        unsigned char state = 0;
        if (mincore(begin + pages * i / samples * page, page, &state) != 0 || (state & 1U) == 0) return false;
    }
#endif
    return true;
}

class GuardedBytes : public MappedBytes {
  public:
    // None if the bytes should be read instead.
    static std::unique_ptr<GuardedBytes> make(int descriptor, const std::string& name, std::uint64_t offset,
                                              std::uint64_t bytes) {
        const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        const std::size_t before = offset % page;  // maps begin at a page
        if (bytes == 0 || bytes > std::numeric_limits<std::size_t>::max() / 2) return nullptr;
        const std::size_t length = before + static_cast<std::size_t>(bytes);
        GuardedMap* const guard = claim();
        if (!guard) return nullptr;
        // A private map of a file works on some file systems that refuse a shared one.
        void* const at =
            mmap(nullptr, length, PROT_READ, MAP_PRIVATE, descriptor, static_cast<off_t>(offset - before));
        if (at == MAP_FAILED) {
            guard->begin = GuardedMap::kFree;
            return nullptr;
        }
        auto* const begin = static_cast<unsigned char*>(at);
        if (!is_cached(begin, length, page)) {
            guard->begin = GuardedMap::kFree;
            munmap(at, length);
            return nullptr;
        }
        guard->fault = 0;
        guard->end = reinterpret_cast<std::uintptr_t>(begin) + length;
        guard->begin = reinterpret_cast<std::uintptr_t>(begin);
        return std::unique_ptr<GuardedBytes>(
            new GuardedBytes(descriptor, name, offset, bytes, begin, before, *guard));
    }

    ~GuardedBytes() override {
        guard_.begin = GuardedMap::kFree;  // first, since another map may then take the addresses
        munmap(begin_, before_ + static_cast<std::size_t>(bytes_));
    }
    GuardedBytes(const GuardedBytes&) = delete;
    GuardedBytes& operator=(const GuardedBytes&) = delete;

    const unsigned char* data() const override { return begin_ + before_; }

    void check() const override {
        // The size also tells of a cut within the last page, which is then zero behind it.
        const std::optional<std::uint64_t> size = size_of(descriptor_);
        if (size && *size < offset_ + bytes_) throw ends_at(name_, *size);
        const std::uintptr_t fault = guard_.fault;
        if (fault == 0) return;
        const std::uint64_t byte = offset_ - before_ + (fault - reinterpret_cast<std::uintptr_t>(begin_));
        throw InputError(name_ + " could not be read at byte " + std::to_string(byte) +
                         " while it was scanned; it was cut meanwhile, or its disk has an error: "
                         "scan it again when it is whole");
    }

  private:
    GuardedBytes(int descriptor, const std::string& name, std::uint64_t offset, std::uint64_t bytes,
                 unsigned char* begin, std::size_t before, GuardedMap& guard)
        : descriptor_(descriptor),
          name_(name),
          offset_(offset),
          bytes_(bytes),
          begin_(begin),
          before_(before),
          guard_(guard) {}

    static GuardedMap* claim() {
        for (GuardedMap& map : guarded_maps) {
            std::uintptr_t free = GuardedMap::kFree;
            if (map.begin.compare_exchange_strong(free, GuardedMap::kClaimed)) return &map;
        }
        return nullptr;
    }

    int descriptor_;
    std::string name_;
    std::uint64_t offset_;
    std::uint64_t bytes_;
    unsigned char* begin_;
    std::size_t before_;  // bytes of the map before the first
    GuardedMap& guard_;
};

#endif

}  // namespace

FileBytes::FileBytes(int descriptor, std::string name, bool mapped)
    : descriptor_(descriptor), name_(std::move(name)), mapped_(mapped) {}

void FileBytes::read(std::uint64_t offset, std::size_t bytes, unsigned char* into) const {
    while (bytes > 0) {
        const std::int64_t got = read_some(offset, bytes, into);
        if (got < 0) throw cannot_be_read(name_, offset, errno);
        if (got == 0) throw ends_at(name_, std::min(offset, size_of(descriptor_).value_or(offset)));
        offset += static_cast<std::uint64_t>(got);
        into += got;
        bytes -= static_cast<std::size_t>(got);
    }
}

std::int64_t FileBytes::read_some(std::uint64_t offset, std::size_t bytes, unsigned char* into) const {
    constexpr std::size_t kMost = std::size_t{1} << 30;  // systems read no more than 2 GB at a time
    bytes = std::min(bytes, kMost);
#ifdef _WIN32
    const std::lock_guard<std::mutex> lock(mutex_);  // the position belongs to the descriptor
    if (_lseeki64(descriptor_, static_cast<std::int64_t>(offset), SEEK_SET) < 0) return -1;
    return _read(descriptor_, into, static_cast<unsigned>(bytes));
#else
    while (true) {
        const ssize_t got = pread(descriptor_, into, bytes, static_cast<off_t>(offset));
        if (got >= 0 || errno != EINTR) return got;
    }
#endif
}

std::unique_ptr<MappedBytes> FileBytes::map([[maybe_unused]] std::uint64_t offset,
                                            [[maybe_unused]] std::uint64_t bytes) const {
#ifndef _WIN32
    if (!mapped_) return nullptr;
    const std::optional<std::uint64_t> size = size_of(descriptor_);
    if (!size) return nullptr;
    if (offset > *size || bytes > *size - offset) throw ends_at(name_, *size);
    if (guard_is_in_place()) return GuardedBytes::make(descriptor_, name_, offset, bytes);
#endif
    return nullptr;
}

}  // namespace infercost
