// `runner approve` and `reject`: what somebody says to a job that waits.
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "executors/job_directory.h"
#include "pipelines/job_names.h"
#include "runner/cli/load.h"
#include "runner/cli/running.h"
#include "runner/cli/say.h"
#include "runner/cli/setup.h"
#include "runner/run/approvals.h"
#include "runner/run/terminal.h"

namespace runner {
namespace {

using nlohmann::json;
using Decision = Approval::Decision;

struct ApproveOptions {
  std::vector<std::string> words;
  std::string comment, output;
};

// Child pipelines' jobs in the place of those that wait for them.
// NOLINTNEXTLINE(misc-no-recursion): a child's child is the last
std::vector<WaitingJob> all_waiting(const Store& store, RunId run) {
  std::vector<WaitingJob> all;
  for (WaitingJob& job : store.waiting_jobs(run)) {
    if (job.child == 0) {
      all.push_back(std::move(job));
      continue;
    }
    const std::vector<WaitingJob> below = all_waiting(store, job.child);
    all.insert(all.end(), below.begin(), below.end());
  }
  return all;
}

json json_of(const WaitingJob& job) {
  json said = nullptr;
  if (job.said) {
    said = {{"decision", job.said->decision == Decision::approved ? "approved" : "rejected"},
            {"who", job.said->who},
            {"comment", job.said->comment},
            {"time", utc_text(job.said->time)}};
  }
  return {{"run", job.run},
          {"job", job.name},
          {"subject", job.subject},
          {"text", job.text},
          {"asked", job.asked ? json(utc_text(*job.asked)) : json(nullptr)},
          {"said", said}};
}

std::string question_of(const WaitingJob& job) {
  const std::string start = job.subject.empty() ? "to be started" : std::string();
  return start + (start.empty() || job.text.empty() ? "" : ": ") + on_screen(job.text);
}

std::vector<WaitingJob> waiting_in(const Store& store, const std::vector<RunId>& runs) {
  std::vector<WaitingJob> waiting;
  for (const RunId run : runs) {
    const std::vector<WaitingJob> of_run = all_waiting(store, run);
    waiting.insert(waiting.end(), of_run.begin(), of_run.end());
  }
  return waiting;
}

int print(const std::vector<WaitingJob>& waiting, const std::string& output) {
  if (output == "json") {
    json array = json::array();
    for (const WaitingJob& job : waiting) array.push_back(json_of(job));
    std::cout << array.dump(2, ' ', false, json::error_handler_t::replace) << "\n";
    return exit_code::passed;
  }
  if (waiting.empty()) {
    fmt::print("nothing waits for anybody\n");
    return exit_code::passed;
  }
  std::size_t width = 3;
  for (const WaitingJob& job : waiting) width = std::max(width, std::min<std::size_t>(40, display_width(job.name)));
  fmt::print("{:>5}  {:<{}}  {:<16}  {}\n", "RUN", "JOB", width, "SINCE", "WAITS");
  for (const WaitingJob& job : waiting) {
    const std::string gap(width - std::min(width, display_width(job.name)), ' ');
    fmt::print("{:>5}  {}{}  {:<16}  {}{}\n", job.run, on_screen(job.name), gap,
               job.asked ? local_text(*job.asked) : "-", question_of(job),
               job.said ? fmt::format(" ({})", on_screen(describe(*job.said))) : std::string());
  }
  return exit_code::passed;
}

// A parallel job's own name stands for all its instances: "test 1/3", "deploy: [eu]".
bool is_meant(const std::string& name, const std::string& word) {
  return name == word || name.starts_with(word + " ") || name.starts_with(word + ": ");
}

std::string why_not(const JobRow& row) {
  if (row.reused_run != 0) return fmt::format("it stands as it ended in run {}", row.reused_run);
  if (row.outcome) return fmt::format("it ended: {}", pipelines::to_string(*row.outcome));
  return row.state == JobState::running ? "it is running" : "its turn has not come";
}

// The jobs of the run that `word` means, all of which wait. Throws UsageError.
std::vector<WaitingJob> jobs_meant(const Store& store, RunId run, const std::string& word) {
  const std::vector<WaitingJob> waiting = store.waiting_jobs(run);
  std::vector<WaitingJob> meant;
  std::copy_if(waiting.begin(), waiting.end(), std::back_inserter(meant),
               [&](const WaitingJob& job) { return job.name == word; });
  if (meant.empty()) {
    std::copy_if(waiting.begin(), waiting.end(), std::back_inserter(meant),
                 [&](const WaitingJob& job) { return is_meant(job.name, word); });
  }
  for (const WaitingJob& job : meant) {
    if (job.child == 0) continue;
    throw UsageError(
        fmt::format("{} of run {} waits for its pipeline, run {}\nhint: `runner approve {}` shows what "
                    "that waits for",
                    job.name, run, job.child, job.child));
  }
  if (!meant.empty()) return meant;
  const std::vector<JobRow> rows = store.jobs(run);
  std::vector<std::string_view> names;
  for (const JobRow& row : rows) {
    if (row.name == word) {
      throw UsageError(
          fmt::format("{} of run {} does not wait for anybody: {}\nhint: `runner approve {}` shows what waits", word,
                      run, why_not(row), run));
    }
    names.push_back(row.name);
  }
  const std::string_view near = pipelines::nearest(word, names);
  throw UsageError(fmt::format("run {} has no job {}{}", run, word,
                               near.empty() ? std::string() : fmt::format("\nhint: did you mean {}?", near)));
}

RunId first_ancestor(const Store& store, RunId run) {
  for (auto row = store.run(run); row && row->parent != 0; row = store.run(row->parent)) run = row->parent;
  return run;
}

void say_what_follows(const Store& store, RunId run, Decision decision) {
  const RunId root = first_ancestor(store, run);
  const auto driven = store.driven_runs();
  if (std::find(driven.begin(), driven.end(), root) != driven.end()) {
    say("runner: run {} is under way and hears of it when nothing else of it can go on\n", root);
  } else {
    say("hint: `runner resume {}` {}\n", root,
        decision == Decision::approved ? "runs it, and what comes after" : "ends it, and runs what is to run then");
  }
}

int decide(const CommandLine& line, const ApproveOptions& options, Decision decision) {
  const char* verb = decision == Decision::approved ? "approve" : "reject";
  if (!options.output.empty() && options.output != "text" && options.output != "json") {
    throw UsageError(fmt::format("--output {}: expected text or json", options.output));
  }
  const Config config = configuration(line);
  if (options.words.empty() && decision == Decision::approved) {
    const auto store = open_existing_store(config);
    return print(store ? waiting_in(*store, store->waiting_runs()) : std::vector<WaitingJob>(), options.output);
  }
  const auto store = open_recorded_store(config);
  const RunAndWords asked = run_and_words(*store, options.words);
  // What is let go on is never guessed.
  if (!asked.said)
    throw UsageError(fmt::format("which run?\nhint: runner {} RUN JOB; `runner approve` lists what waits", verb));
  if (asked.words.empty() && decision == Decision::approved)
    return print(waiting_in(*store, {asked.run}), options.output);
  if (asked.words.empty()) {
    throw UsageError(fmt::format("which job?\nhint: `runner approve {}` lists what waits", asked.run));
  }
  std::vector<WaitingJob> jobs;
  for (const std::string& word : asked.words) {
    const std::vector<WaitingJob> meant = jobs_meant(*store, asked.run, word);
    jobs.insert(jobs.end(), meant.begin(), meant.end());
  }
  json array = json::array();
  for (WaitingJob& job : jobs) {
    Approval said{job.run, job.job, job.subject, decision, this_person(), options.comment, unix_now()};
    if (!store->add_approval(said)) {
      throw UsageError(fmt::format("{} of run {} does not wait for it any more", job.name, job.run));
    }
    if (options.output != "json")
      fmt::print("{} of run {} {}\n", on_screen(job.name), job.run, on_screen(describe(said)));
    job.said = std::move(said);
    array.push_back(json_of(job));
  }
  if (options.output == "json") {
    std::cout << array.dump(2, ' ', false, json::error_handler_t::replace) << "\n";
  } else {
    say_what_follows(*store, asked.run, decision);
  }
  return exit_code::passed;
}

void add(CLI::App& app, CommandLine& line, Decision decision, const char* name, const char* description) {
  auto options = std::make_shared<ApproveOptions>();
  CLI::App* command = app.add_subcommand(name, description);
  command->add_option("words", options->words, "the run's number, the jobs")->type_name("RUN [JOB...]");
  command->add_option("--comment", options->comment, "why; it is kept with your name and the time")->type_name("TEXT");
  command->add_option("--output", options->output, "text or json")->type_name("KIND");
  command->callback([&line, options, decision] {
    line.chosen = [&line, options, decision] { return decide(line, *options, decision); };
  });
}

}  // namespace

void add_approve(CLI::App& app, CommandLine& line) {
  add(app, line, Decision::approved, "approve",
      "Lets a job go on that waits for a person, or lists what waits.\n"
      "\n"
      "Examples:\n"
      "  runner approve                            what waits, of all runs\n"
      "  runner approve 12                         what run 12 waits for\n"
      "  runner approve 12 deploy-prod --comment \"agreed with Ann\"\n"
      "  runner resume 12                          then runs it, and what comes after");
  add(app, line, Decision::rejected, "reject",
      "Refuses a job that waits for a person: it ends failed, and what that means for others follows with `resume`.\n"
      "\n"
      "Examples:\n"
      "  runner reject 12 deploy-prod --comment \"not on a Friday\"\n"
      "  runner resume 12");
}

}  // namespace runner
