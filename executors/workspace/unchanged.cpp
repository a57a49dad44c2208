#include "executors/workspace/unchanged.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "executors/workspace/files.h"

namespace executors {
namespace {

// The clock that stamps files may stand still this long: what was touched less than this before is taken for touched.
constexpr std::int64_t clock_tick_ns = 12'000'000;
constexpr std::int64_t second = 1'000'000'000;

std::int64_t nanoseconds(const struct timespec& time) { return time.tv_sec * second + time.tv_nsec; }

class Comparison {
 public:
  Comparison(const MergedView& view, const Layers& workspace, ArtifactFilter& filter,
             const std::filesystem::path& restored, std::chrono::system_clock::time_point begun)
      : view_(view),
        filter_(filter),
        restored_(open_root(restored)),
        begun_(std::chrono::duration_cast<std::chrono::nanoseconds>(begun.time_since_epoch()).count()) {
    const auto at = std::ranges::find(workspace.top_down, restored);
    if (at != workspace.top_down.end()) layer_ = static_cast<std::size_t>(at - workspace.top_down.begin());
  }

  bool run() {
    const auto layers = view_.all();
    return !layers.empty() && same("", layers, filter_.takes_all_of(""));
  }

 private:
  using Left = std::map<std::string, unsigned char>;  // names and types of the restored tree that were not met yet

  // What is taken of a directory, and what the restored tree has there: nothing where it has no such directory.
  bool same(const std::string& path, const MergedView::LayerList& layers, bool taken) {
    Left left;
    const auto entries = view_.list(path, layers);
    if (!same_files(path, entries, taken, left)) return false;
    for (const auto& entry : entries) {
      if (entry.type != DT_DIR) continue;
      const std::string inner = join(path, entry.name);
      const bool all = filter_.takes_all_of(inner) || taken;
      if (!all && !filter_.may_take_below(inner)) continue;
      const bool there = take_from(left, entry);
      if ((all && !there) || !same_directory(inner, entry, all)) return false;
    }
    return left.empty();
  }

  // Before the directories, so that descriptors are not held while going deeper.
  bool same_files(const std::string& path, const std::vector<MergedView::Entry>& entries, bool taken, Left& left) {
    UniqueFd before;
    try {
      before = open_below(restored_.get(), path);
      for (Name& entry : read_directory(before.get())) left.emplace(std::move(entry.name), entry.type);
    } catch (const std::system_error&) {
      left.clear();  // not there: whatever is taken is new
    }
    std::map<std::size_t, UniqueFd> now;
    for (const auto& entry : entries) {
      if (entry.type == DT_DIR || !filter_.takes_file(join(path, entry.name), taken)) continue;
      UniqueFd& source = now[entry.layers.front()];
      if (!source) source = view_.open(path, entry.layers.front());
      if (!take_from(left, entry) || !same_file(source.get(), before.get(), entry)) return false;
    }
    return true;
  }

  static bool take_from(Left& left, const MergedView::Entry& entry) {
    const auto found = left.find(entry.name);
    if (found == left.end() || found->second != entry.type) return false;
    left.erase(found);
    return true;
  }

  bool same_directory(const std::string& path, const MergedView::Entry& entry, bool all) {
    const auto visible = view_.visible(path, entry.layers);
    if (all && layer_ && visible.size() == 1 && visible.front() == *layer_) return true;
    return same(path, visible, all);
  }

  bool same_file(int now, int before, const MergedView::Entry& entry) const {
    struct stat a = {};
    struct stat b = {};
    const char* name = entry.name.c_str();
    if (::fstatat(now, name, &a, AT_SYMLINK_NOFOLLOW) != 0 || ::fstatat(before, name, &b, AT_SYMLINK_NOFOLLOW) != 0) {
      return false;
    }
    if (a.st_dev == b.st_dev && a.st_ino == b.st_ino) return true;
    if (entry.type == DT_LNK) return read_link(now, name) == read_link(before, name);
    return entry.type == DT_REG && a.st_size == b.st_size && nanoseconds(a.st_mtim) == nanoseconds(b.st_mtim) &&
           kept_mode(a.st_mode) == kept_mode(b.st_mode) && nanoseconds(a.st_ctim) + clock_tick_ns < begun_;
  }

  const MergedView& view_;
  ArtifactFilter& filter_;
  const UniqueFd restored_;
  const std::int64_t begun_;
  std::optional<std::size_t> layer_;
};

}  // namespace

bool is_as_restored(const MergedView& view, const Layers& workspace, ArtifactFilter& filter,
                    const std::filesystem::path& restored, std::chrono::system_clock::time_point begun) {
  try {
    return Comparison(view, workspace, filter, restored, begun).run();
  } catch (const std::system_error&) {  // it cannot be looked at: it is stored like any other
    return false;
  }
}

}  // namespace executors
