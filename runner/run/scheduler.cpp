#include "runner/run/scheduler.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <exception>
#include <set>

#include "pipelines/again.h"
#include "runner/run/job_thread.h"
#include "runner/run/reports.h"

namespace runner {
namespace {

using pipelines::JobIndex;
using pipelines::Outcome;
using Steady = std::chrono::steady_clock;

// What the scheduler knows of a job that has a thread.
struct Active {
  std::unique_ptr<JobThread> thread;
  std::uint32_t attempt = 1;
  bool turn = false;      // its turn has come
  bool prepared = false;  // its sandbox waits
  bool started = false;   // the go was given
  bool dropped = false;   // told that it is not needed
  bool expired = false;   // was stopped because preparing took longer than the job may take
  std::string handle;
  Steady::time_point since;             // when its turn came
  std::chrono::milliseconds before{0};  // how long it ran under a runner that died
  std::optional<Steady::time_point> prepare_until;
};

struct Ready {
  JobIndex job = 0;
  Steady::time_point at;  // not before: `when: delayed`, or the next question for its resource group
  std::string waits_for;  // what was last said of that
};

constexpr std::chrono::milliseconds ask_again{200};  // for a resource group: another process may hold it

std::string skip_reason(Outcome outcome, pipelines::When when) {
  switch (outcome) {
    case Outcome::skipped:
      return when == pipelines::When::on_failure ? "nothing before it failed"
                                                 : "a job before it failed, was skipped or was not started";
    case Outcome::manual:
      return "waits to be started by hand";
    case Outcome::cancelled:
      return "the run was cancelled";
    default:
      return {};
  }
}

}  // namespace

bool wants_retry(const pipelines::Retry& retry, const executors::JobResult& result, std::uint32_t attempt) {
  if (attempt > static_cast<std::uint32_t>(std::max(0, retry.max))) return false;
  if (result.outcome != Outcome::failed && result.outcome != Outcome::broken) return false;
  if (retry.when.empty() && retry.exit_codes.empty()) return true;
  if (std::find(retry.exit_codes.begin(), retry.exit_codes.end(), result.exit_code) != retry.exit_codes.end()) {
    return true;
  }
  const auto listed = [&](std::string_view word) {
    return std::find(retry.when.begin(), retry.when.end(), word) != retry.when.end();
  };
  if (listed("always") || listed(result.reason)) return true;
  // Our own words, and GitLab's wider ones: script_failure covers a failed image pull, running out of memory is the
  // script's, a lost job or artifacts that could not be kept are the system's.
  if (result.reason == "image_pull_failure" || result.reason == "oom") return listed("script_failure");
  if (result.reason == "lost" || result.reason == "artifacts_failed") return listed("runner_system_failure");
  // gitlab-runner's newer words, which it tells older servers as these (common/network.go).
  if (result.reason == "runner_configuration_error") return listed("script_failure");
  if (result.reason == "runner_external_dependency_failure") return listed("runner_system_failure");
  if (result.reason == "job_execution_timeout") return listed("stuck_or_timeout_failure");
  return result.reason.empty() && listed("unknown_failure");
}

bool is_allowed(const pipelines::AllowFailure& allow, const executors::JobResult& result) {
  if (result.outcome != Outcome::failed && result.outcome != Outcome::broken) return false;
  if (allow.any) return true;
  return result.exit_code >= 0 &&
         std::find(allow.exit_codes.begin(), allow.exit_codes.end(), result.exit_code) != allow.exit_codes.end();
}

JobFinished rejected(JobIndex job, const pipelines::PlannedJob& planned, const std::string& who,
                     const std::string& comment) {
  JobFinished finished;
  finished.key = {job, 0};
  finished.time = Clock::now();
  finished.outcome = Outcome::failed;
  finished.allowed = planned.allow_failure.any;
  finished.reason = "rejected";
  finished.message = fmt::format("rejected by {}{}{}", who, comment.empty() ? "" : ": ", comment);
  return finished;
}

Scheduler::Scheduler(executors::Executor& executor, const JobFactory& factory, ArtifactKeeper& keeper,
                     ResourceKeeper& resources, Downstreams& downstreams, std::vector<Observer*> observers,
                     Limits limits, FailureHelp* help, Approver* approver)
    : executor_(executor),
      factory_(factory),
      keeper_(keeper),
      resources_(resources),
      downstreams_(downstreams),
      observers_(std::move(observers)),
      limits_(limits),
      help_(help),
      approver_(approver) {
  limits_.parallel = std::max<std::size_t>(1, limits_.parallel);
}

namespace {

// One run, from its first event to its last; lives inside Scheduler::run.
class Walk {
 public:
  Walk(executors::Executor& executor, const JobFactory& factory, ArtifactKeeper& keeper, ResourceKeeper& resources,
       Downstreams& downstreams, const std::vector<Observer*>& observers, Limits limits, FailureHelp* help,
       Approver* approver, pipelines::Progress& progress, const pipelines::Plan& plan, Earlier earlier,
       Successor successor)
      : context_{executor, keeper, downstreams, observers, mailbox_, limits, help},
        factory_(factory),
        resources_(resources),
        approver_(approver),
        limits_(limits),
        progress_(progress),
        plan_(plan),
        earlier_(std::move(earlier)),
        successor_(std::move(successor)),
        left_(plan.included_count()) {}

