// Taking artifacts out of the workspace of a job that is over.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <system_error>
#include <utility>

#include "executors/workspace/artifact_filter.h"
#include "executors/workspace/files.h"
#include "executors/workspace/merged_view.h"
#include "executors/workspace/tree.h"
#include "executors/workspace/unchanged.h"

namespace executors {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void cannot_store(const std::string& path, int error) {
  throw WorldError(
      "artifacts_failed", "artifacts: cannot store " + path + ": " + std::generic_category().message(error),
      error == ENOSPC || error == EDQUOT ? "the disk is full: free some space (runner gc) and start again" : "");
}

// Says the first few of many like warnings, and how many more there were.
class Warnings {
 public:
  explicit Warnings(Notices& notices) : notices_(notices) {}
  Warnings(const Warnings&) = delete;
  Warnings& operator=(const Warnings&) = delete;
  void add(const std::string& line) {
    if (++count_ <= kMost) notices_.warning(line);
  }
  void end() {
    if (count_ > kMost) notices_.warning("artifacts: " + std::to_string(count_ - kMost) + " more left out");
  }

 private:
  static constexpr std::size_t kMost = 5;
  Notices& notices_;
  std::size_t count_ = 0;
};

// Takes what one filter selects into one new tree. The upper layer is the job's own and used up; the others are
// read-only and shared by hard links.
class Collector {
 public:
  enum class Own { move, link };  // what to do with the job's own files: link when another tree will want them too

  Collector(const MergedView& view, ArtifactFilter& filter, Own own, fs::path target, Warnings& warnings)
      : view_(view), filter_(filter), own_(own), target_(std::move(target)), warnings_(warnings) {}

  Collected run(std::string kind) {
    if (const auto layers = view_.all(); !layers.empty()) visit("", layers, filter_.takes_all_of(""));
    return {std::move(kind), target_, files_, bytes_};
  }
  bool took() const { return static_cast<bool>(root_); }

 private:
  void visit(const std::string& path, const MergedView::LayerList& layers, bool taken);
  void visit_directory(const std::string& path, const MergedView::Entry&, bool taken);
  bool move_whole(const std::string& path);
  void make_own(const std::string& path);
  void too_deep(const std::string& path);
  void make_own_file(int directory, const std::string& path, const std::string& name);

  void take(const std::string& directory, const MergedView::Entry&, int from, int to);
  void take_file(const std::string& path, const MergedView::Entry&, int from, int to);
  bool stays_inside(int directory, const std::string& path, const char* name);
  UniqueFd target(const std::string& directory);

  const MergedView& view_;
  ArtifactFilter& filter_;
  const Own own_;
  const fs::path target_;
  Warnings& warnings_;
  FileCopier copier_;
  UniqueFd root_;  // of the target, made with the first thing that is taken
  std::uint64_t files_ = 0, bytes_ = 0;
};

void Collector::visit(const std::string& path, const MergedView::LayerList& layers, bool taken) {
  if (taken && !path.empty() && !filter_.excludes(path)) target(path);  // an empty directory is taken, too
  auto entries = view_.list(path, layers);
  {
    // Files first, so that descriptors are not held while going deeper.
    std::vector<UniqueFd> from(layers.empty() ? 0 : layers.back() + 1);
    UniqueFd to;
    for (const auto& entry : entries) {
      if (entry.type == DT_DIR || !filter_.takes_file(join(path, entry.name), taken)) continue;
      UniqueFd& source = from[entry.layers.front()];
      if (!source) source = view_.open(path, entry.layers.front());
      if (!to) to = target(path);
      take(path, entry, source.get(), to.get());
    }
  }
  std::erase_if(entries, [](const auto& entry) { return entry.type != DT_DIR; });
  for (const auto& entry : entries) visit_directory(join(path, entry.name), entry, taken);
}

void Collector::visit_directory(const std::string& path, const MergedView::Entry& entry, bool taken) {
  try {
    taken = filter_.takes_all_of(path) || taken;
    if (!taken && !filter_.may_take_below(path)) return;
    const auto layers = view_.visible(path, entry.layers);
    const bool whole = taken && layers.size() == 1 && layers.front() == 0 && own_ == Own::move &&
                       !filter_.excludes(path) && !filter_.must_look_into(path);
    if (!whole || !move_whole(path)) visit(path, layers, taken);
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::filename_too_long) throw;
    too_deep(path);
  }
}

