// The scheduler over an executor that runs nothing: order, preparing ahead, retries, cancelling, resuming.
#include "runner/run/scheduler.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "pipelines/parse.h"

namespace runner {
namespace {

using executors::JobResult;
using executors::JobSpec;
using executors::Work;
using pipelines::Outcome;

// What a fake job does, by the job's name.
struct Act {
  Outcome outcome = Outcome::passed;
  int exit_code = 0;
  std::string reason;
  std::string log;
  std::string dotenv;                  // a report
  bool artifacts = false;              // leaves a layer
  std::chrono::milliseconds lasts{0};  // until then, or until cancelled
  int prepare_failures = 0;            // so many prepare() calls throw first
};

class FakeExecutor : public executors::Executor {
 public:
  explicit FakeExecutor(std::map<std::string, std::vector<Act>> acts) : acts_(std::move(acts)) {}

  std::unique_ptr<executors::Execution> prepare(const JobSpec& spec, executors::Notices&, std::stop_token) override {
    const std::lock_guard lock(mutex);
    history.push_back("prepare " + spec.id.name);
    prepared_specs.push_back(spec);
    Act& act = act_of(spec);
    if (act.prepare_failures > 0) {
      --act.prepare_failures;
      throw executors::WorldError("image_pull_failure", "no such image");
    }
    return std::make_unique<Fake>(*this, spec, act);
  }
  std::unique_ptr<executors::Execution> adopt(const JobSpec& spec, std::string_view handle,
                                              std::uint64_t raw) override {
    const std::lock_guard lock(mutex);
    history.push_back("adopt " + spec.id.name + " " + std::string(handle) + " " + std::to_string(raw));
    if (handle == "gone") return nullptr;
    return std::make_unique<Fake>(*this, spec, act_of(spec));
  }
  void hurry() override {}
  void settle() override {}

  std::mutex mutex;
  std::vector<std::string> history;
  std::vector<JobSpec> prepared_specs;
  std::map<std::string, Work> works;  // by job name, the last attempt's
  std::atomic<int> alive{0};
  std::atomic<int> running{0}, most_running{0};

 private:
  class Fake : public executors::Execution {
   public:
    Fake(FakeExecutor& executor, JobSpec spec, Act act)
        : executor_(executor), spec_(std::move(spec)), act_(std::move(act)) {
      ++executor_.alive;
    }
    ~Fake() override { --executor_.alive; }
    std::string handle() const override { return "handle of " + spec_.id.name; }
    JobResult run(const Work& work, executors::LogSink& log, executors::Notices&, std::stop_token stop) override {
      {
        const std::lock_guard lock(executor_.mutex);
        executor_.history.push_back("run " + spec_.id.name);
        executor_.works[spec_.id.name] = work;
      }
      const int now = ++executor_.running;
      int most = executor_.most_running;
      while (now > most && !executor_.most_running.compare_exchange_weak(most, now)) {
      }
      log.write(act_.log);
      const auto until = std::chrono::steady_clock::now() + act_.lasts;
      while (std::chrono::steady_clock::now() < until && !stop.stop_requested()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      --executor_.running;
      JobResult result;
      result.outcome = stop.stop_requested() && act_.lasts.count() > 0 ? Outcome::cancelled : act_.outcome;
      result.exit_code = act_.exit_code;
      result.reason = act_.reason;
      if (act_.artifacts) {
        std::filesystem::create_directories(spec_.layer);
        result.collected.push_back({"archive", spec_.layer, 1, 1});
      }
      if (!act_.dotenv.empty()) {
        const std::filesystem::path report = spec_.layer.string() + ".dotenv";
        std::filesystem::create_directories(report);
        std::ofstream(report / "build.env") << act_.dotenv;
        result.collected.push_back({"dotenv", report, 1, act_.dotenv.size()});
      }
      return result;
    }

   private:
    FakeExecutor& executor_;
    JobSpec spec_;
    Act act_;
  };

  Act& act_of(const JobSpec& spec) {
    auto& list = acts_[spec.id.name];
    if (list.empty()) list.emplace_back();
    return list[std::min<std::size_t>(spec.id.attempt, list.size()) - 1];
  }