  Scheduler::Result run(const std::stop_token& stop) {
    const std::stop_callback wake(stop, [this] { mailbox_.wake(); });
    const std::stop_callback wake_too(successor_.wanted, [this] { mailbox_.wake(); });
    started_ = Steady::now();
    try {
      report(progress_.begin(reuse()));
      while (!(progress_.done() && active_.empty())) {
        if (stop.stop_requested() && !cancelled_) cancel();
        if (successor_.wanted.stop_requested() && !cancelled_) make_room();
        collect_ready();
        if (progress_.halted() && !cancelled_) stop_running();
        tell_waiting();
        if (progress_.stands_still() && active_.empty()) {
          ask_for_waiting(stop);
          continue;
        }
        start_ready();
        prepare_ahead();
        if (progress_.done() && active_.empty()) break;
        for (auto& message : mailbox_.take(next_deadline())) handle(std::move(message));
        expire_preparations();
      }
    } catch (...) {
      // An observer threw: nothing can be recorded any more. Stop everything, then say so.
      for (auto& [job, active] : active_) {
        active.thread->drop();
        active.thread->request_stop();
      }
      active_.clear();
      throw;
    }
    Scheduler::Result result;
    result.verdict = progress_.verdict();
    result.blocked = blocked_;
    result.replaced = replaced_;
    return result;
  }

 private:
  void emit(const Event& event) {
    for (Observer* observer : context_.observers) observer->on(event);
  }

  void report(const std::vector<pipelines::Ended>& ended) {
    for (const auto& [job, outcome] : ended) {
      if (earlier_.finished.count(job) != 0) continue;
      if (const auto found = active_.find(job); found != active_.end()) drop(found->second);
      std::erase_if(ready_, [job = job](const Ready& ready) { return ready.job == job; });
      if (outcome == Outcome::manual && !plan_.jobs[job].allow_failure.any) blocked_.push_back(factory_.name(job));
      if (left_ > 0) --left_;
      JobFinished finished;
      finished.key = {job, 0};
      finished.time = Clock::now();
      finished.outcome = outcome;
      const bool has_reason = outcome == Outcome::cancelled && (progress_.halted() || replaced_);
      finished.message = has_reason ? halt_reason_ : skip_reason(outcome, plan_.jobs[job].when);
      emit(finished);
    }
  }

  // What an earlier run left is told before anything starts.
  std::vector<pipelines::Settled> reuse() {
    std::vector<pipelines::Settled> settled;
    for (const auto& [job, finished] : earlier_.settled) {
      emit(finished.end);
      if (left_ > 0) --left_;
      produced_[job] = inputs_of(job, finished.collected, read_dotenv(finished.collected).variables);
      settled.push_back({job, finished.end.outcome, finished.end.allowed});
    }
    return settled;
  }

