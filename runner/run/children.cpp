#include "runner/run/children.h"

#include <fmt/core.h>

#include <future>
#include <utility>

#include "runner/run/overloaded.h"

namespace runner {
namespace {

using pipelines::JobIndex;
using pipelines::Outcome;
using pipelines::Verdict;

executors::JobResult failure(std::string reason, std::string message) {
  executors::JobResult result;
  result.outcome = Outcome::failed;
  result.reason = std::move(reason);
  result.message = std::move(message);
  return result;
}

// GitLab's `depend` and `mirror` differ in what they show of a pipeline that has not ended; here both wait for its end.
executors::JobResult result_of(const ChildEnd& end) {
  executors::JobResult result;
  switch (end.verdict) {
    case Verdict::passed:
    case Verdict::skipped:
      result.outcome = Outcome::passed;
      return result;
    case Verdict::cancelled:
      result.outcome = Outcome::cancelled;
      break;
    case Verdict::broken:
      result.outcome = Outcome::broken;
      result.reason = "runner_system_failure";
      break;
    case Verdict::waiting:
      result.outcome = Outcome::manual;
      result.message = fmt::format("its pipeline, run {}, waits to be started by hand", end.run);
      return result;
    case Verdict::failed:
      result.outcome = Outcome::failed;
      result.reason = "unknown_failure";
      break;
  }
  result.message = fmt::format("its pipeline, run {}, ended: {}", end.run, pipelines::to_string(end.verdict));
  return result;
}

}  // namespace

// ---- the console of several runs

class Relay::Child : public Observer {
 public:
  explicit Child(Relay& relay) : relay_(relay) {}
  void on(const Event& event) override {
    if (const auto* started = std::get_if<RunStarted>(&event)) {
      JobIndex jobs = 0;
      for (const auto& job : started->jobs) jobs = std::max(jobs, job.job + 1);
      first_ = relay_.make_room(jobs);
    }
    relay_.pass(event, first_);
  }
  void log(const JobKey& key, std::string_view bytes, std::uint64_t raw) override {
    relay_.pass_log(key, bytes, raw, first_);
  }
  void conceal(const JobKey& key, const SecretSet& secrets) override { relay_.pass_secrets(key, secrets, first_); }

