// Maps of files under a guard: cuts become errors, and other handlers of SIGBUS work as before.
#ifdef _WIN32
int main() {}
#else
#include "sparsity/mapped_file.hpp"

#include <atomic>
#include <chrono>
#include <numeric>
#include <signal.h>
#include <stdexcept>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "check.hpp"

using infercost::FileBytes;
using infercost::MappedBytes;

namespace {

constexpr std::size_t kBytes = std::size_t{1} << 20;

// A file of bytes that differ from zero, removed when it is closed.
class File {
  public:
    explicit File(std::size_t size = kBytes) {
        char name[] = "/tmp/infercost_mapped_XXXXXX";
        descriptor_ = mkstemp(name);
        unlink(name);
        std::vector<unsigned char> bytes(size);
        for (std::size_t i = 0; i < size; ++i) bytes[i] = at(i);
        write_at(0, bytes);
    }
    ~File() { close(descriptor_); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    static unsigned char at(std::size_t i) { return static_cast<unsigned char>(1 + i % 251); }
    int descriptor() const { return descriptor_; }
    void cut(std::size_t size) const {
        if (ftruncate(descriptor_, static_cast<off_t>(size)) != 0) throw std::runtime_error("ftruncate");
    }
    void write_at(std::size_t offset, const std::vector<unsigned char>& bytes) const {
        if (pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset)) !=
            static_cast<ssize_t>(bytes.size())) {
            throw std::runtime_error("pwrite");
        }
    }

  private:
    int descriptor_ = -1;
};

std::uint64_t sum(const MappedBytes& bytes, std::size_t from, std::size_t to) {
    return std::accumulate(bytes.data() + from, bytes.data() + to, std::uint64_t{0});
}

std::uint64_t expected_sum(std::size_t from, std::size_t to) {
    std::uint64_t total = 0;
    for (std::size_t i = from; i < to; ++i) total += File::at(i);
    return total;
}

// A map of another library.
class OwnMap {
  public:
    explicit OwnMap(const File& file)
        : at_(mmap(nullptr, kBytes, PROT_READ, MAP_PRIVATE, file.descriptor(), 0)) {}
    ~OwnMap() { munmap(at_, kBytes); }
    OwnMap(const OwnMap&) = delete;
    OwnMap& operator=(const OwnMap&) = delete;
    volatile const unsigned char* data() const { return static_cast<volatile const unsigned char*>(at_); }

  private:
    void* at_;
};

// The signal that ends a child which calls `run`; 0 if it returns.
template <class Run>
int signal_that_ends(Run&& run) {
    const pid_t child = fork();
    if (child == 0) {
        run();
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

void read_beyond_a_cut() {
    const File file;
    const OwnMap map(file);
    file.cut(0);
    static_cast<void>(map.data()[kBytes / 2]);
}

void guard_once() {
    const File file;
    if (!FileBytes(file.descriptor(), "f").map(0, kBytes)) throw std::runtime_error("no map");
}

std::atomic<int> calls{0};

void count_call(int) {
    ++calls;
}
void count_fault_and_end(int, siginfo_t* info, void*) {
    _exit(info->si_code > 0 && info->si_addr ? 42 : 43);
}

void install(int number, void (*handler)(int), int flags = 0) {
    struct sigaction action{};
    action.sa_handler = handler;
    action.sa_flags = flags;
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, nullptr);
}

}  // namespace