  std::map<std::string, std::vector<Act>> acts_;
};

class Witness : public Observer {
 public:
  explicit Witness(const JobFactory& factory) : factory_(factory) {}
  void on(const Event& event) override {
    const std::lock_guard lock(mutex);
    if (const auto* started = std::get_if<JobStarted>(&event)) story.push_back("started " + name(started->key));
    if (const auto* finished = std::get_if<JobFinished>(&event)) {
      story.push_back(std::string(pipelines::to_string(finished->outcome)) + " " + name(finished->key) +
                      (finished->allowed ? " allowed" : ""));
      ended[name(finished->key)] = *finished;
    }
    if (const auto* retried = std::get_if<JobRetried>(&event)) story.push_back("retried " + name(retried->key));
    if (throw_on_start && std::holds_alternative<JobStarted>(event)) throw std::runtime_error("disk full");
  }
  void log(const JobKey& key, std::string_view bytes, std::uint64_t raw) override {
    const std::lock_guard lock(mutex);
    story.push_back("log " + name(key));
    logs[name(key)] += bytes;
    raws[name(key)] = raw;
  }
  const std::string& name(const JobKey& key) const { return factory_.name(key.job); }

  std::mutex mutex;
  std::vector<std::string> story;
  std::map<std::string, std::string> logs;
  std::map<std::string, std::uint64_t> raws;
  std::map<std::string, JobFinished> ended;
  bool throw_on_start = false;

 private:
  const JobFactory& factory_;
};

class Kept : public ArtifactKeeper {
 public:
  void keep(const Request& request, const std::vector<executors::Collected>& collected) override {
    const std::lock_guard lock(mutex);
    if (meanwhile) meanwhile();
    if (fail || failures-- > 0) throw executors::WorldError("runner_system_failure", "disk full");
    for (const auto& part : collected) kept.push_back(request.name + ":" + part.kind);
  }
  std::mutex mutex;
  std::vector<std::string> kept;
  bool fail = false;
  int failures = 0;  // so many times first
  std::function<void()> meanwhile;
};

class Groups : public ResourceKeeper {
 public:
  std::optional<Wait> acquire(pipelines::JobIndex job, const Resource& resource) override {
    const std::string& group = resource.name;
    asked.push_back(group);
    if (refusals-- > 0) return Wait{"waits for " + group, superseded};
    taken.push_back(job);
    return std::nullopt;
  }
  std::vector<std::string> asked;
  std::vector<pipelines::JobIndex> taken;
  int refusals = 0;  // so many times first
  bool superseded = false;
};

// Answers by job; who is not there gets none.
class Words : public Approver {
 public:
  using Word = executors::steps::Answer::Word;
  explicit Words(std::map<pipelines::JobIndex, Word> words) : words_(std::move(words)) {}
  executors::steps::Answer ask(pipelines::JobIndex job, const std::string& text, const std::stop_token&) override {
    asked.push_back(job);
    texts.push_back(text);
    const auto found = words_.find(job);
    return {found == words_.end() ? Word::none : found->second, "ann@here", "why not"};
  }
  std::string approved(pipelines::JobIndex job) override { return words_.contains(job) ? "approved by ann@here" : ""; }
  std::vector<pipelines::JobIndex> asked;
  std::vector<std::string> texts;

 private:
  std::map<pipelines::JobIndex, Word> words_;
};

class NoDownstreams : public Downstreams {
 public:
  executors::JobResult run(const JobKey&, const DownstreamRequest& request, executors::Notices&,
                           const std::stop_token&) override {
    asked.push_back(request);
    executors::JobResult result;
    result.outcome = outcome;
    return result;
  }
  std::vector<DownstreamRequest> asked;
  Outcome outcome = Outcome::passed;
};

class SchedulerTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::temp_directory_path() / ("scheduler_test." + std::to_string(getpid()));
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  // Runs `yaml` to its end.
  Scheduler::Result run(const std::string& yaml, std::map<std::string, std::vector<Act>> acts = {},
                        Earlier earlier = {}, std::stop_token stop = {}) {
    parsed_ = pipelines::parse(yaml, "pipeline.yml");
    EXPECT_TRUE(parsed_.diagnostics.empty()) << pipelines::render(parsed_.diagnostics, parsed_.sources, false);
    plan_ = pipelines::make_plan(parsed_.pipeline, {}, {});
    EXPECT_TRUE(plan_.diagnostics.empty());
    RunSettings settings;
    settings.run = 7;
    settings.owner = "0123456789abcdef0123456789abcdef";
    settings.directory = directory_;
    settings.default_image = "busybox";
    settings.secrets = secrets_;
    factory_ = std::make_unique<JobFactory>(parsed_.pipeline, plan_, settings);
    executor_ = std::make_unique<FakeExecutor>(std::move(acts));
    witness_ = std::make_unique<Witness>(*factory_);
    witness_->throw_on_start = throw_on_start_;
    pipelines::Progress progress(plan_, plan_.asked_for, false, approver_ != nullptr);
    Scheduler scheduler(*executor_, *factory_, kept_, groups_, downstreams_, {witness_.get()}, limits_, nullptr,
                        approver_);
    return scheduler.run(progress, plan_, stop, std::move(earlier), successor_);
  }
  long at(const std::string& line) const {
    const auto found = std::find(witness_->story.begin(), witness_->story.end(), line);
    return found == witness_->story.end() ? -1 : found - witness_->story.begin();
  }
  std::size_t count(const std::vector<std::string>& lines, const std::string& line) const {
    return static_cast<std::size_t>(std::count(lines.begin(), lines.end(), line));
  }

