// The forms a secret may take in a job's output. Pure; used by the redactor and its tests.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace runner {

// Sorted and unique; none shorter than `shortest_secret`. Empty for a secret that is too short.
std::vector<std::string> secret_forms(std::string_view secret);

}  // namespace runner
