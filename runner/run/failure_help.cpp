#include "runner/run/failure_help.h"

#include <fmt/core.h>

#include <exception>

#include "runner/run/kept.h"
#include "runner/run/terminal.h"

namespace runner {

std::string FailureHelp::nothing_to_enter(const std::string& why) const {
  return fmt::format("{}: {}",
                     settings_.shell && settings_.keep ? "no shell, and nothing kept"
                     : settings_.shell                 ? "no shell"
                                                       : "nothing kept",
                     why);
}

FailureHelp::Given FailureHelp::give(const Job& job, executors::Execution* execution, executors::Notices& notices,
                                     const std::stop_token& stop) {
  Given given;
  if (stop.stop_requested()) return given;
  if (execution == nullptr) {
    notices.warning(nothing_to_enter("its script had passed, and its sandbox is gone"));
    return given;
  }
  const auto attempt = [&notices](const char* otherwise, const auto& deed) {
    try {
      deed();
    } catch (const std::exception& error) {
      notices.warning(fmt::format("{}: {}", otherwise, error.what()));
    }
  };
  const auto begin = std::chrono::steady_clock::now();
  if (settings_.shell) {
    attempt("no shell", [&] { open_shell(job, *execution, notices, stop); });
  }
  given.with_person = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  if (settings_.keep) attempt("nothing kept", [&] { given.kept = keep(job, *execution); });
  return given;
}

void FailureHelp::open_shell(const Job& job, executors::Execution& execution, executors::Notices& notices,
                             const std::stop_token& stop) {
  const auto waits = [&notices] { notices.status("has failed; waits until the terminal is free for its shell"); };
  const Foreground::Turn turn = terminal_.take(waits, stop);
  if (!turn) return;  // the run is cancelled
  const RawTerminal raw(settings_.in);
  // A raw terminal wants both characters at a line's end.
  const std::string greeting =
      fmt::format("\r\n{} has failed: {}\r\na shell where it ran, in {}; `exit` goes on with the run\r\n",
                  on_screen(job.spec.id.name), on_screen(job.result.message), on_screen(job.spec.project_dir));
  execution.enter(job.work, {settings_.in, settings_.out, settings_.terminal_type, greeting}, stop);
}

KeptSandbox FailureHelp::keep(const Job& job, executors::Execution& execution) {
  const std::lock_guard lock(mutex_);
  KeptJob kept;
  kept.job = job.spec.id.name;
  kept.number = job.spec.id.job;
  kept.attempt = job.spec.id.attempt;
  kept.resource = job.spec.id.resource_name();
  kept.image = job.spec.image;
  kept.what = execution.keep(job.work);
  remember_kept(job.spec.directory.parent_path(), kept);
  return told(kept.what, job.spec.id.run);
}

KeptSandbox FailureHelp::told(const executors::Kept& kept, RunId run) const {
  return {kept.enter, settings_.remove + " " + std::to_string(run)};
}

std::optional<KeptSandbox> FailureHelp::given_before(const std::filesystem::path& run_directory, RunId run,
                                                     std::uint32_t job_number) const {
  for (const KeptJob& kept : kept_jobs(run_directory)) {
    if (kept.number == job_number) return told(kept.what, run);
  }
  return std::nullopt;
}

}  // namespace runner
