#include "runner/hosts/submodules.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <sstream>

namespace runner {
namespace {

namespace fs = std::filesystem;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\r";
  const std::size_t begin = text.find_first_not_of(space);
  return begin == std::string_view::npos ? std::string_view()
                                         : text.substr(begin, text.find_last_not_of(space) - begin + 1);
}

// A value or a section's name: quotes and backslashes go.
std::string unquoted(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') {
      continue;
    }
    if (text[i] == '\\' && i + 1 < text.size()) {
      ++i;
    }
    plain += text[i];
  }
  return plain;
}

bool matches(std::string_view spec, const std::string& path) {
  while (spec.ends_with('/')) {
    spec.remove_suffix(1);
  }
  if (spec.starts_with("./")) {
    spec.remove_prefix(2);
  }
  const std::string plain(spec);
  return plain == "." || path == plain || path.starts_with(plain + "/") ||
         ::fnmatch(plain.c_str(), path.c_str(), 0) == 0;
}

}  // namespace

bool matches_pathspecs(const std::vector<std::string>& specs, const std::string& path) {
  bool any = false;       // there is one that does not exclude
  bool included = false;  // and it matches
  for (const std::string& spec : specs) {
    std::string_view text = spec;
    bool excludes = false;
    for (const std::string_view magic : {":(exclude)", ":!", ":^"}) {
      if (text.starts_with(magic)) {
        text.remove_prefix(magic.size());
        excludes = true;
        break;
      }
    }
    if (excludes && matches(text, path)) {
      return false;
    }
    any = any || !excludes;
    included = included || (!excludes && matches(text, path));
  }
  return included || !any;
}

bool wants_submodule(const SourceChoice& choice, const std::string& path, unsigned level) {
  switch (choice.submodules) {
    case Submodules::none:
      return false;
    case Submodules::normal:
      return level == 0 && matches_pathspecs(choice.submodule_paths, path);
    case Submodules::recursive:
      break;
  }
  return level > 0 || matches_pathspecs(choice.submodule_paths, path);
}

std::map<std::string, std::string> submodule_names(std::string_view gitmodules) {
  constexpr std::string_view section = "[submodule ";
  std::map<std::string, std::string> names;
  std::string name;
  std::istringstream lines{std::string(gitmodules)};
  for (std::string line; std::getline(lines, line);) {
    const std::string_view text = trimmed(line);
    if (text.starts_with('[')) {
      name = text.starts_with(section) && text.ends_with(']')
                 ? unquoted(text.substr(section.size(), text.size() - section.size() - 1))
                 : std::string();
      continue;
    }
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos && !name.empty() && trimmed(text.substr(0, equals)) == "path") {
      names[unquoted(trimmed(text.substr(equals + 1)))] = name;
    }
  }
  return names;
}

git::Repository open_submodule(git_repository* container, const std::string& name, const std::string& path) {
  git::Repository found;
  const auto inside = [](const std::string& text) {
    return !text.empty() && std::ranges::none_of(fs::path(text), [](const fs::path& part) { return part == ".."; });
  };
  if (inside(name)) {
    for (const char* top : {git_repository_path(container), git_repository_commondir(container)}) {
      const fs::path place = fs::path(top) / "modules" / name;
      if (git_repository_open_ext(git::into(found), place.c_str(),
                                  GIT_REPOSITORY_OPEN_NO_SEARCH | GIT_REPOSITORY_OPEN_BARE, nullptr) == 0) {
        return found;
      }
    }
  }
  const char* work_tree = git_repository_workdir(container);
  if (work_tree != nullptr && inside(path)) {
    const fs::path place = fs::path(work_tree) / path;
    if (git_repository_open_ext(git::into(found), place.c_str(), GIT_REPOSITORY_OPEN_NO_SEARCH, nullptr) == 0) {
      return found;
    }
  }
  return nullptr;
}

git::Repository open_git_directory(const fs::path& git_dir) {
  git::Repository repository;
  if (git_repository_open(git::into(repository), git_dir.c_str()) != 0) {
    git::check(git_repository_open_ext(git::into(repository), git_dir.c_str(),
                                       GIT_REPOSITORY_OPEN_NO_SEARCH | GIT_REPOSITORY_OPEN_BARE, nullptr),
               fmt::format("cannot open the git repository {}", git_dir.string()));
  }
  return repository;
}

}  // namespace runner