  std::filesystem::path directory_;
  pipelines::Parsed parsed_;
  pipelines::Plan plan_;
  std::unique_ptr<JobFactory> factory_;
  std::unique_ptr<FakeExecutor> executor_;
  std::unique_ptr<Witness> witness_;
  Kept kept_;
  Groups groups_;
  NoDownstreams downstreams_;
  Limits limits_;
  Successor successor_;
  Approver* approver_ = nullptr;
  std::vector<std::string> secrets_;
  bool throw_on_start_ = false;
};

TEST_F(SchedulerTest, ALaterStageStartsWhenTheEarlierOneIsOver) {
  const auto result =
      run("stages: [a, b]\none: {stage: a, script: x}\ntwo: {stage: a, script: x}\nthree: {stage: b, script: x}\n",
          {{"one", {{.lasts = std::chrono::milliseconds(30)}}}});
  EXPECT_EQ(result.verdict, pipelines::Verdict::passed);
  EXPECT_LT(at("passed one"), at("started three"));
  EXPECT_LT(at("passed two"), at("started three"));
}

TEST_F(SchedulerTest, ANeedsChainDoesNotWaitForAnUnrelatedJob) {
  run("a: {script: x}\nb: {script: x, needs: [a]}\nc: {script: x, needs: [b]}\nslow: {script: x, needs: []}\n",
      {{"slow", {{.lasts = std::chrono::milliseconds(300)}}}});
  EXPECT_LT(at("passed c"), at("passed slow"));
}

TEST_F(SchedulerTest, ResourceGroupIsAskedForUntilItIsFree) {
  groups_.refusals = 2;
  run("variables: {WHERE: production}\na: {script: x, resource_group: \"deploy/$WHERE\"}\nb: {script: x}\n");
  EXPECT_EQ(groups_.asked, std::vector<std::string>(3, "deploy/production"));
  EXPECT_EQ(groups_.taken, std::vector<pipelines::JobIndex>{0});
  EXPECT_LT(at("passed b"), at("started a"));
}

TEST_F(SchedulerTest, ASupersededJobIsCancelledAndWhatWaitsForItIsSkipped) {
  groups_.refusals = 2;
  groups_.superseded = true;
  const auto result = run("stages: [a, b]\na: {stage: a, script: x, resource_group: g}\nnext: {stage: b, script: x}\n");
  EXPECT_EQ(witness_->ended["a"].outcome, Outcome::cancelled);
  EXPECT_EQ(witness_->ended["a"].reason, "superseded");
  EXPECT_EQ(witness_->ended["a"].message, "waits for g");
  EXPECT_EQ(witness_->ended["next"].outcome, Outcome::skipped);
  EXPECT_EQ(result.verdict, pipelines::Verdict::cancelled);
  EXPECT_EQ(count(executor_->history, "run a"), 0U);
}

constexpr const char* gated =
    "stages: [a, b]\n"
    "other: {stage: a, script: x}\n"
    "gate: {stage: a, script: x, manual_confirmation: really, rules: [{when: manual}]}\n"
    "next: {stage: b, script: x}\n"
    "alarm: {stage: b, script: x, when: on_failure}\n";

TEST_F(SchedulerTest, AManualJobIsAskedForWhenNothingElseCanGoOn) {
  Words words({{1, Words::Word::approved}});
  approver_ = &words;
  const auto result = run(gated, {{"other", {{.lasts = std::chrono::milliseconds(50)}}}});
  EXPECT_EQ(result.verdict, pipelines::Verdict::passed);
  EXPECT_EQ(words.asked, std::vector<pipelines::JobIndex>{1});
  EXPECT_EQ(words.texts, std::vector<std::string>{"really"});
  EXPECT_LT(at("passed other"), at("started gate"));
  EXPECT_EQ(witness_->ended["gate"].approved, "approved by ann@here");
  EXPECT_EQ(witness_->ended["next"].outcome, Outcome::passed);
}

TEST_F(SchedulerTest, WithoutAWordTheRunStopsBeforeTheManualJob) {
  Words words({});
  approver_ = &words;
  const auto result = run(gated);
  EXPECT_EQ(result.verdict, pipelines::Verdict::waiting);
  EXPECT_EQ(result.blocked, std::vector<std::string>{"gate"});
  EXPECT_EQ(words.asked.size(), 1U);
  EXPECT_EQ(witness_->ended["gate"].outcome, Outcome::manual);
  EXPECT_EQ(witness_->ended["next"].outcome, Outcome::skipped);
}

TEST_F(SchedulerTest, ARejectedManualJobFails) {
  Words words({{1, Words::Word::rejected}});
  approver_ = &words;
  const auto result = run(gated);
  EXPECT_EQ(result.verdict, pipelines::Verdict::failed);
  EXPECT_EQ(witness_->ended["gate"].outcome, Outcome::failed);
  EXPECT_EQ(witness_->ended["gate"].reason, "rejected");
  EXPECT_EQ(witness_->ended["gate"].message, "rejected by ann@here: why not");
  EXPECT_EQ(witness_->ended["next"].outcome, Outcome::skipped);
  EXPECT_EQ(witness_->ended["alarm"].outcome, Outcome::passed);
  EXPECT_EQ(count(executor_->history, "prepare gate"), 0U);
}

TEST_F(SchedulerTest, TriggerHandsOnVariablesAndArtifacts) {
  run("variables: {GLOBAL: all}\n"
      "make: {stage: build, script: x, artifacts: {paths: [out]}}\n"
      "start: {trigger: {include: [{artifact: out/child.yml, job: make}]}, variables: {OWN: \"$GLOBAL of "
      "$CI_PIPELINE_ID\"}}\n",
      {{"make", {{.artifacts = true}}}});
  ASSERT_EQ(downstreams_.asked.size(), 1U);
  const DownstreamRequest& asked = downstreams_.asked[0];
  std::map<std::string, std::string> variables;
  for (const auto& variable : asked.variables) variables[variable.name] = variable.value;
  EXPECT_EQ(variables, (std::map<std::string, std::string>{{"GLOBAL", "all"}, {"OWN", "all of 7"}}));
  EXPECT_EQ(asked.artifacts.at("make"), std::vector<std::filesystem::path>{directory_ / "l1-1"});
  EXPECT_EQ(count(executor_->history, "prepare start"), 0U);
}

TEST_F(SchedulerTest, APipelineThatWaitsForAPersonMakesItsTriggerWait) {
  downstreams_.outcome = Outcome::manual;
  const auto result =
      run("start: {stage: build, trigger: {include: child.yml, strategy: depend}, allow_failure: false}\nnext: "
          "{script: x}\n");
  EXPECT_EQ(result.verdict, pipelines::Verdict::waiting);
  EXPECT_EQ(result.blocked, std::vector<std::string>{"start"});
  EXPECT_EQ(witness_->ended["next"].outcome, Outcome::skipped);
}

TEST_F(SchedulerTest, NoMoreThanTheLimitRunAtOnce) {
  limits_.parallel = 2;
  std::string yaml;
  std::map<std::string, std::vector<Act>> acts;
  for (int i = 0; i < 8; ++i) {
    yaml += "j" + std::to_string(i) + ": {script: x}\n";
    acts["j" + std::to_string(i)] = {{.lasts = std::chrono::milliseconds(15)}};
  }
  run(yaml, acts);
  EXPECT_EQ(executor_->most_running, 2);
}

TEST_F(SchedulerTest, TheNextJobIsPreparedWhileTheFirstRuns) {
  run("a: {script: x}\nb: {script: x, needs: [a]}\n", {{"a", {{.lasts = std::chrono::milliseconds(100)}}}});
  const auto& history = executor_->history;
  ASSERT_EQ(count(history, "prepare b"), 1U);
  EXPECT_LT(std::find(history.begin(), history.end(), "prepare b"), std::find(history.begin(), history.end(), "run b"));
}

TEST_F(SchedulerTest, AJobThatTakesArtifactsIsPreparedWhenTheyAreThere) {
  run("a: {script: x, artifacts: {paths: [out]}}\nb: {script: x, needs: [a]}\n",
      {{"a", {{.artifacts = true, .lasts = std::chrono::milliseconds(30)}}}});
  ASSERT_EQ(executor_->prepared_specs.size(), 2U);
  EXPECT_EQ(executor_->prepared_specs[1].inputs, std::vector<std::filesystem::path>{directory_ / "l1-1"});
  EXPECT_EQ(kept_.kept, std::vector<std::string>{"artifacts:archive"});
}

TEST_F(SchedulerTest, AJobThatTakesArtifactsIsPreparedWhileTheyAreStored) {
  bool seen = false;
  kept_.meanwhile = [&] {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!seen && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      const std::lock_guard lock(executor_->mutex);
      seen = count(executor_->history, "prepare b") > 0;
    }
  };
  run("a: {script: x, artifacts: {paths: [out]}}\nb: {script: x, needs: [a]}\n", {{"a", {{.artifacts = true}}}});
  EXPECT_TRUE(seen);
  EXPECT_EQ(executor_->history, (std::vector<std::string>{"prepare a", "run a", "prepare b", "run b"}));
}

TEST_F(SchedulerTest, WhatWasPreparedForArtifactsThatCouldNotBeStoredIsMadeAnew) {
  kept_.failures = 1;
  kept_.meanwhile = [&] {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    for (bool seen = false; !seen && std::chrono::steady_clock::now() < end;) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      const std::lock_guard lock(executor_->mutex);
      seen = count(executor_->history, "prepare b") > 0;
    }
  };
  const auto result = run("a: {script: x, retry: 1, artifacts: {paths: [out]}}\nb: {script: x, needs: [a]}\n",
                          {{"a", {{.artifacts = true}}}});
  EXPECT_EQ(result.verdict, pipelines::Verdict::passed);
  EXPECT_EQ(count(executor_->history, "prepare b"), 2U);
  EXPECT_EQ(executor_->prepared_specs.back().inputs, std::vector<std::filesystem::path>{directory_ / "l1-2"});
  EXPECT_EQ(executor_->alive, 0);
}

