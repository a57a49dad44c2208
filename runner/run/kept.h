// What `exec --keep` left: a file beside it names it, so that whoever clears up after runs knows it from what a dead
// process left. No engine and no database knows more of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "executors/executor.h"
#include "runner/run/events.h"

namespace runner {

struct KeptJob {
  std::string job;            // its name
  std::uint32_t number = 0;   // its place in the pipeline, from 1
  std::uint32_t attempt = 1;  // which was kept
  std::string resource;       // JobId::resource_name: what its containers and networks are called
  std::string image;          // empty: the shell executor's
  executors::Kept what;
};

// `RUN/kept.json` of the work directory (make_work_directory): an array of objects with job, number, attempt, resource,
// image, enter, container, network, pause and services.
// Adds one; the run's directory must be there. Throws WorldError. One thread at a time.
void remember_kept(const std::filesystem::path& run_directory, const KeptJob&);
// Empty: nothing was kept, or the file cannot be read.
std::vector<KeptJob> kept_jobs(const std::filesystem::path& run_directory);
bool has_kept(const std::filesystem::path& run_directory);
// By run.
std::map<RunId, std::vector<KeptJob>> all_kept_jobs(const std::filesystem::path& work_directory);

}  // namespace runner