TEST(a_map_has_the_bytes_at_any_offset) {
    const File file;
    const FileBytes bytes(file.descriptor(), "f");
    for (const std::size_t offset : {0, 1, 7, 4095, 4096, 4097, 70'001}) {
        const auto map = bytes.map(offset, kBytes - offset);
        CHECK(map && sum(*map, 0, kBytes - offset) == expected_sum(offset, kBytes));
        map->check();
    }
}

TEST(bytes_behind_the_end_are_an_error) {
    const File file;
    const FileBytes bytes(file.descriptor(), "weights");
    CHECK_THROWS(std::invalid_argument, "weights ends at byte 1048576", bytes.map(1, kBytes));
    CHECK_THROWS(std::invalid_argument, "weights ends at byte 1048576", bytes.map(~0ULL - 5, 100));
}

TEST(a_cut_is_an_error_and_no_signal) {
    const File file;
    const FileBytes bytes(file.descriptor(), "weights");
    const auto map = bytes.map(100, kBytes - 100);
    file.cut(kBytes / 2);
    CHECK(sum(*map, kBytes / 2, kBytes - 100) == 0);
    CHECK_THROWS(std::invalid_argument, "weights ends at byte 524288", map->check());
}

TEST(a_cut_within_the_last_page_is_an_error) {
    const File file;
    const auto map = FileBytes(file.descriptor(), "weights").map(0, kBytes);
    file.cut(kBytes - 1);
    CHECK(sum(*map, kBytes - 2, kBytes) == File::at(kBytes - 2));
    CHECK_THROWS(std::invalid_argument, "weights ends at byte 1048575", map->check());
}

TEST(a_fault_is_an_error_if_the_file_is_whole_again) {
    const File file;
    const FileBytes bytes(file.descriptor(), "weights");
    const auto map = bytes.map(0, kBytes);
    const auto other = bytes.map(0, 4096);
    file.cut(kBytes / 2);
    CHECK(sum(*map, 800'000, 800'001) == 0);
    file.cut(kBytes);
    CHECK_THROWS(std::invalid_argument, "weights could not be read at byte 800000", map->check());
    other->check();  // it had no fault
    CHECK(sum(*other, 0, 4096) == expected_sum(0, 4096));
}

TEST(threads_that_fault_at_the_same_time_go_on) {
    for (int round = 0; round < 50; ++round) {
        const File file;
        const FileBytes bytes(file.descriptor(), "f");
        const auto map = bytes.map(0, kBytes);
        std::atomic<int> waiting = 4;
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&] {
                if (--waiting == 0) file.cut(0);
                while (waiting > 0) std::this_thread::yield();
                static_cast<void>(sum(*map, 0, kBytes));
            });
        }
        for (std::thread& thread : threads) thread.join();
        CHECK_THROWS(std::invalid_argument, "f ends at byte 0", map->check());
    }
}

TEST(scans_by_threads_of_a_file_that_is_cut_are_right_or_errors) {
    constexpr std::size_t kRows = 4096, kColumns = 4096;
    int errors = 0;
    for (int round = 0; round < 20; ++round) {
        const File file(kRows * kColumns);
        const FileBytes bytes(file.descriptor(), "weights");
        infercost::Scan scan(infercost::parse_element("uint8"), {kRows, kColumns, 1, false}, 0);
        infercost::ScanRegion region;
        region.rows = kRows;
        region.columns = kColumns;
        region.row_stride = kColumns;
        // Round 0 cuts nothing and round 1 cuts before the scan begins, so one result and one error
        // are certain; the scheduler decides about the others.
        std::thread cutter([&] {
            std::this_thread::sleep_for(std::chrono::microseconds(100 * (round - 1)));
            if (round > 0) file.cut(kRows * kColumns / 2);
        });
        if (round == 1) cutter.join();
        try {
            scan.add(region, bytes, 0, 3, infercost::best_isa());
            CHECK(scan.result().zeros == 0);
        } catch (const std::invalid_argument& error) {
            ++errors;
            CHECK(std::string(error.what()).find("weights ends at byte 8388608") == 0);
            CHECK_THROWS(std::invalid_argument, "regions of 0 elements", scan.result());
        }
        if (round != 1) cutter.join();
    }
    CHECK(errors > 0 && errors < 20);
}

