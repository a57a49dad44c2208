#include "pipelines/include_path.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <vector>

namespace pipelines {

bool has_yaml_extension(std::string_view path) {
  std::string lower(path);
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return lower.ends_with(".yml") || lower.ends_with(".yaml");
}

std::variant<std::string, IncludeFault> include_path(std::string_view written) {
  if (const std::size_t scheme = written.find("://"); scheme != std::string_view::npos) {
    return IncludeFault{fmt::format("{} cannot be included", written),
                        "a path in the project, or `remote` with an address that begins with https://"};
  }
  std::string_view path = written;
  while (path.starts_with('/')) {
    path.remove_prefix(1);
  }
  while (path.starts_with("./")) {
    path.remove_prefix(2);
  }
  if (path.empty()) {
    return IncludeFault{"`include` names no file", "for example `include: ci/build.yml`"};
  }
  for (std::size_t begin = 0; begin < path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    if (path.substr(begin, end - begin) == "..") {
      return IncludeFault{fmt::format("{} leads out of the project", written),
                          "paths begin at the project's top, wherever the file stands that includes them"};
    }
    begin = end + 1;
  }
  if (path.find('\0') != std::string_view::npos) {
    return IncludeFault{"a path cannot hold a NUL", ""};
  }
  if (!has_yaml_extension(path)) {
    return IncludeFault{fmt::format("{} cannot be included: only .yml and .yaml files can", written),
                        "paths begin at the project's top"};
  }
  return std::string(path);
}

// Like Glob's: what is reached is a set of places in the pattern, so that time is pattern times path at worst.
bool include_pattern_matches(std::string_view pattern, std::string_view path) {
  std::vector<char> reached(pattern.size() + 1, 0);
  const auto star = [&](std::size_t i) { return i < pattern.size() && pattern[i] == '*'; };
  const auto close = [&] {  // a star may stand for nothing
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      if (reached[i] != 0 && star(i)) {
        reached[i + 1] = 1;
      }
    }
  };
  reached[0] = 1;
  close();
  for (const char c : path) {
    std::vector<char> next(pattern.size() + 1, 0);
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      if (reached[i] == 0) {
        continue;
      }
      if (!star(i)) {
        next[i + 1] = pattern[i] == c ? 1 : next[i + 1];
        continue;
      }
      const bool doubled = star(i + 1) || (i > 0 && star(i - 1));
      if (c != '/' || doubled) {
        next[i] = 1;
      }
    }
    reached.swap(next);
    close();
  }
  return reached.back() != 0;
}

}  // namespace pipelines
