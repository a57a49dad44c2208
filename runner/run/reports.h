// Reports that are read, besides being kept: what a job says to later jobs.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "executors/executor.h"

namespace runner {

struct ReadDotenv {
  std::vector<std::pair<std::string, std::string>> variables;  // in the order of files and lines; later ones win
  std::vector<std::string> warnings;
};
// The dotenv reports among what was collected (docs.gitlab.com/ee/ci/yaml/artifacts_reports, "dotenv": 5 KiB each).
// Files that cannot be read are std::filesystem errors.
ReadDotenv read_dotenv(const std::vector<executors::Collected>&);

}  // namespace runner
