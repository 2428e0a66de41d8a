// A small test harness with a main(). TEST defines a test, CHECK and CHECK_THROWS record what fails in it.
#pragma once

#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

namespace check {

struct Test {
    const char* name;
    void (*run)();
};

inline std::vector<Test>& tests() {
    static std::vector<Test> all;
    return all;
}

struct Registration {
    Registration(const char* name, void (*run)()) { tests().push_back({name, run}); }
};

inline int failures = 0;

inline void fail(const char* file, int line, const std::string& what) {
    std::cerr << file << ':' << line << ": " << what << '\n';
    ++failures;
}

// Expects an Error whose message contains `part`.
template <class Error, class Run>
void throws(const char* file, int line, const std::string& part, Run&& run) {
    try {
        run();
    } catch (const Error& error) {
        const std::string message = error.what();
        if (message.find(part) == std::string::npos) {
            fail(file, line, "the message is \"" + message + "\"; expected \"" + part + "\" in it");
        }
        return;
    } catch (const std::exception& error) {
        return fail(file, line, std::string("an error of another type: ") + error.what());
    }
    fail(file, line, "no error; expected one with \"" + part + "\"");
}

inline int run_all() {
    int failed = 0;
    for (const Test& test : tests()) {
        failures = 0;
        try {
            test.run();
        } catch (const std::exception& error) {
            fail(test.name, 0, std::string("unexpected error: ") + error.what());
        }
        if (failures > 0) std::cerr << "FAILED " << test.name << '\n';
        failed += failures > 0;
    }
    std::cout << static_cast<int>(tests().size()) - failed << " passed, " << failed << " failed\n";
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace check

#define TEST(name)                                                   \
    static void name();                                              \
    static const check::Registration name##_registered(#name, name); \
    static void name()
#define CHECK(condition) ((condition) ? void() : check::fail(__FILE__, __LINE__, #condition))
#define CHECK_THROWS(Error, part, expression) \
    check::throws<Error>(__FILE__, __LINE__, part, [&] { static_cast<void>(expression); })

int main() {
    return check::run_all();
}
