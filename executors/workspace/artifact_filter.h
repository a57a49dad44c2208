// Which paths of a workspace an artifact takes: GitLab's `paths`, `exclude` and `untracked`. No file is touched here,
// except that the list of tracked files is read.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipelines/glob.h"

namespace executors {

class ArtifactFilter {
 public:
  // `project_dir`: absolute patterns below it are taken as relative to it.
  ArtifactFilter(const std::vector<std::string>& paths, const std::vector<std::string>& exclude,
                 std::string_view project_dir);
  // Takes also what the NUL-separated list of paths does not name. No list: nothing is tracked.
  void take_untracked(const std::filesystem::path& tracked_list);

  // A pattern names this directory, or no tracked file is below it: all that is in it is taken, unless excluded.
  bool takes_all_of(const std::string& directory);
  bool takes_file(const std::string& path, bool in_taken_directory);
  bool excludes(const std::string& path) const;
  // Whether it is worth looking into a directory, and into one of which all is taken.
  bool may_take_below(const std::string& directory) const;
  bool must_look_into(const std::string& taken_directory) const;

  std::vector<std::string> outside() const;    // patterns that leave the project
  std::vector<std::string> unmatched() const;  // patterns that named nothing

 private:
  struct Pattern {
    std::string text;                     // as the author wrote it
    std::optional<pipelines::Glob> glob;  // absent: the project's directory itself
    bool matched = false;
  };
  bool is_tracked(std::string_view path) const;
  bool has_tracked_below(const std::string& directory) const;

  std::vector<Pattern> include_;
  std::vector<pipelines::Glob> exclude_;
  std::vector<std::string> outside_;
  bool untracked_ = false;
  std::string tracked_text_;
  std::vector<std::string_view> tracked_;  // into it, sorted
};

// The pattern relative to the project's directory, without "." and ".."; "" is the directory itself; absent when it
// lies outside.
std::optional<std::string> relative_pattern(std::string_view pattern, std::string_view project_dir);

// Whether a link at `path` (relative to the project) leads out of the project, by its text alone.
bool leaves_project(std::string_view path, std::string_view target);

}  // namespace executors
