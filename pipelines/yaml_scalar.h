// What YAML 1.1 takes a plain scalar for, by the rules of Ruby's Psych (lib/psych/scalar_scanner.rb), which GitLab
// uses: `yes` is a boolean, `012` an octal number, `1:30` sexagesimal. Where a later YAML would differ, GitLab's users
// have been bitten already; a file must mean here what it means there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pipelines {

enum class ScalarType : std::uint8_t { null, boolean, integer, floating, string };

ScalarType scalar_type(std::string_view plain);

// For type boolean.
bool scalar_is_true(std::string_view plain);

// For type integer; absent when it does not fit.
std::optional<std::int64_t> scalar_integer(std::string_view plain);

// The text Ruby's to_s gives for the value, which is what a CI/CD variable gets: 012 -> "10", 1.10 -> "1.1",
// yes -> "true". Other scalars: as they are.
std::string scalar_to_s(std::string_view plain);

}  // namespace pipelines
