// What overlayfs showed of a stack of directories, read after the mount is gone (kernel documentation,
// filesystems/overlayfs): the topmost entry of a name wins, directories merge, whiteouts and opaque directories hide.
#pragma once

#include <string>
#include <vector>

#include "executors/unique_fd.h"
#include "executors/workspace/files.h"
#include "executors/workspace/tree.h"

namespace executors {

class MergedView {
 public:
  using LayerList = std::vector<std::size_t>;  // indexes into Layers::top_down, topmost first

  struct Entry {
    std::string name;
    unsigned char type = DT_UNKNOWN;  // DT_DIR, DT_REG, DT_LNK … of the topmost
    LayerList layers;                 // a directory: the layers it is merged from; else the one that has it
  };

  explicit MergedView(const Layers&);  // layers that do not exist are left out

  LayerList all() const;
  // The entries of the directory `path` ("" is the root), which is merged from `layers`.
  std::vector<Entry> list(const std::string& path, const LayerList& layers) const;
  // The same list without the layers that an opaque directory hides: one layer means that it is there as a whole.
  LayerList visible(const std::string& path, const LayerList& layers) const;
  // The directory in one layer.
  UniqueFd open(const std::string& path, std::size_t layer) const;

 private:
  std::vector<UniqueFd> roots_;  // the upper first; an absent one is closed
};

// Removes overlayfs's marks from a directory, so that it means nothing special in another stack.
void remove_overlay_marks(int directory);

}  // namespace executors