 private:
  Relay& relay_;
  JobIndex first_ = 0;  // set before any of its jobs has a thread
};

Observer& Relay::child() {
  const std::lock_guard lock(numbers_);
  return *children_.emplace_back(std::make_unique<Child>(*this));
}

JobIndex Relay::make_room(JobIndex jobs) {
  const std::lock_guard lock(numbers_);
  return std::exchange(next_, next_ + jobs);
}

void Relay::on(const Event& event) {
  if (const auto* started = std::get_if<RunStarted>(&event)) {
    const std::lock_guard lock(numbers_);
    for (const auto& job : started->jobs) next_ = std::max(next_, job.job + 1);
  }
  pass(event, 0);
}

void Relay::log(const JobKey& key, std::string_view bytes, std::uint64_t raw) { pass_log(key, bytes, raw, 0); }

void Relay::conceal(const JobKey& key, const SecretSet& secrets) { pass_secrets(key, secrets, 0); }

void Relay::pass(Event event, JobIndex first) {
  std::visit(Overloaded{
                 [first](RunStarted& started) {
                   for (auto& job : started.jobs) job.job += first;
                 },
                 [](RunPreparing&) {},
                 [](RunFinished&) {},
                 [first](auto& of_a_job) { of_a_job.key.job += first; },
             },
             event);
  const std::lock_guard lock(order_);
  std::unique_lock exclusive(shown_, std::defer_lock);
  if (std::holds_alternative<RunStarted>(event)) exclusive.lock();
  console_.on(event);
}

void Relay::pass_log(JobKey key, std::string_view bytes, std::uint64_t raw, JobIndex first) {
  key.job += first;
  const std::shared_lock lock(shown_);
  console_.log(key, bytes, raw);
}

void Relay::pass_secrets(JobKey key, const SecretSet& secrets, JobIndex first) {
  key.job += first;
  const std::shared_lock lock(shown_);
  console_.conceal(key, secrets);
}

// ---- the runs

Children::Children(Store& store, RunId run, unsigned depth, std::filesystem::path sources, ChildLoader load,
                   ChildRunner runner)
    : store_(store),
      run_(run),
      depth_(depth),
      sources_(std::move(sources)),
      load_(std::move(load)),
      runner_(std::move(runner)) {}

Children::~Children() { wait({}); }

void Children::wait(const std::stop_token& stop) {
  std::list<std::jthread> left;
  {
    const std::lock_guard lock(mutex_);
    left.swap(loose_);
  }
  const std::stop_callback pass_on(stop, [&left] {
    for (std::jthread& thread : left) thread.request_stop();
  });
  for (std::jthread& thread : left) thread.join();
}

executors::JobResult Children::run(const JobKey& key, const DownstreamRequest& asked, executors::Notices& notices,
                                   const std::stop_token& stop) {
  if (asked.rollback) return roll_back(key, asked, notices, stop);
  if (asked.what->config.empty()) {
    notices.warning(
        asked.what->upstream
            ? fmt::format("how the pipeline of {} ended is not known: it needs GitLab's server", asked.what->project)
            : fmt::format("the pipeline of {} was not started: it needs GitLab's server; a child pipeline of this "
                          "project is `include`",
                          asked.what->project));
    executors::JobResult nothing;
    nothing.outcome = Outcome::passed;
    return nothing;
  }
  if (depth_ >= deepest_child) {
    return failure(
        "reached_max_descendant_pipelines_depth",
        fmt::format("a child pipeline of a child pipeline cannot have one itself: at most {} levels", deepest_child));
  }
  const std::optional<RunRow> before = store_.child_run(run_, key.job + 1);
  if (before && before->outcome) return result_of({before->id, *before->outcome});
  const std::optional<RunDetail> begun = take_up(before);
  const std::shared_ptr<ChildPipeline> child = load_({asked, sources_, begun ? &*begun : nullptr});
  if (child->complaint.empty() && child->plan.included_count() == 0) {
    child->complaint = "it has nothing to run: " + child->plan.empty_reason;
  }
  if (!child->complaint.empty()) {
    return failure("downstream_pipeline_creation_failed",
                   "the child pipeline could not be created: " + child->complaint);
  }
  return start(key, asked, child, begun ? std::optional(begun->id) : std::nullopt, notices, stop);
}

std::optional<RunDetail> Children::take_up(const std::optional<RunRow>& before) {
  return before && store_.adopt_run(before->id) ? store_.run(before->id) : std::nullopt;
}

// The earlier run's jobs, as a run of their own below this one.
executors::JobResult Children::roll_back(const JobKey& key, const DownstreamRequest& asked, executors::Notices& notices,
                                         const std::stop_token& stop) {
  const std::optional<RunRow> before = store_.child_run(run_, key.job + 1);
  if (before && before->outcome) return result_of({before->id, *before->outcome});
  const std::optional<RunDetail> begun = take_up(before);
  const std::unique_ptr<ChildPipeline> again = load_({asked, sources_, begun ? &*begun : nullptr});
  if (!again->complaint.empty()) return failure("script_failure", again->complaint);
  const auto created = [&](RunId run) {
    notices.status(fmt::format("rolls {} back in run {}", asked.rollback->environment, run));
  };
  return result_of(runner_({*again, key, begun ? std::optional(begun->id) : std::nullopt, created}, stop));
}

executors::JobResult Children::start(const JobKey& key, const DownstreamRequest& asked,
                                     std::shared_ptr<const ChildPipeline> child, std::optional<RunId> taken_up,
                                     executors::Notices& notices, const std::stop_token& stop) {
  const auto created = [&notices](RunId run) { notices.status(fmt::format("its pipeline is run {}", run)); };
  if (asked.what->strategy != pipelines::Downstream::Strategy::none) {
    return result_of(runner_({*child, key, taken_up, created}, stop));
  }
  // Nobody waits for it but the run as a whole. Its thread takes the pipeline along.
  auto begun = std::make_shared<std::promise<RunId>>();
  std::future<RunId> run = begun->get_future();
  std::jthread thread([this, owned = std::move(child), key, taken_up, begun](const std::stop_token& cancel) {
    bool told = false;
    const auto tell = [&](RunId id) {
      told = true;
      begun->set_value(id);
    };
    try {
      runner_({*owned, key, taken_up, tell}, cancel);
    } catch (...) {
      if (!told) begun->set_exception(std::current_exception());
      // Else it stays unfinished in the store, to be resumed; what broke it is the parent's world too.
    }
  });
  const RunId id = run.get();
  created(id);
  const std::lock_guard lock(mutex_);
  loose_.push_back(std::move(thread));
  executors::JobResult result;
  result.outcome = Outcome::passed;
  return result;
}

}  // namespace runner
