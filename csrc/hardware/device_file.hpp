// The facts of a device file, in the units of the file.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/errors.hpp"
#include "core/json.hpp"
#include "hardware/costs.hpp"

namespace infercost {

class DeviceFile {
  public:
    // Throws InputError if the content does not follow the schema or its values contradict each other; the
    // message begins with the name of the document.
    explicit DeviceFile(const JsonEntry& content);

    const std::string& id() const { return texts_.find("id")->second; }
    const std::string& family() const { return texts_.find("family")->second; }
    MachineKind kind() const { return kind_; }

    // Whether the file has the key or the table at a dotted path.
    bool has(std::string_view path) const { return paths_.contains(path); }
    // A number, or a boolean as 0 or 1.
    std::optional<double> number(std::string_view path) const;
    double number_or(std::string_view path, double otherwise) const {
        return number(path).value_or(otherwise);
    }
    std::string_view text(std::string_view path) const;  // empty where the file has none
    const std::vector<std::string>& unverified() const { return unverified_; }
    // Numbers by their paths.
    const std::map<std::string, double, std::less<>>& numbers() const { return numbers_; }

    // Facts that an estimate of time needs and the file lacks; empty for a usable device.
    std::vector<std::string> missing() const;
    // Throws InputError where `kind`, of the file's family, is another kind than that of the file.
    void check_family(std::string_view kind) const;
    // Throws InputError: "<file>: <what>".
    [[noreturn]] void fail(const std::string& what) const { throw InputError(name_ + ": " + what); }

  private:
    void check_names() const;
    void check_caches() const;
    void check_dram() const;
    void check_source() const;
    std::vector<std::string> load_bearing() const;

    std::string name_;
    MachineKind kind_ = MachineKind::gpu;
    std::set<std::string, std::less<>> paths_;
    std::map<std::string, double, std::less<>> numbers_;
    std::map<std::string, std::string, std::less<>> texts_;
    std::vector<std::string> unverified_;
};

}  // namespace infercost