  void tell_waiting() {
    for (const JobIndex job : progress_.waiting()) {
      if (announced_.insert(job).second) emit(JobWaiting{{job, 0}, Clock::now(), factory_.confirmation(job)});
    }
  }

  // Nothing else can go on. Who is asked once says what becomes of the job in this run.
  void ask_for_waiting(const std::stop_token& stop) {
    bool any = false;
    const std::vector<JobIndex> waiting = progress_.waiting();
    for (const JobIndex job : waiting) {
      if (stop.stop_requested()) return;
      if (approver_ == nullptr || replaced_ || refused_.count(job) != 0) continue;
      const executors::steps::Answer answer = approver_->ask(job, factory_.confirmation(job), stop);
      if (answer.word == executors::steps::Answer::Word::none) {
        refused_.insert(job);
        continue;
      }
      if (answer.word == executors::steps::Answer::Word::rejected) {
        earlier_.finished[job] = {rejected(job, plan_.jobs[job], answer.who, answer.comment), {}};
      }
      progress_.start_by_hand(job);
      any = true;
    }
    if (!any && !stop.stop_requested()) report(progress_.give_up());
  }

  void drop(Active& active) {
    if (active.dropped || active.turn) return;
    active.dropped = true;
    active.thread->drop();
    active.thread->request_stop();
  }

  bool being_dropped(JobIndex job) const {
    const auto found = active_.find(job);
    return found != active_.end() && found->second.dropped;
  }

  void cancel() {
    report(progress_.cancel());
    stop_running();
  }

  // What a newer run makes of this one.
  void make_room() {
    if (std::exchange(considered_, true)) return;
    pipelines::Redundant fate = pipelines::when_redundant(factory_.pipeline(), plan_, begun_);
    if (fate == pipelines::Redundant::cancel && successor_.held->load()) fate = pipelines::Redundant::let_finish;
    if (fate == pipelines::Redundant::let_finish) return;
    replaced_ = true;
    halt_reason_ = "a newer run takes its place";
    if (fate == pipelines::Redundant::cancel) {
      cancel();
    } else {
      stop_interruptible();
    }
  }

  void stop_interruptible() {
    std::vector<JobIndex> jobs;
    for (const auto& planned : plan_.jobs) {
      if (planned.included && planned.interruptible) jobs.push_back(planned.job);
    }
    std::vector<JobIndex> ready;  // whose turn had not come
    for (const Ready& each : ready_) {
      if (plan_.jobs[each.job].interruptible) ready.push_back(each.job);
    }
    for (const JobIndex job : ready) {
      report({{job, Outcome::cancelled}});
      report(progress_.finish(job, Outcome::cancelled, false));
    }
    report(progress_.cancel(jobs));
    for (auto& [job, active] : active_) {
      if (plan_.jobs[job].interruptible && active.turn) active.thread->request_stop();
    }
  }

  void stop_running() {
    cancelled_ = true;
    // Whose turn had not come, or whose delay was not over.
    for (const Ready& ready : std::exchange(ready_, {})) {
      report({{ready.job, Outcome::cancelled}});
      report(progress_.finish(ready.job, Outcome::cancelled, false));
    }
    for (auto& [job, active] : active_) {
      active.thread->drop();
      active.thread->request_stop();
    }
  }

  void collect_ready() {
    while (const auto job = progress_.next()) {
      if (const auto done = earlier_.finished.find(*job); done != earlier_.finished.end()) {
        const Earlier::Finished& finished = done->second;
        if (finished.end.outcome == Outcome::manual) blocked_.push_back(factory_.name(*job));
        emit(finished.end);
        if (left_ > 0) --left_;
        produced_[*job] = inputs_of(*job, finished.collected, read_dotenv(finished.collected).variables);
        end_in_progress(*job, finished.end.outcome, finished.end.allowed);
        continue;
      }
      const auto delay = plan_.jobs[*job].start_in.value_or(std::chrono::seconds(0));
      ready_.push_back({*job, Steady::now() + delay, {}});
    }
  }