// A directory that only this job made goes over as it is: its files are only looked at.
bool Collector::move_whole(const std::string& path) {
  const auto slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "" : path.substr(0, slash);
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  const UniqueFd from = view_.open(parent, 0);
  const UniqueFd to = target(parent);
  struct stat here = {};
  struct stat there = {};
  if (::fstat(from.get(), &here) != 0 || ::fstat(to.get(), &there) != 0 || here.st_dev != there.st_dev) return false;
  make_own(path);
  if (::renameat(from.get(), name.c_str(), to.get(), name.c_str()) != 0) cannot_store(path, errno);
  return true;
}

// Makes a tree of the upper layer fit to be an artifact where it stands.
void Collector::make_own(const std::string& path) {
  std::vector<std::string> directories;
  {
    const UniqueFd directory = view_.open(path, 0);
    struct stat info = {};
    if (::fstat(directory.get(), &info) != 0) cannot_store(path, errno);
    if ((info.st_mode & 07777) != kDirectoryMode && ::fchmod(directory.get(), kDirectoryMode) != 0) {
      cannot_store(path, errno);
    }
    remove_overlay_marks(directory.get());
    for (Name& entry : read_directory(directory.get())) {
      const std::string inner = join(path, entry.name);
      if (entry.type == DT_DIR) {
        directories.push_back(std::move(entry.name));
      } else if (entry.type == DT_REG) {
        make_own_file(directory.get(), inner, entry.name);
      } else {
        if (entry.type == DT_LNK && stays_inside(directory.get(), inner, entry.name.c_str())) {
          ++files_;
          continue;
        }
        struct stat node = {};
        const bool whiteout = entry.type == DT_CHR &&
                              ::fstatat(directory.get(), entry.name.c_str(), &node, AT_SYMLINK_NOFOLLOW) == 0 &&
                              node.st_rdev == 0;
        if (entry.type != DT_LNK && !whiteout) warnings_.add("artifacts: " + inner + " is no file and left out");
        ::unlinkat(directory.get(), entry.name.c_str(), 0);
      }
    }
  }
  for (const auto& name : directories) {
    try {
      make_own(join(path, name));
    } catch (const std::system_error& error) {
      if (error.code() != std::errc::filename_too_long) throw;
      too_deep(path);
      remove_at(view_.open(path, 0).get(), name.c_str());
    }
  }
}

void Collector::too_deep(const std::string& path) {
  warnings_.add("artifacts: a path below " + path.substr(0, 100) + " is too long and left out");
}

void Collector::make_own_file(int directory, const std::string& path, const std::string& name) {
  struct stat info = {};
  if (::fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) cannot_store(path, errno);
  if (info.st_nlink > 1) {
    // Its other name may be anywhere, and be written through.
    const std::string copy = ".runner-copy";
    ::unlinkat(directory, copy.c_str(), 0);
    try {
      copier_.copy(directory, name.c_str(), directory, copy.c_str());
    } catch (const std::system_error& error) {
      cannot_store(path, error.code().value());
    }
    if (::renameat(directory, copy.c_str(), directory, name.c_str()) != 0) cannot_store(path, errno);
  } else if (const mode_t mode = kept_mode(info.st_mode);
             (info.st_mode & 07777) != mode && ::fchmodat(directory, name.c_str(), mode, 0) != 0) {
    cannot_store(path, errno);
  }
  ++files_;
  bytes_ += static_cast<std::uint64_t>(info.st_size);
}