TEST_F(SchedulerTest, WhatWasPreparedInVainIsDropped) {
  const auto result =
      run("a: {script: x}\nb: {script: x, needs: [a]}\n", {{"a",
                                                            {{.outcome = Outcome::failed,
                                                              .exit_code = 1,
                                                              .reason = "script_failure",
                                                              .lasts = std::chrono::milliseconds(60)}}}});
  EXPECT_EQ(result.verdict, pipelines::Verdict::failed);
  EXPECT_EQ(count(executor_->history, "prepare b"), 1U);
  EXPECT_EQ(count(executor_->history, "run b"), 0U);
  EXPECT_EQ(witness_->ended["b"].outcome, Outcome::skipped);
  EXPECT_EQ(executor_->alive, 0);
}

TEST_F(SchedulerTest, AFailedPreparationAheadIsTriedAgainWhenTheTurnComes) {
  const auto result = run("a: {script: x}\nb: {script: x, needs: [a]}\n",
                          {{"a", {{.lasts = std::chrono::milliseconds(60)}}}, {"b", {{.prepare_failures = 1}}}});
  EXPECT_EQ(result.verdict, pipelines::Verdict::passed);
  EXPECT_EQ(count(executor_->history, "prepare b"), 2U);
}

TEST_F(SchedulerTest, AWorldThatBreaksWhilePreparingMakesTheJobBroken) {
  const auto result = run("a: {script: x}\n", {{"a", {{.prepare_failures = 9}}}});
  EXPECT_EQ(result.verdict, pipelines::Verdict::broken);
  EXPECT_EQ(witness_->ended["a"].reason, "image_pull_failure");
  EXPECT_EQ(witness_->ended["a"].message, "no such image");
}