  // A job that only waits for another pipeline takes no place from that one's jobs.
  std::size_t running() const {
    return static_cast<std::size_t>(std::count_if(active_.begin(), active_.end(), [](const auto& entry) {
      return entry.second.turn && !entry.second.thread->made().downstream;
    }));
  }

  void start_ready() {
    const auto now = Steady::now();
    std::size_t running_now = running();
    for (auto ready = ready_.begin(); ready != ready_.end() && running_now < limits_.parallel;) {
      if (ready->at > now) {
        ++ready;
        continue;
      }
      const JobIndex job = ready->job;
      if (being_dropped(job)) {  // made ready for inputs that are no more; begun anew when that is gone
        ++ready;
        continue;
      }
      const Taken taken = take_resources(*ready);
      if (taken == Taken::waits) {
        ready->at = now + ask_again;
        ++ready;
        continue;
      }
      const std::string says = std::move(ready->waits_for);
      ready = ready_.erase(ready);
      if (taken == Taken::superseded) {
        end_superseded(job, says);
        mailbox_.wake();
        return;  // what waits for it may have become ready, or gone
      }
      ++running_now;
      take_turn(job);
    }
  }

  enum class Taken : std::uint8_t { all, waits, superseded };

  // In the one order that all jobs keep to, so that two never wait for each other.
  Taken take_resources(Ready& ready) {
    const pipelines::Job& job = factory_.job(ready.job);
    if (job.resource_group.empty() && !job.step) return Taken::all;  // most jobs: what follows costs
    for (const Resource& resource : factory_.resources(ready.job, inputs(ready.job))) {
      const auto wait = resources_.acquire(ready.job, resource);
      if (!wait) continue;
      if (wait->says != ready.waits_for) {
        ready.waits_for = wait->says;
        emit(JobStatus{{ready.job, 1}, wait->says});
      }
      return wait->superseded ? Taken::superseded : Taken::waits;
    }
    return Taken::all;
  }

  // A newer run has what this job waits for.
  void end_superseded(JobIndex job, const std::string& why) {
    if (const auto found = active_.find(job); found != active_.end()) drop(found->second);
    if (left_ > 0) --left_;
    JobFinished finished;
    finished.key = {job, 0};
    finished.time = Clock::now();
    finished.outcome = Outcome::cancelled;
    finished.reason = "superseded";
    finished.message = why;
    emit(finished);
    report(progress_.finish(job, Outcome::cancelled, false));
  }

  void take_turn(JobIndex job) {
    auto found = active_.find(job);
    if (found == active_.end()) found = begin(job, 1);
    Active& active = found->second;
    active.turn = true;
    active.since = Steady::now();
    active.prepare_until = active.since + active.thread->made().work.timeout;
    if (active.prepared) give_go(job, active);
  }

  std::map<JobIndex, Active>::iterator begin(JobIndex job, std::uint32_t attempt) {
    std::optional<Earlier::Running> adopted;
    Clock::duration before{0};
    if (const auto next = earlier_.next_attempt.find(job); next != earlier_.next_attempt.end()) {
      attempt = std::max(attempt, next->second);
    }
    if (const auto running = earlier_.running.find(job); running != earlier_.running.end()) {
      before = std::max(Clock::duration(0), Clock::now() - running->second.started);
      adopted = running->second;
      attempt = running->second.attempt;
      earlier_.running.erase(running);
    }
    const JobKey key{job, attempt};
    JobFactory::Made made = factory_.make(key, inputs(job));
    const auto begun = static_cast<std::size_t>(
        std::count_if(active_.begin(), active_.end(), [](const auto& entry) { return !entry.second.dropped; }));
    made.spec.more_to_come = left_ > begun + 1;
    if (context_.help != nullptr && !made.downstream) {
      made.spec.linger = true;
      made.wants_help = [this, key](const executors::JobResult& result) { return wants_help(key, result); };
    }
    emit(JobPreparing{key, Clock::now()});
    for (const auto& warning : made.warnings) emit(JobWarning{key, Clock::now(), redact(made.secrets, warning)});
    for (const auto& name : made.short_secrets) {
      emit(JobWarning{key, Clock::now(),
                      fmt::format("the masked variable {} has under 8 characters and cannot be masked", name)});
    }
    Active active;
    active.attempt = attempt;
    active.before = std::chrono::duration_cast<std::chrono::milliseconds>(before);
    active.thread = std::make_unique<JobThread>(context_, key, std::move(made), std::move(adopted));
    return active_.emplace(job, std::move(active)).first;
  }