void Collector::take(const std::string& directory, const MergedView::Entry& entry, int from, int to) {
  const std::string path = join(directory, entry.name);
  const char* name = entry.name.c_str();
  try {
    if (entry.type == DT_REG) {
      take_file(path, entry, from, to);
    } else if (entry.type == DT_LNK) {
      if (!stays_inside(from, path, name)) return;
      if (::symlinkat(read_link(from, name).c_str(), to, name) != 0) throw_errno(path);
      ++files_;
    } else {
      warnings_.add("artifacts: " + path + " is no file and left out");
    }
  } catch (const std::system_error& error) {
    cannot_store(path, error.code().value());
  }
}

void Collector::take_file(const std::string& path, const MergedView::Entry& entry, int from, int to) {
  const char* name = entry.name.c_str();
  struct stat info = {};
  if (::fstatat(from, name, &info, AT_SYMLINK_NOFOLLOW) != 0) throw_errno(path);
  const bool own = entry.layers.front() == 0;
  const mode_t mode = kept_mode(info.st_mode);
  bool done = false;
  if (!own) {
    done = (info.st_mode & 07777) == mode && ::linkat(from, name, to, name, 0) == 0;
  } else if (info.st_nlink == 1) {  // more names: one of them may be written through
    if ((info.st_mode & 07777) != mode && ::fchmodat(from, name, mode, 0) != 0) throw_errno(path);
    done = own_ == Own::move ? ::renameat(from, name, to, name) == 0 : ::linkat(from, name, to, name, 0) == 0;
  }
  if (!done) copier_.copy(from, name, to, name);  // other file systems, too many links, somebody else's file
  ++files_;
  bytes_ += static_cast<std::uint64_t>(info.st_size);
}

bool Collector::stays_inside(int directory, const std::string& path, const char* name) {
  const std::string target = read_link(directory, name);
  if (!leaves_project(path, target)) return true;
  warnings_.add("artifacts: " + path + " is a link out of the project (to " + target + ") and left out");
  return false;
}

// The directory in the new tree, made with its parents if it is not there.
UniqueFd Collector::target(const std::string& directory) {
  if (!root_) {
    std::error_code ignored;
    fs::create_directories(target_.parent_path(), ignored);
    if (::mkdir(target_.c_str(), 0700) != 0 || ::chmod(target_.c_str(), kDirectoryMode) != 0) {
      cannot_store(target_.string(), errno);
    }
    root_ = open_root(target_);
  }
  try {
    return open_below(root_.get(), directory);
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::no_such_file_or_directory) throw;
  }
  const auto slash = directory.rfind('/');
  const UniqueFd parent = target(slash == std::string::npos ? "" : directory.substr(0, slash));
  const std::string name = slash == std::string::npos ? directory : directory.substr(slash + 1);
  if (::mkdirat(parent.get(), name.c_str(), 0700) != 0 ||
      ::fchmodat(parent.get(), name.c_str(), kDirectoryMode, 0) != 0) {
    cannot_store(directory, errno);
  }
  return open_below(parent.get(), name);
}

bool wanted(pipelines::ArtifactsWhen when, bool passed) {
  using When = pipelines::ArtifactsWhen;
  return when == When::always || (when == When::on_success) == passed;
}

bool wanted(const CacheSpec& cache, bool passed) {
  return (!cache.paths.empty() || cache.untracked) && wanted(cache.when, passed);
}

void tell(const ArtifactFilter& filter, const std::string& what, Notices& notices) {
  for (const auto& pattern : filter.outside()) {
    notices.warning(what + ": " + pattern + " lies outside the project's directory: nothing taken");
  }
  for (const auto& pattern : filter.unmatched()) notices.warning(what + ": " + pattern + " matched nothing");
}

// GitLab tells of paths without a match for caches too, but goes on without a word of those outside.
ArtifactFilter filter_of(const CacheSpec& cache, std::string_view project_dir, const fs::path& tracked_list) {
  ArtifactFilter filter(cache.paths, {}, project_dir);
  if (cache.untracked) filter.take_untracked(tracked_list);
  return filter;
}

