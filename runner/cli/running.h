// What the commands that run a pipeline share: `exec`, `resume`, `retry`. Carried out in exec.cpp.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "runner/cli/commands.h"
#include "runner/cli/interrupt.h"
#include "runner/cli/load.h"
#include "runner/cli/plan_flags.h"
#include "runner/config/config.h"
#include "runner/run/session.h"
#include "runner/store/store.h"

namespace CLI {
class App;
}

namespace runner {

struct ExecOptions {
  PlanFlags plan;
  std::string executor, image, network, pull, output, artifacts;
  unsigned parallel = 0;
  bool worktree = false, keep_going = false, dry_run = false, watch = false, shell_on_fail = false, keep = false;
  RunId resume = 0;
};

void add_output(CLI::App&, ExecOptions&);  // --output, --parallel, --artifacts …; not the secrets
// The configuration with the options laid over it.
Config configure(const CommandLine&, const ExecOptions&);
std::vector<NamedValue> masked_values(const ExecOptions&);

// The pipeline as the options say, read and planned; null where there were errors, which were printed.
std::unique_ptr<Loaded> load_asked(const ExecOptions&, const Config&, const std::vector<NamedValue>& masked);
int say_nothing_to_do(const Loaded&, const std::string& output);
// `exec --watch`: watch.cpp.
int watch(const ExecOptions&, const Config&, const std::vector<NamedValue>& masked);

// JSON of what makes a run again; without secrets.
std::string record(const Loaded&, const ExecOptions&, const Config&);

// A recorded run, to be taken up or done again.
struct Recorded {
  std::unique_ptr<Loaded> loaded;  // the very plan, made of what was recorded
  std::vector<NamedValue> masked;  // its secrets, given again
};
// Sets the options and the configuration to what the run was made with. `worktree`: the file and the project as they
// are now, but with the options of then. Throws UsageError where a secret is missing.
Recorded load_recorded(const RunDetail&, ExecOptions&, Config&, bool worktree = false);

// The executor that is to hurry when the user is impatient: another one with every run.
class Hurried {
 public:
  void set(executors::Executor*);
  void hurry();

 private:
  std::mutex mutex_;
  executors::Executor* executor_ = nullptr;
  bool asked_ = false;
};

// What is left when file, plan and configuration are known; `taken_up` is a run of an earlier process.
struct Start {
  const Loaded& loaded;
  const Config& config;
  const ExecOptions& options;
  const std::vector<NamedValue>& masked;
  std::string options_json;
  std::optional<RunId> taken_up = {};
  std::optional<SessionSettings::Retry> retry = {};
  Successor successor = {};
  std::string database = {};  // as it was named on the command line; empty: it was not
};
// Runs it to its end; the exit code. Ctrl-C cancels it.
int start(Store&, const Start&);
// The same where somebody else takes care of Ctrl-C.
int start(Store&, const Start&, const std::stop_token& interrupted, Hurried&);

// [RUN] WORD…: RUN is a number and defaults to the newest. Throws UsageError for a run that is not there.
struct RunAndWords {
  RunId run = 0;
  bool said = false;  // not the default
  std::vector<std::string> words;
};
RunAndWords run_and_words(const Store&, const std::vector<std::string>& words);

}  // namespace runner