TEST(what_cannot_be_mapped_or_guarded_is_read) {
    const File file;
    CHECK(!FileBytes(file.descriptor(), "f", false).map(0, kBytes));
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK(!FileBytes(ends[0], "f").map(0, 1));
    close(ends[0]);
    close(ends[1]);
    const FileBytes bytes(file.descriptor(), "f");
    sigset_t bus, before;
    sigemptyset(&bus);
    sigaddset(&bus, SIGBUS);
    pthread_sigmask(SIG_BLOCK, &bus, &before);
    CHECK(!bytes.map(0, kBytes));
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    std::vector<std::unique_ptr<MappedBytes>> maps;
    while (maps.size() < 1000) {
        auto map = bytes.map(0, 1);
        if (!map) break;
        maps.push_back(std::move(map));
    }
    CHECK(maps.size() == 64);
    maps.pop_back();
    CHECK(bytes.map(0, 1) != nullptr);
}

TEST(other_faults_end_the_process_as_before) {
    for (const bool guarded : {false, true}) {
        const auto ended_by = [&](auto run) {
            return signal_that_ends([&] {
                install(SIGBUS, SIG_DFL);  // sanitizers have a handler
                if (guarded) guard_once();
                run();
            });
        };
        CHECK(ended_by(read_beyond_a_cut) == SIGBUS);
        CHECK(ended_by([] { raise(SIGBUS); }) == SIGBUS);
        CHECK(ended_by([] { kill(getpid(), SIGBUS); }) == SIGBUS);
    }
}

TEST(ignored_signals_are_ignored_and_faults_are_not) {
    const auto ignore = [] {
        install(SIGBUS, SIG_IGN);
        guard_once();
    };
    CHECK(signal_that_ends([&] {
              ignore();
              raise(SIGBUS);
          }) == 0);
    CHECK(signal_that_ends([&] {
              ignore();
              read_beyond_a_cut();
          }) == SIGBUS);
}

TEST(handlers_from_before_and_after_are_called) {
    const auto run = [] {
        calls = 0;
        install(SIGBUS, &count_call);
        guard_once();
        raise(SIGBUS);
        if (calls != 1) abort();
        install(SIGBUS, &count_call, SA_RESETHAND);  // above the guard, which is installed again
        guard_once();
        raise(SIGBUS);
        if (calls != 2) abort();
        struct sigaction present{};
        sigaction(SIGBUS, nullptr, &present);
        if (present.sa_handler != SIG_DFL) abort();
    };
    CHECK(signal_that_ends(run) == 0);
    const pid_t child = fork();
    if (child == 0) {
        struct sigaction action{};
        action.sa_sigaction = &count_fault_and_end;
        action.sa_flags = SA_SIGINFO;
        sigaction(SIGBUS, &action, nullptr);
        guard_once();
        read_beyond_a_cut();
        _exit(1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

TEST(handlers_that_come_and_go_make_no_cycle) {
    const auto run = [](int rounds, bool guard_first) {
        install(SIGBUS, SIG_DFL);
        if (guard_first) guard_once();
        for (int i = 0; i < rounds; ++i) {
            // As Python's faulthandler is enabled: it puts back what was there, and raises the signal again.
            static struct sigaction before;
            struct sigaction action{};
            action.sa_handler = [](int number) {
                sigaction(number, &before, nullptr);
                raise(number);
            };
            action.sa_flags = SA_NODEFER;
            sigaction(SIGBUS, &action, &before);
            const File file;
            const auto map = FileBytes(file.descriptor(), "f").map(0, kBytes);
            // Places in the chain are used up at last, and files are read.
            if (i == 0 && !map) abort();
            if (i == 99 && map) abort();
            if (i < rounds - 1) sigaction(SIGBUS, &before, nullptr);  // and as it is disabled
        }
        read_beyond_a_cut();
    };
    for (const int rounds : {1, 2, 3, 100}) {
        CHECK(signal_that_ends([&] { run(rounds, false); }) == SIGBUS);
        CHECK(signal_that_ends([&] { run(rounds, true); }) == SIGBUS);
    }
}
#endif
