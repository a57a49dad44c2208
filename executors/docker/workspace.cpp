#include "executors/docker/workspace.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>

namespace executors::docker {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view upper_name = "up", work_name = "wk", merged_name = "in";
constexpr auto open_to_all = fs::perms::all;  // any user of a container must be able to write there

[[noreturn]] void fail(const std::string& what, const fs::path& path, const std::error_code& error) {
  throw WorldError("runner_system_failure", what + " " + path.string() + ": " + error.message(),
                   error == std::errc::no_space_on_device ? "free some space, for instance by `runner gc`" : "");
}

void make_open_directory(const fs::path& path) {
  std::error_code error;
  fs::create_directory(path, error);
  if (!error) fs::permissions(path, open_to_all, error);  // create_directory minds the umask
  if (error) fail("cannot make the directory", path, error);
}

std::string escaped(const fs::path& path, std::string_view special) {
  std::string text;
  for (const char c : path.string()) {
    if (special.find(c) != std::string_view::npos) text += '\\';
    text += c;
  }
  return text;
}

std::vector<fs::path> lowers_of(const JobSpec& spec) {
  std::vector<fs::path> lowers(spec.inputs.rbegin(), spec.inputs.rend());
  if (!spec.sources.snapshot.empty()) lowers.push_back(spec.sources.snapshot);
  return lowers;
}

void link_or_copy(const fs::path& from, const fs::path& to) {
  if (::linkat(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), 0) == 0) return;
  std::error_code error(errno, std::generic_category());
  // Another file system, too many links of one file, or links to others' files forbidden.
  if (error != std::errc::cross_device_link && error != std::errc::too_many_links &&
      error != std::errc::operation_not_permitted)
    fail("cannot link to", to, error);
  fs::copy(from, to, fs::copy_options::copy_symlinks, error);
  if (error) fail("cannot copy to", to, error);
}

void merge_one(const fs::path& from, const fs::path& to) {
  std::error_code error;
  for (fs::directory_iterator entries(from, error), end; !error && entries != end; entries.increment(error)) {
    const fs::path target = to / entries->path().filename();
    const bool directory = entries->symlink_status().type() == fs::file_type::directory;
    const fs::file_type there = fs::symlink_status(target, error).type();
    error.clear();
    if (directory) {
      if (there != fs::file_type::not_found && there != fs::file_type::directory) fs::remove(target);
      if (there != fs::file_type::directory) make_open_directory(target);
      merge_one(entries->path(), target);
    } else {
      if (there != fs::file_type::not_found) fs::remove_all(target);
      link_or_copy(entries->path(), target);
    }
  }
  if (error) fail("cannot read", from, error);
}

}  // namespace

std::string overlay_options(const std::vector<fs::path>& lowers_top_down, const fs::path& upper, const fs::path& work) {
  std::string lower;
  for (const fs::path& path : lowers_top_down) lower += (lower.empty() ? "" : ":") + escaped(path, "\\:,");
  return "lowerdir=" + lower + ",upperdir=" + escaped(upper, "\\,") + ",workdir=" + escaped(work, "\\,") + ",userxattr";
}

void merge_by_links(const std::vector<fs::path>& trees, const fs::path& to) {
  make_open_directory(to);
  try {
    for (const fs::path& tree : trees) merge_one(tree, to);
  } catch (const fs::filesystem_error& error) {
    fail("cannot merge into", to, error.code());
  }
}

Workspace Workspace::overlay(const JobSpec& spec) {
  const fs::path upper = spec.directory / upper_name;
  const fs::path work = spec.directory / work_name;
  make_open_directory(upper);
  std::vector<fs::path> lowers = lowers_of(spec);
  Workspace workspace;
  if (lowers.empty()) {  // an overlay needs something below
    workspace.mount_ = {ProjectMount::Kind::bind, {}, upper};
  } else {
    make_open_directory(work);
    std::string options = overlay_options(lowers, upper, work);
    if (options.size() > longest_options || lowers.size() > most_layers) {
      const fs::path merged = spec.directory / merged_name;
      merge_by_links(spec.inputs, merged);
      lowers = {merged};
      if (!spec.sources.snapshot.empty()) lowers.push_back(spec.sources.snapshot);
      options = overlay_options(lowers, upper, work);
    }
    workspace.mount_ = {ProjectMount::Kind::overlay, std::move(options), {}};
  }
  workspace.layers_.top_down.push_back(upper);
  workspace.layers_.top_down.insert(workspace.layers_.top_down.end(), lowers.begin(), lowers.end());
  return workspace;
}

Workspace Workspace::copy(const JobSpec& spec) {
  const fs::path upper = spec.directory / upper_name;
  if (spec.sources.snapshot.empty()) {
    make_open_directory(upper);
  } else {
    copy_tree(spec.sources.snapshot, upper);
  }
  overlay_copy(spec.inputs, upper);
  Workspace workspace;
  workspace.mount_ = {ProjectMount::Kind::bind, {}, upper};
  workspace.layers_.top_down = {upper};
  return workspace;
}

Workspace Workspace::found(const JobSpec& spec) {
  Workspace workspace;
  workspace.layers_.top_down = {spec.directory / upper_name};
  std::error_code ignored;
  if (!fs::exists(spec.directory / work_name, ignored)) return workspace;  // a copy, or nothing below
  if (fs::exists(spec.directory / merged_name, ignored)) {
    workspace.layers_.top_down.push_back(spec.directory / merged_name);
    if (!spec.sources.snapshot.empty()) workspace.layers_.top_down.push_back(spec.sources.snapshot);
  } else {
    const std::vector<fs::path> lowers = lowers_of(spec);
    workspace.layers_.top_down.insert(workspace.layers_.top_down.end(), lowers.begin(), lowers.end());
  }
  return workspace;
}

}  // namespace executors::docker
