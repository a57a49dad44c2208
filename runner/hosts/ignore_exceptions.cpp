#include "runner/hosts/ignore_exceptions.h"

#include <fnmatch.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <span>
#include <string_view>

namespace runner {
namespace {

using Parts = std::vector<std::string>;

Parts split(std::string_view path) {
  Parts parts;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    parts.emplace_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return parts;
}

bool matches(std::span<const std::string> pattern, std::span<const std::string> path) {
  if (pattern.empty()) return path.empty();
  if (pattern[0] == "**") {
    for (std::size_t skipped = 0; skipped <= path.size(); ++skipped) {
      // Behind the last "**" there is something: "a/**" is not "a".
      if (pattern.size() == 1 ? skipped < path.size() : matches(pattern.subspan(1), path.subspan(skipped))) return true;
    }
    return false;
  }
  return !path.empty() && ::fnmatch(pattern[0].c_str(), path[0].c_str(), 0) == 0 &&
         matches(pattern.subspan(1), path.subspan(1));
}

void trim_end(std::string& line) {
  if (line.ends_with('\r')) line.pop_back();
  while (line.ends_with(' ') && !line.ends_with("\\ ")) line.pop_back();
}

}  // namespace

const std::vector<IgnoreExceptions::Rule>& IgnoreExceptions::rules_of(const std::string& directory) {
  const auto [found, is_new] = rules_.try_emplace(directory);
  if (!is_new) return found->second;
  std::ifstream file(top_ / directory / ".gitignore");
  for (std::string line; std::getline(file, line);) {
    trim_end(line);
    Rule rule;
    std::string_view pattern = line;
    if (pattern.empty() || pattern.front() == '#') continue;
    if (pattern.front() == '!') {
      rule.exception = true;
      pattern.remove_prefix(1);
    }
    if (pattern.ends_with('/')) {
      rule.directories_only = true;
      pattern.remove_suffix(1);
    }
    // A slash within ties it to this directory.
    const bool tied = pattern.find('/') != std::string_view::npos;
    if (pattern.starts_with('/')) pattern.remove_prefix(1);
    if (pattern.empty()) continue;
    if (!tied) rule.parts.emplace_back("**");
    for (std::string& part : split(pattern)) rule.parts.push_back(std::move(part));
    found->second.push_back(std::move(rule));
  }
  return found->second;
}

bool IgnoreExceptions::take_out(const std::string& path, bool directory) {
  for (std::size_t slash = path.rfind('/'); slash != std::string::npos && slash > 0;
       slash = path.rfind('/', slash - 1)) {
    const std::vector<Rule>& rules = rules_of(path.substr(0, slash));
    if (rules.empty()) continue;
    const Parts below = split(std::string_view(path).substr(slash + 1));
    const auto decides = std::find_if(rules.rbegin(), rules.rend(), [&](const Rule& rule) {
      return (directory || !rule.directories_only) && matches(rule.parts, below);
    });
    if (decides != rules.rend()) return decides->exception;
  }
  return false;
}

}  // namespace runner