TEST_F(SchedulerTest, RetriesAreAttemptsAndOneEnd) {
  const Act failing{.outcome = Outcome::failed, .exit_code = 3, .reason = "script_failure"};
  const auto result = run("a: {script: x, retry: 2}\n", {{"a", {failing, failing, Act{}}}});
  EXPECT_EQ(result.verdict, pipelines::Verdict::passed);
  EXPECT_EQ(count(witness_->story, "retried a"), 2U);
  EXPECT_EQ(count(witness_->story, "passed a"), 1U);
  EXPECT_EQ(witness_->ended["a"].key.attempt, 3U);
}

TEST_F(SchedulerTest, AnAllowedFailureLetsThePipelinePass) {
  const auto result = run("a: {script: x, allow_failure: {exit_codes: [42]}}\nb: {stage: deploy, script: x}\n",
                          {{"a", {{.outcome = Outcome::failed, .exit_code = 42, .reason = "script_failure"}}}});
  EXPECT_EQ(result.verdict, pipelines::Verdict::passed);
  EXPECT_GE(at("failed a allowed"), 0);
  EXPECT_GE(at("passed b"), 0);
}

TEST_F(SchedulerTest, OutputComesBetweenStartAndEnd) {
  run("a: {script: x}\n", {{"a", {{.log = "hello\n"}}}});
  EXPECT_EQ(witness_->story, (std::vector<std::string>{"started a", "log a", "passed a"}));
  EXPECT_EQ(witness_->raws["a"], 6U);
}

