// Whether a job left a cache as it was restored, found out without reading a file.
#pragma once

#include <chrono>
#include <filesystem>

#include "executors/workspace/artifact_filter.h"
#include "executors/workspace/merged_view.h"

namespace executors {

// Whether what `filter` takes of the workspace is exactly the tree `restored`. Where that is one of the workspace's
// layers, a directory that only it shows is the same whatever is in it. A file is the same when it has the same inode,
// or is a copy with the same size and times that was not touched since `begun`. When in doubt: no.
bool is_as_restored(const MergedView&, const Layers& workspace, ArtifactFilter&, const std::filesystem::path& restored,
                    std::chrono::system_clock::time_point begun);

}  // namespace executors