  // A failure that the pipeline tolerates is nobody's trouble, unless somebody asked for that very job. Reads only what
  // stays as it is: jobs' threads call it.
  bool wants_help(const JobKey& key, const executors::JobResult& result) const {
    if (result.outcome != Outcome::failed && result.outcome != Outcome::broken) return false;
    if (wants_retry(factory_.job(key.job).retry, result, key.attempt)) return false;
    const bool asked = std::find(plan_.asked_for.begin(), plan_.asked_for.end(), key.job) != plan_.asked_for.end();
    return asked || !is_allowed(plan_.jobs[key.job].allow_failure, result);
  }

  void give_go(JobIndex job, Active& active) {
    if (active.started || active.dropped) return;
    active.started = true;
    active.prepare_until.reset();
    begun_.push_back(job);
    if (pipelines::holds_run(factory_.pipeline(), plan_.jobs[job])) successor_.held->store(true);
    emit(JobStarted{{job, active.attempt}, Clock::now(), active.handle, active.thread->made().environment});
    active.thread->go();
  }

  // Sandboxes of jobs that will run next are made while others run. A job whose inputs are still being made has to
  // wait: its workspace is laid over them when its container starts.
  void prepare_ahead() {
    if (cancelled_) return;
    std::size_t ahead = static_cast<std::size_t>(std::count_if(
        active_.begin(), active_.end(), [](const auto& entry) { return !entry.second.turn && !entry.second.dropped; }));
    const auto consider = [&](JobIndex job) {
      if (ahead >= limits_.prepared_ahead || active_.count(job) != 0 || failed_ahead_.count(job) != 0) return;
      if (earlier_.finished.count(job) != 0 || earlier_.running.count(job) != 0) return;
      if (!inputs_complete(job)) return;
      begin(job, 1);
      ++ahead;
    };
    for (const auto& ready : ready_) {
      if (ahead >= limits_.prepared_ahead) return;
      if (ready.at <= Steady::now()) consider(ready.job);
    }
    if (ahead >= limits_.prepared_ahead) return;
    for (const JobIndex job : progress_.likely_next(limits_.prepared_ahead)) {
      // What it takes of other runs may be made until its turn has come.
      const bool upstream = !factory_.job(job).upstream_needs.empty();
      if (!plan_.jobs[job].start_in && !caches_in_the_making(job) && !upstream) consider(job);
    }
  }

  // A job that comes after others is to find the caches that they save, and looks for its own when it is prepared.
  bool caches_in_the_making(JobIndex job) const {
    const auto& caches = factory_.job(job).caches;
    const auto pulls = [](const pipelines::Cache& cache) { return cache.policy != "push"; };
    const auto pushes = [](const pipelines::Cache& cache) { return cache.policy != "pull"; };
    if (std::none_of(caches.begin(), caches.end(), pulls)) return false;
    return std::any_of(active_.begin(), active_.end(), [&](const auto& entry) {
      const auto& theirs = factory_.job(entry.first).caches;
      return entry.second.turn && std::any_of(theirs.begin(), theirs.end(), pushes);
    });
  }

  bool inputs_complete(JobIndex job) const {
    const auto from = plan_.artifacts_from(job);
    return std::all_of(from.begin(), from.end(), [this](JobIndex producer) { return produced_.count(producer) != 0; });
  }

