// One job on an engine that sees nothing of this host: sources and script go in as tar streams, the output comes by
// attach, artifacts are fetched from the dead container. The same stream into the same LogSink as by the job
// directory, but it does not outlive the runner.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "executors/docker/engine.h"
#include "executors/executor.h"
#include "executors/job_directory.h"
#include "executors/workspace/tree.h"

namespace executors::docker {

// Cuts the job's stream where its bootstrap put the mark: `mark` CODE newline, behind the script's output and behind
// the after_script's. Bytes come cut anywhere.
class MarkScanner {
 public:
  using Text = std::function<void(std::string_view)>;
  using Code = std::function<void(int)>;
  MarkScanner(std::string mark, Text text, Code code)
      : mark_(std::move(mark)), text_(std::move(text)), code_(std::move(code)) {}
  void feed(std::string_view bytes);
  void finish();  // nothing follows: hands out what was held back

 private:
  std::string mark_;
  Text text_;
  Code code_;
  std::string held_;  // may be the beginning of a mark, or is one without its end
};

class AttachedJob {
 public:
  // `mark` is a word that no job would write by chance; it is also in the container's command.
  AttachedJob(Engine& engine, const JobSpec& spec, std::string mark)
      : engine_(engine), spec_(spec), mark_(std::move(mark)) {}
  static std::string random_mark();

  // Fills the created container with the snapshot and the inputs.
  void put_sources(const std::string& container);
  // Puts the script, starts the container and reads until its end, or until it lingers.
  JobDirectory::Followed run(const std::string& container, const Work&, LogSink&, const JobDirectory::Hooks&,
                             std::stop_token);
  // Gets what the patterns of artifacts and caches can match from the container, dead or alive, into `to`.
  Layers fetch(const std::string& container, const Work&, const std::filesystem::path& to);

 private:
  struct Progress;
  void keep_time(const std::string& container, const Work&, const JobDirectory::Hooks&, Progress&,
                 const std::stop_token&);
  void tell(const std::string& container, const std::string& text, const std::string& file);

  Engine& engine_;
  const JobSpec& spec_;
  const std::string mark_;
};

// The directory that a glob cannot leave: "dist/js/*.map" -> "dist/js"; empty: anywhere. A pattern without any
// wildcard is its own prefix.
std::string literal_prefix(std::string_view pattern);

}  // namespace executors::docker
