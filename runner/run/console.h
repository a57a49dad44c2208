// What people (pretty, plain) and programs (json) see of a run while it goes on.
//
// A console is an Observer: the scheduler tells it of events, the jobs' threads bring output. It never makes a job
// wait for long: bytes leave on a thread of their own, and a reader that takes nothing for `patience` loses log lines
// (it is told how many), never an event. Everything goes to one file descriptor, so that lines keep their order;
// errors are main's and go to stderr.
//
// json: one object a line, each with `event`, `run` and `time` (ISO 8601, UTC, milliseconds):
//   run_started   file, ref, sha, source (what started it: push, schedule, …), jobs (names, in the file's order);
//                 a child pipeline's also parent (run, job): its events have a `run` of their own
//   job_started   job (once per attempt)
//   job_waiting   job, message (what is to be confirmed): a person has to start it
//   log           job, text (one whole line without its newline; section markers taken out)
//   job_warning   job, message
//   job_retried   job, exit_code, reason, message (of the attempt that ended)
//   report        job, kind, and what the report comes to (report_json.h); before the job's job_finished
//   job_finished  job, outcome, exit_code (null: none), seconds, allowed, reason, message; coverage where there is one;
//                 kept (enter, remove: command lines) where --keep left its sandbox; approved (who, when and why) where
//                 somebody let it start or go on
//   run_finished  outcome, seconds, message, critical_path (names)
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "runner/run/events.h"

namespace runner {

enum class ConsoleKind : std::uint8_t { pretty, plain, json };

struct ConsoleOptions {
  int out = 1;
  bool colour = false;
  bool live = true;  // pretty: a footer that is drawn again and again; only where `out` is a terminal
  int width = 0;     // columns; 0: asked of the terminal before each frame
  std::chrono::milliseconds patience{10'000};
  std::atomic<bool>* lost = nullptr;  // see Output::Options
};

class Console : public Observer {
 public:
  // From pause(), which returns when all that was said is out, to resume() the terminal is somebody else's. What is
  // said meanwhile is shown afterwards; log lines beyond 4 MiB are left out, as for a reader who takes nothing. Any
  // thread.
  virtual void pause() = 0;
  virtual void resume() = 0;
};

std::unique_ptr<Console> make_console(ConsoleKind, const ConsoleOptions&);

struct ConsoleChoice {
  ConsoleKind kind = ConsoleKind::plain;
  bool colour = false;
  bool live = false;
};

// `asked`: what the user wants, empty for `auto`: pretty on a terminal, plain elsewhere, on a dumb terminal and in CI.
// Colour: NO_COLOR forbids, CLICOLOR_FORCE demands, else where `out` is a terminal that is not dumb.
ConsoleChoice choose_console(std::optional<ConsoleKind> asked, bool out_is_terminal,
                             const std::function<std::optional<std::string>(const std::string&)>& environment);

// Shows the cursor again if a console has hidden it. For a signal handler that ends the program at once; consoles do
// it themselves when they are destroyed.
void restore_terminal() noexcept;

}  // namespace runner