  JobInputs inputs(JobIndex job) const {
    JobInputs result;
    for (const JobIndex producer : plan_.artifacts_from(job)) {
      const auto found = produced_.find(producer);
      if (found == produced_.end()) continue;
      const JobInputs& from = found->second;
      result.layers.insert(result.layers.end(), from.layers.begin(), from.layers.end());
      result.from.insert(result.from.end(), from.from.begin(), from.from.end());
      result.dotenv.insert(result.dotenv.end(), from.dotenv.begin(), from.dotenv.end());
    }
    return result;
  }

  std::optional<Steady::time_point> next_deadline() const {
    std::optional<Steady::time_point> first;
    const auto consider = [&](Steady::time_point time) {
      if (!first || time < *first) first = time;
    };
    if (running() < limits_.parallel) {
      for (const auto& ready : ready_) {
        if (!being_dropped(ready.job)) consider(ready.at);
      }
    }
    for (const auto& [job, active] : active_) {
      if (active.prepare_until) consider(*active.prepare_until);
    }
    return first;
  }

  // What was made ready for artifacts that then could not be stored is of no use.
  void forget_inputs_from(JobIndex producer) {
    for (auto& [job, active] : active_) {
      const auto from = plan_.artifacts_from(job);
      if (std::find(from.begin(), from.end(), producer) != from.end()) drop(active);
    }
  }

  // A pull that hangs must not hang the run: getting ready may take as long as the job itself.
  void expire_preparations() {
    const auto now = Steady::now();
    for (auto& [job, active] : active_) {
      if (!active.prepare_until || now < *active.prepare_until) continue;
      active.prepare_until.reset();
      active.expired = true;
      active.thread->request_stop();
    }
  }

  void handle(Message message) {
    const auto found = active_.find(message.key.job);
    if (found == active_.end() || found->second.attempt != message.key.attempt) return;
    Active& active = found->second;
    if (auto* prepared = std::get_if<Prepared>(&message.what)) {
      active.prepared = true;
      active.handle = std::move(prepared->handle);
      if (active.turn) give_go(message.key.job, active);
    } else if (auto* noticed = std::get_if<Noticed>(&message.what)) {
      if (noticed->warning)
        emit(JobWarning{message.key, Clock::now(), std::move(noticed->text)});
      else
        emit(JobStatus{message.key, std::move(noticed->text)});
    } else if (auto* produced = std::get_if<Produced>(&message.what)) {
      // The next jobs' sandboxes are made while this one's artifacts are stored; their go waits for its end.
      produced_[message.key.job] = std::move(produced->inputs);
    } else if (auto* ended = std::get_if<AttemptEnded>(&message.what)) {
      if (active.turn) {
        finish(found, std::move(*ended));
      } else {
        // Preparing ahead failed. It may work when its turn comes: it is tried again then, not before.
        failed_ahead_.insert(found->first);
        active_.erase(found);
      }
    } else if (active.turn) {  // cancelled while it was being prepared
      AttemptEnded cancelled;
      cancelled.result.outcome = Outcome::cancelled;
      finish(found, std::move(cancelled));
    } else {
      active_.erase(found);
    }
  }

