// The job directory: how a job is started, followed and ended without an attached stream, so that it outlives the
// runner. Shared by the Docker executor (mounted at /.job) and the shell executor.
//
//   go        FIFO: the line `go` starts the job         script, after   what to run (made at go)
//   sig       FIFO: signal names, one a line             log, after.log  their output, opened for append
//   hook, hook.log, hook.exit   the same of hooks:pre_get_sources_script, which `script` runs first
//   exit, after.exit   the code, written last; it counts only with its newline
//   ended     made when nothing of the job follows       shell       for people, see shell_script_text
//   status    written by the runner before it signals: `canceled` or `timedout` (CI_JOB_STATUS says so in
//             after_script), or `expired` or `killed` (then after_script does not run); by the job when its hook
//             failed: `nosources` (nor does it then)
//   tmp       for the job: RUNNER_TEMP_PROJECT_DIR
//
// Jenkins' durable-task plugin is the model. Everything in it may be spoilt by the job: files are opened by
// directory descriptor with O_NOFOLLOW, and sizes and types are checked.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "executors/executor.h"

namespace executors {

// The `sh -c` text that waits for the go and runs the job; for /.job or any other directory. Needs only sh; runs the
// script by bash where there is one.
// `linger`: when the job has failed it does not end but waits to be ended, and does not take part any more.
std::string bootstrap_script(std::string_view job_directory, bool linger = false);
// The same where the runner reads the container's output itself (an engine elsewhere): no go and no files but `script`,
// `after`, `sig` and `status`. Behind each of the two it writes `mark` CODE newline, and before it lingers once more
// with lingers_code.
std::string attached_script(std::string_view job_directory, std::string_view mark, bool linger = false);
inline constexpr int lingers_code = 999;

// The texts of `script` and `after`: exports, working directory, errexit and pipefail, then each item preceded by its
// `$ command` line. CI_JOB_STATUS of `after` comes from who runs it. A `script` with a hook runs that first; with a
// `mark` as for attached_script().
std::string script_text(const Work&, std::string_view project_dir, std::string_view mark = {});
std::string hook_script_text(const Work&, std::string_view project_dir);
std::string after_script_text(const Work&, std::string_view project_dir);
// The text of `shell`, which a person runs where the job was: the same variables and directory, then a shell.
std::string shell_script_text(const Work&, std::string_view project_dir);
inline constexpr std::string_view shell_name = "shell";
// As one word of a shell: quoted where it must be.
std::string shell_word(std::string_view);

class JobDirectory {
 public:
  // Makes DIR (0711) and DIR/.job with its FIFOs and log files, modes such that any user of a container can run there
  // and nobody else on the host can look in (the state directory above is 0700). Throws WorldError (disk full …).
  static JobDirectory create(const std::filesystem::path& directory);
  // Opens one that exists; absent when it is not (or no longer) whole.
  static std::optional<JobDirectory> open(const std::filesystem::path& directory);
  JobDirectory(JobDirectory&&) noexcept;
  JobDirectory& operator=(JobDirectory&&) noexcept;
  ~JobDirectory();

  std::filesystem::path path() const;  // DIR/.job

  void write_script(const Work&, std::string_view project_dir);
  void write_shell(const Work&, std::string_view project_dir);  // again and again, if need be
  bool started() const;  // write_script was called, by this runner or an earlier one
  // Gives the go once the bootstrap listens; false when `dead()` says it never will or the token stops.
  bool go(const std::function<bool()>& dead, const std::stop_token&);
  // Sends a signal name ("TERM", "KILL") to every process of the job but the bootstrap; false when nobody listens.
  bool signal(std::string_view name);
  bool listens() const;  // somebody would hear a signal: the sandbox lives, as far as the directory can tell
  void set_status(std::string_view status);

  struct Codes {
    std::optional<int> hook, script, after;
    bool ended = false;
  };
  Codes codes() const;
  Environment exported() const;  // see exported_file; what is no KEY=value is passed over
  // Adds to the job's log from outside: whole lines, while the script runs.
  void add_to_log(std::string_view lines) const;

  // Follows the job: writes the stream described at LogSink into `sink` from byte `from` on, as it grows (inotify, with
  // a safety poll), until the job has ended, `dead()` says the sandbox is gone, or a deadline/stop calls for action.
  // Signals and grace periods are handled here, for both executors:
  //   stop → status canceled, TERM, grace, KILL;  timeout → status expired, TERM, grace, KILL, no after_script;
  //   the script's own timeout → status timedout, TERM, grace, KILL, and after_script as far as there is time.
  // The script's time counts from write_script, so an adopted job keeps its deadline.
  struct Followed {
    std::optional<int> exit_code;  // absent: the sandbox died without saying
    std::optional<int> after_code;
    bool timed_out = false, cancelled = false, dead = false;
    bool hook_failed = false;       // the script did not run; exit_code is the hook's
    bool script_timed_out = false;  // timed_out by the script's own timeout
    bool disk_full = false;         // when dead: there was no room to say how it ended
  };
  struct Hooks {
    std::function<bool()> dead;   // cheap; asked four times a second: the sandbox is no longer there
    std::function<void()> kill;   // last resort when KILL through `sig` did not help
    std::function<bool()> hurry;  // the second Ctrl-C
  };
  Followed follow(const Work&, LogSink&, const Hooks&, std::uint64_t from, std::stop_token);

 private:
  JobDirectory();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The variables in the content of an exported_file.
Environment exported_of(std::string_view content);
// The work with its paths named by these; absent when that changes nothing.
std::optional<Work> renamed(const Work&, const Environment& exported);

// What a followed job comes to, without artifacts: passed, failed (script_failure, job_execution_timeout), cancelled,
// or broken (lost) when the sandbox died without saying; who knows more (out of memory …) corrects that.
JobResult result_of(const JobDirectory::Followed&, const Work&);

}  // namespace executors