TEST_F(SchedulerTest, SecretsDoNotReachObservers) {
  secrets_ = {"correct-horse"};
  run("a: {script: x}\n", {{"a", {{.log = "it is correct-horse\n"}}}});
  EXPECT_EQ(witness_->logs["a"], "it is [MASKED]\n");
}

TEST_F(SchedulerTest, MaskedVariablesDoNotReachObservers) {
  run("variables: {T: {value: battery-staple, masked: true}}\na: {script: x}\n",
      {{"a", {{.log = "battery-staple\n"}}}});
  EXPECT_EQ(witness_->logs["a"], "[MASKED]\n");
}

TEST_F(SchedulerTest, ADotenvReportReachesLaterJobs) {
  run("a: {stage: build, script: x, artifacts: {reports: {dotenv: build.env}}}\nb: {script: x}\nc: {script: x, needs: "
      "[]}\n",
      {{"a", {{.dotenv = "VERSION=1.2\n"}}}});
  const auto has = [&](const std::string& job) {
    const auto& environment = executor_->works[job].environment;
    return std::find(environment.begin(), environment.end(), std::pair<std::string, std::string>("VERSION", "1.2")) !=
           environment.end();
  };
  EXPECT_TRUE(has("b"));
  EXPECT_FALSE(has("c"));
}

TEST_F(SchedulerTest, ArtifactsThatCannotBeKeptBreakAGreenJob) {
  kept_.fail = true;
  const auto result = run("a: {script: x, artifacts: {paths: [out]}}\n", {{"a", {{.artifacts = true}}}});
  EXPECT_EQ(result.verdict, pipelines::Verdict::broken);
  EXPECT_EQ(witness_->ended["a"].reason, "artifacts_failed");
}

TEST_F(SchedulerTest, AStopCancelsWhatRunsAndStartsNothingElse) {
  std::stop_source source;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    source.request_stop();
  });
  const auto result = run("a: {script: x}\nb: {stage: deploy, script: x}\n",
                          {{"a", {{.lasts = std::chrono::seconds(30)}}}}, {}, source.get_token());
  EXPECT_EQ(result.verdict, pipelines::Verdict::cancelled);
  EXPECT_EQ(witness_->ended["a"].outcome, Outcome::cancelled);
  EXPECT_EQ(witness_->ended["b"].outcome, Outcome::cancelled);
  EXPECT_EQ(executor_->alive, 0);
}

