// `runner runs`, `logs`, `artifacts` and `gc`: what the store remembers.
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "executors/job_directory.h"
#include "pipelines/job_variables.h"
#include "pipelines/progress.h"
#include "runner/cli/commands.h"
#include "runner/cli/load.h"
#include "runner/cli/running.h"
#include "runner/cli/say.h"
#include "runner/cli/setup.h"
#include "runner/run/approvals.h"
#include "runner/run/caches.h"
#include "runner/run/log_lines.h"
#include "runner/run/session.h"
#include "runner/run/terminal.h"
#include "runner/store/store.h"

namespace runner {
namespace {

using nlohmann::json;

struct RecordOptions {
  std::vector<std::string> words;
  std::string output;
  std::size_t limit = 20;
  bool follow = false, dry_run = false;
  std::optional<std::uint64_t> keep_runs;
};

std::string size_text(std::uint64_t bytes) {
  if (bytes < 10'000) return fmt::format("{} B", bytes);
  if (bytes < 10'000'000) return fmt::format("{} kB", bytes / 1000);
  return fmt::format("{} MB", bytes / 1'000'000);
}

bool is_number(const std::string& word) {
  return !word.empty() && word.size() < 19 &&
         std::all_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

RunAndWords run_and_words(const Store& store, const std::vector<std::string>& words) {
  RunAndWords result;
  result.said = !words.empty() && is_number(words[0]);
  if (result.said) {
    result.run = std::stoull(words[0]);
    if (!store.run(result.run))
      throw UsageError(fmt::format("there is no run {}\nhint: `runner runs` lists them", result.run));
  } else {
    const auto newest = store.newest_run();
    if (!newest) throw UsageError("nothing has run yet\nhint: `runner exec` runs a pipeline");
    result.run = *newest;
  }
  result.words.assign(words.begin() + (result.said ? 1 : 0), words.end());
  return result;
}

namespace {

// [RUN] [JOB]: a lone word that is no number is a JOB.
struct RunAndJob {
  RunId run = 0;
  std::optional<std::string> job;
};

RunAndJob run_and_job(const Store& store, const std::vector<std::string>& words) {
  const RunAndWords asked = run_and_words(store, words);
  if (asked.words.size() > 1) throw UsageError(fmt::format("one word too many: {}", asked.words[1]));
  return {asked.run, asked.words.empty() ? std::nullopt : std::optional(asked.words[0])};
}

const JobRow& find_job(const std::vector<JobRow>& jobs, RunId run, const std::string& name) {
  for (const auto& job : jobs) {
    if (job.name == name) return job;
  }
  std::vector<std::string_view> names;
  names.reserve(jobs.size());
  std::vector<std::string> instances;
  for (const auto& job : jobs) {
    names.push_back(job.name);
    if (pipelines::group_name(job.name) == name) instances.push_back(executors::shell_word(job.name));
  }
  if (!instances.empty()) {
    constexpr std::size_t shown = 5;
    const std::size_t more = instances.size() - std::min(shown, instances.size());
    instances.resize(instances.size() - more);
    throw UsageError(fmt::format("job {} of run {} is parallel\nhint: name one of its instances: {}{}", name, run,
                                 fmt::join(instances, ", "), more == 0 ? "" : fmt::format(" and {} more", more)));
  }
  const std::string_view near = pipelines::nearest(name, names);
  throw UsageError(fmt::format("run {} has no job {}{}", run, name,
                               near.empty() ? std::string() : fmt::format("\nhint: did you mean {}?", near)));
}

// What the jobs of a run came to besides their outcome: coverage by job, and their reports.
std::pair<json, json> findings_of(const Store& store, RunId run) {
  json coverage = json::object();
  json reports = json::array();
  const std::vector<JobRow> jobs = store.jobs(run);
  for (const JobRow& job : jobs) {
    if (job.coverage) coverage[job.name] = *job.coverage;
  }
  for (const EventRow& event : store.events(run)) {
    if (event.kind != "report") continue;
    json report = json::parse(event.json, nullptr, false);
    const auto number = report.is_object() ? report.value("job", std::size_t{0}) : 0;
    if (number == 0 || number > jobs.size()) continue;
    report["job"] = jobs[number - 1].name;
    reports.push_back(std::move(report));
  }
  return {std::move(coverage), std::move(reports)};
}

// Its runner died: nobody drives it, though its jobs may go on.
bool is_interrupted(const RunRow& row, const std::vector<RunId>& orphans) {
  return !row.outcome && std::find(orphans.begin(), orphans.end(), row.id) != orphans.end();
}

std::string_view outcome_word(const RunRow& row, const std::vector<RunId>& orphans) {
  if (row.outcome) return pipelines::to_string(*row.outcome);
  return is_interrupted(row, orphans) ? "interrupted" : "running";
}

void hint_at_resume(const Store& store, const std::vector<RunRow>& rows, const std::vector<RunId>& orphans) {
  std::vector<RunId> runs;  // newest first
  for (const auto& row : rows) {
    if (!is_interrupted(row, orphans)) continue;
    const RunId run = resumed_with(store, orphans, row.id);
    if (std::find(runs.begin(), runs.end(), run) == runs.end()) runs.push_back(run);
  }
  for (const RunId run : runs) say("hint: `runner resume {}` takes run {} up where it was\n", run, run);
}

int runs(const CommandLine& line, const RecordOptions& options) {
  const auto store = open_existing_store(configuration(line));
  const std::vector<RunRow> rows = store ? store->list_runs(options.limit) : std::vector<RunRow>();
  const UnixMs now = unix_now();
  const std::vector<RunId> orphans = store ? store->orphaned_runs() : std::vector<RunId>();
  if (options.output == "json") {
    json array = json::array();
    for (const auto& row : rows) {
      const auto [coverage, reports] = findings_of(*store, row.id);
      array.push_back({{"id", row.id},
                       {"pipeline", row.pipeline_name},
                       {"ref", row.ref},
                       {"sha", row.sha},
                       {"event", row.event},
                       {"outcome", row.outcome ? json(pipelines::to_string(*row.outcome)) : json(nullptr)},
                       {"interrupted", is_interrupted(row, orphans)},
                       {"started", utc_text(row.started)},
                       {"seconds", row.seconds(now)},
                       {"retry_of", row.retry_of == 0 ? json(nullptr) : json(row.retry_of)},
                       {"coverage", coverage},
                       {"reports", reports}});
    }
    std::cout << array.dump(2, ' ', false, json::error_handler_t::replace) << "\n";
    return exit_code::passed;
  }
  if (!options.output.empty() && options.output != "text") {
    throw UsageError(fmt::format("--output {}: expected text or json", options.output));
  }
  if (rows.empty())
    fmt::print("nothing has run yet\n");
  else
    fmt::print("{:>5}  {:<11} {:<16} {:<24} {:<9} {:<14} {:>9}  {}\n", "RUN", "OUTCOME", "STARTED", "REF", "SHA",
               "EVENT", "TIME", "PIPELINE");
  for (const auto& row : rows) {
    fmt::print("{:>5}  {:<11} {:<16} {:<24} {:<9} {:<14} {:>7.1f} s  {}\n", row.id, outcome_word(row, orphans),
               local_text(row.started), row.ref.empty() ? "-" : row.ref, row.sha.empty() ? "-" : row.sha.substr(0, 8),
               row.event, row.seconds(now),
               on_screen(row.pipeline_name) +
                   (row.retry_of == 0 ? std::string() : fmt::format(" (retry of run {})", row.retry_of)));
  }
  if (store) {
    hint_at_resume(*store, rows, orphans);
    if (const auto waiting = store->waiting_runs(); !waiting.empty()) {
      say("hint: `runner approve {}` shows what run {} waits for\n", waiting.back(), waiting.back());
    }
  }
  return exit_code::passed;
}

// --- logs -----------------------------------------------------------------------------------------------------------

void write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      if (errno == EPIPE) std::exit(exit_code::passed);  // `runner logs | head`
      throw executors::WorldError("runner_system_failure",
                                  fmt::format("cannot write the log: {}", std::strerror(errno)));
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

constexpr std::chrono::milliseconds look_again{50};

// On a terminal as it may be shown there; anywhere else the bytes are exactly the stored ones.
class LogPrinter {
 public:
  void print(std::string_view bytes) {
    if (!terminal_) {
      write_all(bytes);
      return;
    }
    lines_.feed(bytes, [this](std::string_view text, std::uint64_t) { print_line(text); });
  }
  void finish() {
    if (terminal_) lines_.finish([this](std::string_view text, std::uint64_t) { print_line(text); });
  }

 private:
  void print_line(std::string_view text) {
    std::string shown;
    append_screen(shown, text, colour_, carry_);
    shown += '\n';
    write_all(shown);
  }

  bool terminal_ = isatty(STDOUT_FILENO) != 0;
  bool colour_ = std::getenv("NO_COLOR") == nullptr;
  LogLines lines_{LogLines::Mode::screen, 64 * 1024};
  std::string carry_;
};

enum class Life : std::uint8_t { goes_on, over, interrupted };

Life life_of(const Store& store, RunId run) {
  const std::vector<RunId> orphans = store.orphaned_runs();  // first: it may end meanwhile
  const auto row = store.run(run);
  if (!row || row->outcome) return Life::over;
  return is_interrupted(*row, orphans) ? Life::interrupted : Life::goes_on;
}

// All attempts of a job, one after the other; with `follow` until the job or its run is over, or nobody drives that any
// more. Says which.
Life print_attempts(const Store& store, RunId run, const JobRow& job, bool follow) {
  std::size_t attempt = 0;
  std::uint64_t offset = 0;
  LogPrinter printer;
  Life life = Life::over;
  while (true) {
    // States first: what is final by now has its whole log stored.
    if (follow && job.state != JobState::final) {
      life = life_of(store, run);
      if (store.jobs(run)[job.job - 1].state == JobState::final) life = Life::over;
    }
    const std::vector<AttemptRow> attempts = store.attempts(run, job.job);
    for (; attempt < attempts.size(); ++attempt, offset = 0) {
      offset = store.read_log(attempts[attempt].key, offset, [&](std::string_view bytes) { printer.print(bytes); });
      if (attempt + 1 == attempts.size()) break;  // the last one may go on
      printer.finish();
    }
    if (life != Life::goes_on) break;
    std::this_thread::sleep_for(look_again);
  }
  printer.finish();
  return life;
}

// Those that began and are not in `printed`, in the order they started. What is made ready before its turn has not.
std::vector<JobRow> begun_jobs(const std::vector<JobRow>& jobs, const std::set<std::uint32_t>& printed) {
  std::vector<JobRow> begun;
  std::copy_if(jobs.begin(), jobs.end(), std::back_inserter(begun), [&](const JobRow& job) {
    const bool began = job.started || job.attempts > 1 || (job.attempts > 0 && job.state == JobState::final);
    return began && !printed.contains(job.job);
  });
  const auto start = [](const JobRow& job) { return job.started.value_or(job.finished.value_or(0)); };
  std::stable_sort(begun.begin(), begun.end(), [&](const JobRow& a, const JobRow& b) { return start(a) < start(b); });
  return begun;
}

// Beside the log: who had to let the job start or go on.
void say_approvals(const Store& store, RunId run, std::uint32_t job) {
  for (const Approval& said : store.approvals(run)) {
    if (said.job == job) say("── {}, {} ──\n", on_screen(describe(said)), local_text(said.time));
  }
}

// Every job that printed, one after the other, in the order they started; with `follow` until the run is over.
Life print_all(const Store& store, RunId run, bool follow) {
  std::set<std::uint32_t> printed;
  while (true) {
    const Life life = follow ? life_of(store, run) : Life::over;  // first: what began by then is among the jobs
    const std::vector<JobRow> jobs = store.jobs(run);
    const std::vector<JobRow> begun = begun_jobs(jobs, printed);
    for (const auto& job : begun) {
      if (jobs.size() > 1) say("── {} ──\n", job.name);
      say_approvals(store, run, job.job);
      print_attempts(store, run, job, follow);
      printed.insert(job.job);
    }
    if (life != Life::goes_on) return life;
    if (begun.empty()) std::this_thread::sleep_for(look_again);
  }
}

// A job that a retry did not run has its log where it ran.
int reused_log(const Store& store, RunId run, const JobRow& job) {
  const std::vector<JobRow> there = store.jobs(job.reused_run);
  if (there.size() < job.reused_job) {
    say("runner: {} did not run in run {}, but in run {}, which is not kept any more\n", job.name, run, job.reused_run);
    return exit_code::failed;
  }
  print_attempts(store, job.reused_run, there[job.reused_job - 1], /*follow=*/false);
  return exit_code::passed;
}

int logs(const CommandLine& line, const RecordOptions& options) {
  const auto store = open_recorded_store(configuration(line));
  const auto [run, name] = run_and_job(*store, options.words);
  Life life = Life::over;
  if (name) {
    const std::vector<JobRow> jobs = store->jobs(run);
    const JobRow& job = find_job(jobs, run, *name);
    if (job.reused_run != 0) return reused_log(*store, run, job);
    say_approvals(*store, run, job.job);
    life = print_attempts(*store, run, job, options.follow);
  } else {
    life = print_all(*store, run, options.follow);
  }
  if (life != Life::interrupted) return exit_code::passed;
  say("runner: run {} was interrupted: its runner is gone, and nobody reads its jobs' logs\n"
      "hint: `runner resume {}` takes it up where it was\n",
      run, resumed_with(*store, store->orphaned_runs(), run));
  return exit_code::failed;
}

// --- artifacts and gc ---------------------------------------------------------------------------------------------

int artifacts(const CommandLine& line, const RecordOptions& options) {
  const auto store = open_recorded_store(configuration(line));
  const auto [run, name] = run_and_job(*store, options.words);
  if (!name) throw UsageError("which job's artifacts?\nhint: runner artifacts [RUN] JOB [--output DIR]");
  const std::vector<JobRow> jobs = store->jobs(run);
  const JobRow& job = find_job(jobs, run, *name);
  bool any = false;
  for (const auto& artifact : store->list_artifacts(run)) {
    if (artifact.key.job != job.job || artifact.key.attempt != job.attempts) continue;
    any = true;
    if (!options.output.empty()) {
      // Reports beside the files would mix with them: they are listed, and taken out only where there is no archive.
      if (artifact.kind != "archive") continue;
      store->extract(artifact.id, options.output);
      fmt::print("{}: {} file{}, {} in {}\n", artifact.name, artifact.files, artifact.files == 1 ? "" : "s",
                 size_text(artifact.bytes), options.output);
      continue;
    }
    fmt::print("{} ({}): {} file{}, {}{}\n", artifact.name, artifact.kind, artifact.files,
               artifact.files == 1 ? "" : "s", size_text(artifact.bytes),
               artifact.expires ? ", expires " + local_text(*artifact.expires) : std::string());
    for (const auto& file : store->list_files(artifact.id)) {
      fmt::print("  {:>10}  {}{}\n", file.size, file.path, file.link ? " -> " + *file.link : std::string());
    }
  }
  if (!any) {
    say("runner: job {} of run {} left no artifacts (or they have expired)\n", job.name, run);
    return exit_code::failed;
  }
  return exit_code::passed;
}

int gc(const CommandLine& line, const RecordOptions& options) {
  const Config config = configuration(line);
  const auto store = open_existing_store(config, /*make_room=*/true);
  GcOptions how = config.cache_limits();
  how.now = unix_now();
  how.keep_runs = options.keep_runs;
  how.dry_run = options.dry_run;
  const GcResult result = store ? store->gc(how) : GcResult();
  if (store && !options.dry_run) prune_standing(*store, make_work_directory(*store) / "c");
  fmt::print("{}{} expired artifact{}, {}{} run{}, {} chunk{}, {}\n", options.dry_run ? "would remove " : "removed ",
             result.artifacts, result.artifacts == 1 ? "" : "s",
             result.caches == 0 ? "" : fmt::format("{} cache{}, ", result.caches, result.caches == 1 ? "" : "s"),
             result.runs, result.runs == 1 ? "" : "s", result.chunks, result.chunks == 1 ? "" : "s",
             size_text(result.bytes));
  return exit_code::passed;
}

}  // namespace

void add_records(CLI::App& app, CommandLine& line) {
  const auto add = [&](const char* name, const char* description,
                       int (*function)(const CommandLine&, const RecordOptions&)) {
    auto options = std::make_shared<RecordOptions>();
    CLI::App* command = app.add_subcommand(name, description);
    command->callback(
        [&line, options, function] { line.chosen = [&line, options, function] { return function(line, *options); }; });
    return std::pair{command, options};
  };
  {
    const auto [command, options] = add("runs",
                                        "Lists the runs, newest first.\n"
                                        "\n"
                                        "Examples:\n"
                                        "  runner runs\n"
                                        "  runner runs --output json | jq '.[0].outcome'",
                                        runs);
    command->add_option("--output", options->output, "text or json")->type_name("KIND");
    command->add_option("--limit", options->limit, "how many; 0: all")->type_name("N");
  }
  {
    const auto [command, options] = add("logs",
                                        "Prints a job's log; into a pipe or file the exact bytes.\n"
                                        "\n"
                                        "Examples:\n"
                                        "  runner logs build            of the newest run\n"
                                        "  runner logs 12 build         of run 12\n"
                                        "  runner logs build --follow   goes on until the job is over",
                                        logs);
    command->add_option("words", options->words, "the run's number (default: the newest), the job")
        ->type_name("[RUN] [JOB]");
    command->add_flag("--follow,-f", options->follow, "go on until the job is over");
  }
  {
    const auto [command, options] = add("artifacts",
                                        "Lists a job's artifacts, or takes them out of the store.\n"
                                        "\n"
                                        "Examples:\n"
                                        "  runner artifacts build\n"
                                        "  runner artifacts 12 build --output dist",
                                        artifacts);
    command->add_option("words", options->words, "the run's number (default: the newest), the job")
        ->type_name("[RUN] JOB");
    command->add_option("--output", options->output, "the folder to put them in")->type_name("DIR");
  }
  {
    const auto [command, options] = add("gc",
                                        "Removes expired artifacts and what nothing refers to any more.\n"
                                        "\n"
                                        "Examples:\n"
                                        "  runner gc\n"
                                        "  runner gc --keep-runs 100     and all but the newest hundred runs",
                                        gc);
    command->add_option("--keep-runs", options->keep_runs, "also remove all runs but the newest N")->type_name("N");
    command->add_flag("--dry-run", options->dry_run, "say what would be removed");
  }
}

}  // namespace runner
