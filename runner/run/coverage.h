// `coverage`: the number that a job's expression finds in its log (docs.gitlab.com/ci/testing/code_coverage; GitLab's
// lib/gitlab/ci/trace/stream.rb, extract_coverage): of the last line that has one, of the last match the last group,
// and of that the first number.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace runner {

class CoverageFinder {
 public:
  explicit CoverageFinder(const std::string& expression);  // RE2's, valid
  CoverageFinder(const CoverageFinder&) = delete;
  CoverageFinder& operator=(const CoverageFinder&) = delete;
  ~CoverageFinder();
  void feed(std::string_view bytes);  // of the log, cut anywhere
  std::optional<double> finish();     // percent

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace runner