  void finish(std::map<JobIndex, Active>::iterator found, AttemptEnded ended) {
    const JobIndex job = found->first;
    const JobKey key{job, found->second.attempt};
    executors::JobResult& result = ended.result;
    if (found->second.expired && !ended.started) {
      result.outcome = Outcome::broken;
      result.reason = "runner_system_failure";
      result.message = "getting the job's sandbox ready took longer than the job's timeout";
    }
    const auto since = found->second.since - found->second.before;
    const bool downstream = found->second.thread->made().downstream.has_value();
    std::optional<EnvironmentUse> environment = environment_after(found->second.thread->made(), job, ended.dotenv);
    active_.erase(found);
    if (result.outcome != Outcome::passed && produced_.erase(job) != 0) forget_inputs_from(job);
    if (result.outcome == Outcome::manual) blocked_.push_back(factory_.name(job));

    if (!cancelled_ && wants_retry(factory_.job(job).retry, result, key.attempt)) {
      emit(JobRetried{key, Clock::now(), result.outcome, result.exit_code, result.reason, result.message});
      Active& next = begin(job, key.attempt + 1)->second;
      next.turn = true;
      next.since = Steady::now();
      next.prepare_until = next.since + next.thread->made().work.timeout;
      return;
    }

    if (context_.help != nullptr && !downstream && !ended.helped && !cancelled_ && wants_help(key, result)) {
      emit(JobWarning{key, Clock::now(), context_.help->nothing_to_enter("it had no sandbox")});
    }
    JobFinished finished;
    finished.key = key;
    finished.time = Clock::now();
    finished.outcome = result.outcome;
    finished.allowed = is_allowed(plan_.jobs[job].allow_failure, result);
    finished.exit_code = result.exit_code;
    finished.reason = result.reason;
    finished.message = result.message;
    finished.duration =
        std::chrono::duration_cast<std::chrono::milliseconds>(Steady::now() - since) - ended.with_person;
    finished.kept = std::move(ended.kept);
    for (const auto& part : result.collected) {
      finished.artifact_files += part.files;
      finished.artifact_bytes += part.bytes;
    }
    finished.coverage = ended.coverage;
    finished.reports = std::move(ended.reports);
    // Nobody approves a script but by starting it.
    const bool may_be_approved =
        plan_.jobs[job].when == pipelines::When::manual || factory_.job(job).script.main.empty();
    finished.environment = std::move(environment);
    if (approver_ != nullptr && may_be_approved) finished.approved = approver_->approved(job);
    emit(finished);
    if (left_ > 0) --left_;
    produced_[job] = inputs_of(job, result.collected, std::move(ended.dotenv));
    end_in_progress(job, result.outcome, finished.allowed);
  }

  // Its url may be made of what the job has left.
  std::optional<EnvironmentUse> environment_after(const JobFactory::Made& made, JobIndex job,
                                                  const std::vector<std::pair<std::string, std::string>>& left) const {
    std::optional<EnvironmentUse> environment = made.environment;
    if (!environment || !made.environment_url) return environment;
    std::vector<std::pair<std::string, std::string>> dotenv = inputs(job).dotenv;
    dotenv.insert(dotenv.end(), left.begin(), left.end());
    environment->url = redact(made.secrets, made.environment_url(dotenv));
    return environment;
  }

  void end_in_progress(JobIndex job, Outcome outcome, bool allowed) {
    const bool before = progress_.halted();
    const auto ended = progress_.finish(job, outcome, allowed);
    if (!before && progress_.halted()) {
      halt_reason_ = fmt::format("{} failed, and auto_cancel:on_job_failure is all", factory_.name(job));
    }
    report(ended);
  }

  Mailbox mailbox_;
  JobThread::Context context_;
  const JobFactory& factory_;
  ResourceKeeper& resources_;
  Approver* approver_;
  Limits limits_;
  pipelines::Progress& progress_;
  const pipelines::Plan& plan_;
  Earlier earlier_;
  Successor successor_;
  bool considered_ = false;      // what the successor means
  bool replaced_ = false;        // by it
  std::vector<JobIndex> begun_;  // jobs that were given the go
  std::size_t left_;
  bool cancelled_ = false;
  std::string halt_reason_;  // said of jobs that a failure or a newer run cancels
  Steady::time_point started_;
  std::deque<Ready> ready_;
  std::map<JobIndex, JobInputs> produced_;
  std::set<JobIndex> failed_ahead_;
  std::set<JobIndex> announced_;  // told that they wait for a person
  std::set<JobIndex> refused_;    // nobody started them when they were asked
  std::vector<std::string> blocked_;
  std::map<JobIndex, Active> active_;  // last: its threads use everything above
};

}  // namespace

Scheduler::Result Scheduler::run(pipelines::Progress& progress, const pipelines::Plan& plan,
                                 const std::stop_token& stop, Earlier earlier, Successor successor) {
  Walk walk(executor_, factory_, keeper_, resources_, downstreams_, observers_, limits_, help_, approver_, progress,
            plan, std::move(earlier), std::move(successor));
  return walk.run(stop);
}

}  // namespace runner