CollectedCache collect_cache(const MergedView& view, const Layers& workspace, ArtifactFilter&& filter,
                             const CacheSpec& cache, Collector::Own own, const fs::path& target,
                             std::chrono::system_clock::time_point begun, Notices& notices) {
  CollectedCache taken;
  taken.number = cache.number;
  if (!cache.restored.empty() && is_as_restored(view, workspace, filter, cache.restored, begun)) {
    taken.unchanged = true;
    return taken;
  }
  Warnings warnings(notices);
  Collector collector(view, filter, own, target, warnings);
  taken.tree = collector.run("cache");
  warnings.end();
  tell(filter, "cache", notices);
  if (!collector.took()) taken.tree.directory.clear();
  return taken;
}

}  // namespace

bool takes_archive(const ArtifactsSpec& spec, bool passed) {
  return (!spec.paths.empty() || spec.untracked) && wanted(spec.when, passed);
}

bool takes_caches(const std::vector<CacheSpec>& caches, bool passed) {
  return std::ranges::any_of(caches, [&](const CacheSpec& cache) { return wanted(cache, passed); });
}

std::vector<CollectedCache> collect_caches(const Layers& workspace, std::string_view project_dir,
                                           const fs::path& tracked_list, const std::vector<CacheSpec>& caches,
                                           bool passed, bool more, const fs::path& layer,
                                           std::chrono::system_clock::time_point begun, Notices& notices) {
  std::vector<CollectedCache> taken;
  std::vector<const CacheSpec*> asked;
  for (const CacheSpec& cache : caches) {
    if (wanted(cache, passed)) asked.push_back(&cache);
  }
  for (const CacheSpec* cache : asked) {
    const fs::path target = layer.string() + ".caches/" + std::to_string(cache->number);
    // Only the last taker may use the workspace up.
    const auto own = more || cache != asked.back() ? Collector::Own::link : Collector::Own::move;
    try {
      CollectedCache one = collect_cache(MergedView(workspace), workspace, filter_of(*cache, project_dir, tracked_list),
                                         *cache, own, target, begun, notices);
      if (one.unchanged || !one.tree.directory.empty()) taken.push_back(std::move(one));
    } catch (const std::exception& error) {
      notices.warning(std::string("cache: ") + error.what());
      remove_tree(target);
    }
  }
  return taken;
}

std::vector<Collected> collect(const Layers& workspace, std::string_view project_dir, const fs::path& tracked_list,
                               const ArtifactsSpec& spec, bool passed, const fs::path& layer, Notices& notices) {
  std::vector<Collected> collected;
  const fs::path reports = layer.string() + ".reports";
  try {
    const MergedView view(workspace);
    Warnings warnings(notices);
    // Before the archive, which uses the workspace up.
    for (const ReportSpec& report : spec.reports) {
      ArtifactFilter filter(report.paths, {}, project_dir);
      Collector collector(view, filter, Collector::Own::link, reports / report.kind, warnings);
      auto taken = collector.run(report.kind);
      if (!report.may_miss) tell(filter, "artifacts: reports: " + report.kind, notices);
      if (taken.files > 0) collected.push_back(std::move(taken));
    }
    if (takes_archive(spec, passed)) {
      ArtifactFilter filter(spec.paths, spec.exclude, project_dir);
      if (spec.untracked) filter.take_untracked(tracked_list);
      Collector collector(view, filter, Collector::Own::move, layer, warnings);
      auto taken = collector.run("archive");
      tell(filter, "artifacts", notices);
      if (collector.took()) collected.push_back(std::move(taken));
    }
    warnings.end();
    return collected;
  } catch (const std::system_error& error) {
    remove_tree(layer);
    remove_tree(reports);
    throw WorldError("artifacts_failed", std::string("artifacts: ") + error.what());
  } catch (const WorldError&) {
    remove_tree(layer);
    remove_tree(reports);
    throw;
  }
}

}  // namespace executors
