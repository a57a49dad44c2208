// JobDirectory::follow: reads a job's log as it grows, keeps its clocks and signals it. One object follows one job
// once.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "executors/job_directory.h"
#include "executors/unique_fd.h"

namespace executors {

class JobFollower {
 public:
  struct Files {
    // hook_log: -1: there is no hook
    int directory, log, after_log,
        hook_log;  // descriptors opened before the job started, so a replaced name does not matter
    int inotify;   // or -1
  };
  JobFollower(JobDirectory&, Files, const Work&, LogSink&, const JobDirectory::Hooks&, std::uint64_t from,
              std::stop_token);
  JobDirectory::Followed run();

 private:
  using Clock = std::chrono::steady_clock;
  enum class Section { hook, script, after };
  // How far a job that must end has been pushed.
  enum class Push { none, term, kill, last_resort };

  bool follow_hook();
  void follow(Section);
  bool over(Section, const JobDirectory::Codes&) const;
  void open_section(Section);
  void close_section(Section);
  // Hands over at most `limit` bytes of the section's log; returns how many.
  std::uint64_t read_log(std::uint64_t limit);
  std::uint64_t log_size() const;
  void emit(std::string_view marker);
  const char* begins_with(Section) const;

  void keep_time(Section);
  void push(Push);
  void wait(Clock::time_point until, bool for_log);
  bool is_dead();
  std::optional<std::string> status() const;
  std::int64_t file_time(const char* name) const;

  JobDirectory& directory_;
  Files files_;
  const Work& work_;
  LogSink& sink_;
  const JobDirectory::Hooks& hooks_;
  std::stop_token stop_;
  JobDirectory::Followed result_;

  std::uint64_t skip_;        // bytes of the stream that a former runner has kept
  int log_ = -1;              // of the section
  std::uint64_t offset_ = 0;  // in it
  bool open_ = false;         // the section's start marker is out
  std::vector<char> buffer_;

  UniqueFd wake_;
  int log_watch_ = -1;
  Clock::time_point deadline_, next_push_, next_dead_check_;
  Push pushed_ = Push::none;
  bool stop_seen_ = false, term_sent_ = false;
  bool by_script_timeout_ = false;  // what the script's deadline is
};

}  // namespace executors
