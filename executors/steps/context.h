// What a built-in step has at hand while it runs in the runner: the job's log, its sources, AWS, time, and calls that
// are made once. Made by the executor of steps for one run of one step; used from that job's thread alone.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "executors/aws/clients.h"
#include "executors/executor.h"
#include "executors/steps/host.h"

namespace executors::steps {

// The step has failed: its own verdict or the author's mistake, in one line with what to do.
class StepFailed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// How often a step looks, and for how long.
struct Pace {
  std::chrono::milliseconds first{5'000}, longest{15'000};  // between two looks: growing from the one to the other
  std::chrono::seconds wait{0};                             // in all
  // The same with what the author said of it, if anything: always that long.
  Pace with(const std::optional<std::chrono::seconds>& poll) const { return poll ? Pace{*poll, *poll, wait} : *this; }
};

// A tool's work in the job's sandbox.
struct ToolRun {
  std::vector<std::string> script;  // as a job's
  Environment environment;          // on top of the job's
  std::vector<ReportSpec> collect;  // taken from the project's directory afterwards, whatever the outcome
  bool repeatable = true;           // may be run again when it is lost together with its sandbox
};
struct ToolEnd {
  JobResult result;  // of the script alone; `collected` has what was asked for
  // The file of that kind, where there is exactly one; empty: there is none.
  std::filesystem::path file(std::string_view kind) const;
};

// Runs tools in the job's sandbox, one after the other; a new sandbox for each but the first. From the job's thread.
class Sandbox {
 public:
  Sandbox() = default;
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;
  virtual ~Sandbox() = default;
  // `name` is its entry in the journal: what has ended already, also under an earlier process, is not run again.
  // Throws WorldError; http::Cancelled when it was cancelled.
  virtual ToolEnd run(std::string_view name, const ToolRun&, Journal&, const std::stop_token&) = 0;
};

// What a call needed or gave, as it stands in the journal.
using Facts = std::map<std::string, std::string, std::less<>>;

class Context {
 public:
  struct Parts {
    const JobSpec& spec;
    const Work& work;
    LogSink& log;
    Notices& notices;
    Host& host;
    Journal& journal;
    aws::Clients& aws;
    const aws::World& world;
    std::stop_token stop;        // the job is cancelled or has had its time
    std::stop_token hurry;       // nothing more may be waited for
    Sandbox* sandbox = nullptr;  // of steps that need one
    // Between two looks, in place of what the step says (RUNNER_POLL_INTERVAL).
    std::optional<std::chrono::milliseconds> poll;
  };
  explicit Context(Parts parts) : parts_(std::move(parts)) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const JobId& job() const { return parts_.spec.id; }
  const std::string& project_dir() const { return parts_.spec.project_dir; }  // inside the sandbox
  const std::stop_token& stop() const { return parts_.stop; }
  aws::Clients& aws() { return parts_.aws; }
  Notices& notices() { return parts_.notices; }

  // One line of the job's log, or several.
  void say(std::string_view text);
  void warn(std::string_view line) { parts_.notices.warning(line); }
  // A variable for later jobs; the last one of a name stays. A name is made of letters, digits and underscores.
  void output(std::string name, std::string value);
  const std::vector<std::pair<std::string, std::string>>& outputs() const { return outputs_; }

  // A file of the project as the job would see it: the sources with caches and artifacts over them. Throws StepFailed
  // where there is none, or where it lies outside.
  std::string read_file(std::string_view path, std::size_t most = std::size_t{16} << 20U) const;

  // Makes a call that changes something, once: what is meant is in the journal before it is made, and its answer
  // afterwards. Where an earlier process (or a cut connection) left open what came of it, `look` is asked; where that
  // finds nothing the call is made. A call that has its answer is not made again.
  using Look = std::function<std::optional<Facts>()>;
  Facts once(std::string_view name, const Facts& intent, const Look& look, const std::function<Facts()>& call);
  // A word of at most 32 letters, digits and dashes that is this step's alone and the same after a restart: for tokens
  // by which a service knows a call again. A retry of the job has another.
  std::string token();
  // What `find` gave at its first use: it is the same after a restart.
  Facts remember(std::string_view name, const std::function<Facts()>& find);
  std::optional<Facts> remembered(std::string_view name) const;
  bool was_begun(std::string_view name) const { return parts_.journal.find(name).has_value(); }
  void note(std::string_view name, const Facts&);  // to be remembered, in place of what was

  // Asks until `look` is true, or `pace.wait` is over (false). A look that fails for the world's sake (throttled,
  // unreachable, credentials that are too old) is said and made again. Throws http::Cancelled at a stop request, and
  // what else `look` throws. The time counts from `since` where that is given: that of an earlier process.
  bool poll(const Pace&, const std::function<bool()>& look, const std::stop_token&,
            std::optional<std::chrono::system_clock::time_point> since = {});
  bool poll(const Pace& pace, const std::function<bool()>& look) { return poll(pace, look, parts_.stop); }
  void pause(std::chrono::milliseconds, const std::stop_token&) const;
  std::chrono::system_clock::time_point now() const { return std::chrono::system_clock::now(); }

  // After a stop request: a token for what is to be undone or waited for all the same, until the person insists.
  const std::stop_token& last_stop() const { return parts_.hurry; }

  ToolEnd run_tool(std::string_view name, const ToolRun& run) {
    return parts_.sandbox->run(name, run, parts_.journal, parts_.stop);
  }
  // A report that the step made of what its tool said: kept like one of `artifacts:reports`. `name` is its file's.
  void report(std::string_view kind, std::string_view name, std::string_view text);
  // A report that the tool itself wrote.
  void report(Collected);
  const std::vector<Collected>& reports() const { return reports_; }

  Answer ask(const Question& question) { return parts_.host.ask(job(), question, parts_.stop); }
  void deployed(const Deployment& deployment) { parts_.host.deployed(job(), deployment); }

 private:
  Parts parts_;
  std::vector<std::pair<std::string, std::string>> outputs_;
  std::vector<Collected> reports_;
};

// A file and a directory that only the runner's user sees. They throw WorldError.
void write_private(const std::filesystem::path&, std::string_view text);
void make_private_directory(const std::filesystem::path&);

// "ecs:prod/app-2" → "ecs_prod_app_2", for the names of variables.
std::string variable_part(std::string_view text);
// "2 minutes 5 s".
std::string spoken(std::chrono::seconds);

JobResult passed();
JobResult failed(std::string message);

}  // namespace executors::steps
