// GitLab's human durations (`timeout`, `expire_in`, `start_in`): "3h 30m", "1 week", "2 hrs 20 min", "6 mos 1 day",
// "3600 seconds"; a bare number is seconds. 1 mo = 30 days, 1 yr = 365.25 days, as the chronic_duration gem has it.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace pipelines {

// Absent when the text is no duration. Zero and negative values are returned as they are: the caller judges them.
std::optional<std::chrono::seconds> parse_duration(std::string_view text);

// `never`, in any case (GitLab's lib/gitlab/ci/build/duration_parser.rb).
bool is_never(std::string_view text);

}  // namespace pipelines
