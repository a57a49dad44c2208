// Reports that are read, besides being kept: what a job says to later jobs.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "executors/executor.h"
#include "runner/run/report_summary.h"

namespace runner {

struct ReadDotenv {
  std::vector<std::pair<std::string, std::string>> variables;  // in the order of files and lines; later ones win
  std::vector<std::string> warnings;
  std::string refused;  // why GitLab takes none of them, in one line; then there are no variables
};
// The dotenv reports among what was collected (docs.gitlab.com/ci/yaml/artifacts_reports, "dotenv", and GitLab's
// app/services/ci/parse_dotenv_artifact_service.rb). GitLab refuses a file of 5 KiB or more and one with any line that
// is no KEY=value, and the job fails for it. Files that cannot be read are std::filesystem errors.
ReadDotenv read_dotenv(const std::vector<executors::Collected>&);

struct ReadReports {
  std::vector<ReportSummary> summaries;  // one of each kind that can be read, in the order they were collected
  std::vector<std::string> warnings;     // one for each file that cannot
};
// What the reports among what was collected come to. Never throws: a report that says nothing fails no job.
ReadReports read_reports(const std::vector<executors::Collected>&);

}  // namespace runner
