#include "executors/workspace/merged_view.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <system_error>
#include <unordered_map>

namespace executors {
namespace {

bool is_opaque(int directory) {
  for (const char* mark : {"user.overlay.opaque", "trusted.overlay.opaque"}) {
    char value = 0;
    if (::fgetxattr(directory, mark, &value, 1) == 1 && value == 'y') return true;
  }
  return false;
}

bool is_whiteout(int directory, const Name& entry) {
  struct stat info = {};
  return entry.type == DT_CHR && ::fstatat(directory, entry.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0);
}

}  // namespace

MergedView::MergedView(const Layers& layers) {
  for (const auto& layer : layers.top_down) {
    roots_.emplace_back(::open(layer.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!roots_.back() && errno != ENOENT) throw_errno(layer.string());
  }
}

MergedView::LayerList MergedView::all() const {
  LayerList layers;
  for (std::size_t i = 0; i < roots_.size(); ++i) {
    if (roots_[i]) layers.push_back(i);
  }
  return layers;
}

UniqueFd MergedView::open(const std::string& path, std::size_t layer) const {
  try {
    return open_below(roots_[layer].get(), path);
  } catch (const std::system_error& error) {
    // A directory that its owner may not read: only the upper has such.
    if (layer != 0 || error.code() != std::errc::permission_denied) throw;
    if (::fchmodat(roots_[0].get(), path.c_str(), kDirectoryMode, 0) != 0) throw;
    return open_below(roots_[0].get(), path);
  }
}

MergedView::LayerList MergedView::visible(const std::string& path, const LayerList& layers) const {
  LayerList seen;
  for (const std::size_t layer : layers) {
    seen.push_back(layer);
    if (layers.size() > 1 && is_opaque(open(path, layer).get())) break;
  }
  return seen;
}

std::vector<MergedView::Entry> MergedView::list(const std::string& path, const LayerList& layers) const {
  std::vector<Entry> entries;
  // Where a name stands in `entries`; closed when lower layers add nothing to it.
  struct Place {
    std::size_t index = 0;
    bool closed = false;
  };
  std::unordered_map<std::string, Place> places;
  const LayerList shown = visible(path, layers);
  for (const std::size_t layer : shown) {
    const UniqueFd directory = open(path, layer);
    for (Name& entry : read_directory(directory.get())) {
      const bool whiteout = is_whiteout(directory.get(), entry);
      if (shown.size() == 1) {
        if (!whiteout) entries.push_back({std::move(entry.name), entry.type, {layer}});
        continue;
      }
      const auto [found, is_new] = places.try_emplace(entry.name);
      Place& place = found->second;
      if (is_new) {
        place = {entries.size(), entry.type != DT_DIR};
        if (!whiteout) entries.push_back({std::move(entry.name), entry.type, {layer}});
      } else if (!place.closed && entry.type == DT_DIR) {
        entries[place.index].layers.push_back(layer);
      } else {
        place.closed = true;
      }
    }
  }
  return entries;
}

void remove_overlay_marks(int directory) {
  std::array<char, 4096> names;
  const ssize_t size = ::flistxattr(directory, names.data(), names.size());
  if (size <= 0) return;
  std::string_view rest(names.data(), static_cast<std::size_t>(size));
  while (!rest.empty()) {
    const std::string name(rest.substr(0, rest.find('\0')));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    if (name.starts_with("user.overlay.") || name.starts_with("trusted.overlay.")) {
      ::fremovexattr(directory, name.c_str());
    }
  }
}

}  // namespace executors
