#include "executors/workspace/artifact_filter.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <ranges>
#include <utility>

namespace executors {
namespace {

std::vector<std::string_view> components(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const auto end = std::min(path.find('/'), path.size());
    if (end > 0) parts.push_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return parts;
}

}  // namespace

std::optional<std::string> relative_pattern(std::string_view pattern, std::string_view project_dir) {
  while (project_dir.ends_with('/')) project_dir.remove_suffix(1);
  if (pattern.starts_with('/')) {
    if (project_dir.empty() || !pattern.starts_with(project_dir)) return std::nullopt;
    pattern.remove_prefix(project_dir.size());
    if (!pattern.empty() && !pattern.starts_with('/')) return std::nullopt;
  }
  std::vector<std::string_view> kept;
  for (const auto part : components(pattern)) {
    if (part == ".") continue;
    if (part == "..") {
      if (kept.empty() || kept.back() == "**") return std::nullopt;
      kept.pop_back();
    } else {
      kept.push_back(part);
    }
  }
  std::string relative;
  for (const auto part : kept) relative.append(relative.empty() ? "" : "/").append(part);
  return relative;
}

bool leaves_project(std::string_view path, std::string_view target) {
  if (target.starts_with('/')) return true;
  std::ptrdiff_t depth = std::ranges::count(path, '/');
  for (const auto part : components(target)) {
    if (part == ".") continue;
    depth += part == ".." ? -1 : 1;
    if (depth < 0) return true;
  }
  return false;
}

ArtifactFilter::ArtifactFilter(const std::vector<std::string>& paths, const std::vector<std::string>& exclude,
                               std::string_view project_dir) {
  for (const std::string& text : paths) {
    if (text.empty()) continue;
    const auto relative = relative_pattern(text, project_dir);
    if (!relative) {
      outside_.push_back(text);
    } else if (relative->empty()) {
      include_.push_back({text, std::nullopt});
    } else {
      include_.push_back({text, pipelines::Glob(*relative)});
    }
  }
  for (const std::string& text : exclude) {
    if (const auto relative = relative_pattern(text, project_dir); relative && !relative->empty()) {
      exclude_.emplace_back(*relative);
    }
  }
}

void ArtifactFilter::take_untracked(const std::filesystem::path& tracked_list) {
  untracked_ = true;
  std::ifstream in(tracked_list, std::ios::binary);
  tracked_text_.assign(std::istreambuf_iterator<char>(in), {});
  std::string_view rest = tracked_text_;
  while (!rest.empty()) {
    const auto end = std::min(rest.find('\0'), rest.size());
    if (end > 0) tracked_.push_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  std::ranges::sort(tracked_);
}

bool ArtifactFilter::is_tracked(std::string_view path) const { return std::ranges::binary_search(tracked_, path); }

bool ArtifactFilter::has_tracked_below(const std::string& directory) const {
  const std::string prefix = directory + "/";
  const auto first = std::ranges::lower_bound(tracked_, std::string_view(prefix));
  return first != tracked_.end() && first->starts_with(prefix);
}

bool ArtifactFilter::takes_all_of(const std::string& directory) {
  bool takes = false;
  for (Pattern& pattern : include_) {
    if (pattern.glob ? pattern.glob->matches(directory) : directory.empty()) takes = pattern.matched = true;
  }
  // Git's own directory is not untracked; the project's own is not to be taken because nothing in it is tracked.
  if (!takes && untracked_ && !directory.empty() && directory != ".git") takes = !has_tracked_below(directory);
  return takes;
}

bool ArtifactFilter::takes_file(const std::string& path, bool in_taken_directory) {
  bool takes = in_taken_directory;
  for (Pattern& pattern : include_) {
    if (takes && pattern.matched) continue;
    if (pattern.glob && pattern.glob->matches(path)) takes = pattern.matched = true;
  }
  if (!takes && untracked_) takes = !is_tracked(path) && !path.starts_with(".git/");
  return takes && !excludes(path);
}

bool ArtifactFilter::excludes(const std::string& path) const {
  return std::ranges::any_of(exclude_, [&](const auto& glob) { return glob.matches(path); });
}

bool ArtifactFilter::may_take_below(const std::string& directory) const {
  if (untracked_ && directory != ".git") return true;
  return std::ranges::any_of(
      include_, [&](const Pattern& pattern) { return pattern.glob && pattern.glob->may_match_below(directory); });
}

bool ArtifactFilter::must_look_into(const std::string& taken_directory) const {
  return std::ranges::any_of(exclude_, [&](const auto& glob) { return glob.may_match_below(taken_directory); }) ||
         std::ranges::any_of(include_, [&](const Pattern& pattern) {
           return !pattern.matched && pattern.glob && pattern.glob->may_match_below(taken_directory);
         });
}

std::vector<std::string> ArtifactFilter::outside() const { return outside_; }

std::vector<std::string> ArtifactFilter::unmatched() const {
  std::vector<std::string> texts;
  for (const Pattern& pattern : include_) {
    if (!pattern.matched) texts.push_back(pattern.text);
  }
  return texts;
}

}  // namespace executors