TEST_F(SchedulerTest, AFailureCancelsTheRestWhereTheWorkflowSaysSo) {
  using std::chrono::milliseconds;
  const auto begun = std::chrono::steady_clock::now();
  const auto result =
      run("workflow: {auto_cancel: {on_job_failure: all}}\nstages: [a, b]\n"
          "bad: {stage: a, script: x, retry: 1}\nslow: {stage: a, script: x, interruptible: false}\n"
          "late: {stage: a, script: x, when: delayed, start_in: 1 day}\nnext: {stage: b, script: x, when: always}\n",
          {{"bad", {{.outcome = Outcome::failed, .lasts = milliseconds(20)}, {.outcome = Outcome::failed}}},
           {"slow", {{.lasts = milliseconds(10'000)}}}});
  EXPECT_EQ(result.verdict, pipelines::Verdict::failed);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, milliseconds(5000));
  EXPECT_GE(at("retried bad"), 0) << "an attempt that is made again is no failure yet";
  EXPECT_GT(at("cancelled slow"), at("failed bad"));
  for (const char* job : {"late", "next"}) {
    EXPECT_GE(at(std::string("cancelled ") + job), 0) << job;
    EXPECT_EQ(witness_->ended[job].message, "bad failed, and auto_cancel:on_job_failure is all") << job;
  }
}

TEST_F(SchedulerTest, InstancesOfAParallelJobAreJobs) {
  run("test: {script: x, parallel: 2}\nmatrix: {script: x, parallel: {matrix: [{A: [b, c]}]}}\n"
      "after: {script: x, needs: [test, {job: matrix, parallel: {matrix: [{A: c}]}}]}\n");
  for (const char* job : {"test 1/2", "test 2/2", "matrix: [b]", "matrix: [c]"}) {
    EXPECT_GE(at(std::string("passed ") + job), 0) << job;
  }
  EXPECT_GT(at("started after"), at("passed test 2/2"));
  EXPECT_GT(at("started after"), at("passed matrix: [c]"));
  const auto& environment = executor_->works["test 2/2"].environment;
  const auto has = [&](const char* name, const char* value) {
    return std::find(environment.begin(), environment.end(), std::pair<std::string, std::string>(name, value)) !=
           environment.end();
  };
  EXPECT_TRUE(has("CI_NODE_INDEX", "2"));
  EXPECT_TRUE(has("CI_NODE_TOTAL", "2"));
  EXPECT_TRUE(has("CI_JOB_NAME", "test 2/2"));
}

TEST_F(SchedulerTest, AnObserverThatThrowsStopsTheRun) {
  throw_on_start_ = true;
  EXPECT_THROW(run("a: {script: x}\nb: {script: x}\n"), std::runtime_error);
  EXPECT_EQ(executor_->alive, 0);
}

TEST_F(SchedulerTest, ABlockingManualJobLeavesTheRunWaiting) {
  const auto result = run("a: {script: x, rules: [{when: manual}]}\nb: {stage: deploy, script: x}\n");
  EXPECT_EQ(result.verdict, pipelines::Verdict::waiting);
  EXPECT_EQ(result.blocked, std::vector<std::string>{"a"});
}

TEST_F(SchedulerTest, ADelayedJobStartsLater) {
  const auto begun = std::chrono::steady_clock::now();
  run("a: {script: x, when: delayed, start_in: 1 second}\n");
  EXPECT_GE(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(990));
}

TEST_F(SchedulerTest, AResumedRunDoesNotRunAgainWhatIsOver) {
  Earlier earlier;
  std::filesystem::create_directories(directory_ / "report");
  std::ofstream(directory_ / "report" / "build.env") << "VERSION=1.2\n";
  earlier.finished[0].end.outcome = Outcome::passed;
  earlier.finished[0].end.key = {0, 1};
  earlier.finished[0].collected = {{"archive", directory_ / "kept", 1, 1}, {"dotenv", directory_ / "report", 1, 1}};
  earlier.running[1] = {2, "handle", 100, Clock::now() - std::chrono::seconds(100)};
  const auto result =
      run("a: {stage: build, script: x, artifacts: {paths: [out]}}\nb: {script: x}\nc: {stage: deploy, script: x}\n",
          {{"b", {{.log = "more"}}}}, earlier);
  EXPECT_EQ(result.verdict, pipelines::Verdict::passed);
  EXPECT_EQ(count(executor_->history, "prepare a"), 0U);
  EXPECT_EQ(count(executor_->history, "prepare b"), 0U);
  EXPECT_EQ(count(executor_->history, "adopt b handle 100"), 1U);
  EXPECT_EQ(witness_->raws["b"], 104U);
  EXPECT_EQ(witness_->ended["a"].outcome, Outcome::passed);
  EXPECT_EQ(witness_->ended["b"].key.attempt, 2U);
  EXPECT_GE(witness_->ended["b"].duration, std::chrono::seconds(100));
  const auto& environment = executor_->works["c"].environment;
  EXPECT_NE(std::find(environment.begin(), environment.end(), std::pair<std::string, std::string>("VERSION", "1.2")),
            environment.end());
  ASSERT_EQ(executor_->prepared_specs.size(), 1U);
  EXPECT_EQ(executor_->prepared_specs[0].inputs, std::vector<std::filesystem::path>{directory_ / "kept"});
}

TEST_F(SchedulerTest, ALostJobIsBrokenAndNotRunAgain) {
  Earlier earlier;
  earlier.running[0] = {1, "gone", 0, Clock::now()};
  const auto result = run("a: {script: x}\n", {}, earlier);
  EXPECT_EQ(result.verdict, pipelines::Verdict::broken);
  EXPECT_EQ(witness_->ended["a"].reason, "lost");
  EXPECT_EQ(count(executor_->history, "run a"), 0U);
}

TEST(WantsRetry, OfSecretsThatCouldNotBeHad) {
  executors::JobResult broken;
  broken.outcome = Outcome::broken;
  broken.reason = "runner_configuration_error";
  EXPECT_TRUE(wants_retry({1, {"script_failure"}, {}}, broken, 1));
  EXPECT_FALSE(wants_retry({1, {"runner_system_failure"}, {}}, broken, 1));
  broken.reason = "runner_external_dependency_failure";
  EXPECT_TRUE(wants_retry({1, {"runner_system_failure"}, {}}, broken, 1));
  EXPECT_FALSE(wants_retry({1, {"script_failure"}, {}}, broken, 1));
  broken.reason = "secrets_provider_not_found";
  EXPECT_TRUE(wants_retry({1, {"secrets_provider_not_found"}, {}}, broken, 1));
}

TEST(WantsRetry, WhenAndExitCodesAreAlternatives) {
  executors::JobResult failed;
  failed.outcome = Outcome::failed;
  failed.exit_code = 7;
  failed.reason = "script_failure";
  EXPECT_FALSE(wants_retry({0, {}, {}}, failed, 1));
  EXPECT_TRUE(wants_retry({1, {}, {}}, failed, 1));
  EXPECT_FALSE(wants_retry({1, {}, {}}, failed, 2));
  EXPECT_TRUE(wants_retry({1, {"runner_system_failure"}, {7}}, failed, 1));
  EXPECT_TRUE(wants_retry({1, {"script_failure"}, {9}}, failed, 1));
  EXPECT_FALSE(wants_retry({1, {"runner_system_failure"}, {9}}, failed, 1));
  failed.outcome = Outcome::passed;
  EXPECT_FALSE(wants_retry({1, {}, {}}, failed, 1));
}

TEST(ServiceAliases, FollowGitLabsRules) {
  EXPECT_EQ(service_aliases("postgres:15", {}), (std::vector<std::string>{"postgres"}));
  EXPECT_EQ(service_aliases("tutum/wordpress:latest", {"web"}),
            (std::vector<std::string>{"tutum__wordpress", "tutum-wordpress", "web"}));
  EXPECT_EQ(service_aliases("registry.example.com:4999/a/b", {}),
            (std::vector<std::string>{"registry.example.com__a__b", "registry.example.com-a-b"}));
  EXPECT_EQ(service_aliases("redis@sha256:abc", {"redis"}), (std::vector<std::string>{"redis"}));
}

TEST_F(SchedulerTest, WhatAnEarlierRunLeftIsToldFirstAndGivenOn) {
  Earlier earlier;
  Earlier::Finished& made = earlier.settled[0];
  made.end.key = {0, 0};
  made.end.outcome = Outcome::passed;
  made.end.reused = 3;
  executors::Collected archive;
  archive.kind = "archive";
  archive.directory = directory_ / "kept";
  archive.files = 1;
  made.collected.push_back(archive);
  const auto result =
      run("make: {stage: build, script: x, artifacts: {paths: [out]}}\nlint: {stage: build, script: x}\n"
          "test: {script: x}\n",
          {}, std::move(earlier));
  EXPECT_EQ(result.verdict, pipelines::Verdict::passed);
  EXPECT_EQ(witness_->story.front(), "passed make");
  EXPECT_EQ(witness_->ended["make"].reused, 3U);
  EXPECT_EQ(count(executor_->history, "prepare make"), 0U);
  const auto& specs = executor_->prepared_specs;  // in any order: lint's may be made at the same time
  const auto test = std::find_if(specs.begin(), specs.end(), [](const auto& spec) { return spec.id.name == "test"; });
  ASSERT_NE(test, specs.end());
  EXPECT_EQ(test->inputs, std::vector<std::filesystem::path>{directory_ / "kept"});
}

TEST_F(SchedulerTest, ANewerRunCancelsOneWhoseJobsAreInterruptible) {
  std::stop_source newer;
  newer.request_stop();
  successor_.wanted = newer.get_token();
  const auto result = run("a: {script: x, interruptible: true}\nb: {stage: deploy, script: x}\n");
  EXPECT_EQ(result.verdict, pipelines::Verdict::cancelled);
  EXPECT_TRUE(result.replaced);
  EXPECT_EQ(witness_->ended["b"].message, "a newer run takes its place");
}

TEST_F(SchedulerTest, ANewerRunLetsOneFinishThatIsHeld) {
  std::stop_source newer;
  newer.request_stop();
  successor_.wanted = newer.get_token();
  successor_.held->store(true);
  const auto result = run("a: {script: x, interruptible: true}\n");
  EXPECT_EQ(result.verdict, pipelines::Verdict::passed);
  EXPECT_FALSE(result.replaced);
}

TEST_F(SchedulerTest, AJobThatIsNotInterruptibleHoldsTheRun) {
  run("a: {script: x, interruptible: true}\n");
  EXPECT_FALSE(successor_.held->load());
  run("a: {script: x}\n");
  EXPECT_TRUE(successor_.held->load());
}

TEST_F(SchedulerTest, ANewerRunCancelsTheInterruptibleJobsAlone) {
  std::stop_source newer;
  newer.request_stop();
  successor_.wanted = newer.get_token();
  const auto result =
      run("workflow: {auto_cancel: {on_new_commit: interruptible}}\n"
          "a: {script: x, interruptible: true}\nb: {script: x}\nc: {stage: deploy, script: x}\n");
  EXPECT_EQ(result.verdict, pipelines::Verdict::cancelled);
  EXPECT_TRUE(result.replaced);
  EXPECT_EQ(witness_->ended["a"].outcome, Outcome::cancelled);
  EXPECT_EQ(witness_->ended["b"].outcome, Outcome::passed);
  EXPECT_EQ(witness_->ended["c"].outcome, Outcome::skipped);
}

}  // namespace
}  // namespace runner
