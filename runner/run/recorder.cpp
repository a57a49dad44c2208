#include "runner/run/recorder.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "runner/run/overloaded.h"
#include "runner/run/report_json.h"

namespace runner {
namespace {

UnixMs unix_ms(Clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

}  // namespace

Recorder::Recorder(Store& store, RunId run, std::string project, std::map<std::string, ProcessMode> modes)
    : store_(store), run_(run), project_(std::move(project)), modes_(std::move(modes)) {}

// A target is the same whoever's project deploys to it.
ResourceGroup Recorder::group_of(const Resource& resource) const {
  return {resource.target ? std::string() : project_, resource.name};
}

void Recorder::expect(pipelines::JobIndex job, const Resource& resource) {
  store_.expect_resource(group_of(resource), run_, job + 1);
  queued_.insert(job);
}

std::optional<ResourceKeeper::Wait> Recorder::acquire(pipelines::JobIndex job, const Resource& resource) {
  const auto mode = modes_.find(resource.name);
  const ResourceAnswer answer = store_.acquire_resource(
      group_of(resource), mode == modes_.end() ? ProcessMode::unordered : mode->second, run_, job + 1);
  queued_.insert(job);
  if (answer.ours) return std::nullopt;
  const char* what = resource.target ? "target" : "resource group";
  if (answer.superseded) {
    return Wait{fmt::format("superseded: {} of run {}, a newer one, is at the {} {}", answer.job_name, answer.run, what,
                            resource.name),
                true};
  }
  Wait wait;
  wait.says = fmt::format("waits for the {} {}: {} of run {} {}", what, resource.name, answer.job_name, answer.run,
                          answer.holds ? "has it" : "comes first");
  if (answer.orphaned) wait.says += fmt::format(", and its runner is gone: `runner resume {}`", answer.run);
  return wait;
}

void Recorder::begin_deployment(const JobStarted& started) {
  if (!started.environment || !(started.environment->starts || started.environment->stops)) return;
  deploying_.insert(started.key.job);
  if (!started.environment->starts) return;
  const EnvironmentUse& use = *started.environment;
  store_.begin_deployment(key(started.key), {use.name, use.tier, use.url}, unix_ms(started.time));
}

void Recorder::end_deployment(const JobKey& job, const EnvironmentUse* use, pipelines::Outcome outcome,
                              const std::string& message, UnixMs time) {
  if (deploying_.erase(job.job) == 0) return;
  store_.end_deployments(key(job), outcome, use == nullptr ? std::string() : use->url, message, time);
  if (use != nullptr && use->stops && outcome == pipelines::Outcome::passed) {
    store_.stop_environment(run_, use->name, time);
  }
}

void Recorder::on(const Event& event) {
  std::visit(
      Overloaded{
          [](const RunPreparing&) {},
          [](const RunStarted&) {},
          [&](const JobPreparing& preparing) {
            begun_.insert(preparing.key.job);
            attempts_[preparing.key.job] = preparing.key.attempt;
            store_.begin_attempt(key(preparing.key));
          },
          [&](const JobWaiting& waiting) {
            store_.end_job(run_, waiting.key.job + 1, pipelines::Outcome::manual, {}, "waits to be started by hand");
            store_.ask(run_, waiting.key.job + 1, {}, waiting.text);
          },
          [&](const JobStarted& started) {
            store_.attempt_started(key(started.key), unix_ms(started.time), started.handle);
            begin_deployment(started);
          },
          [&](const JobRetried& retried) {
            close_log(retried.key);
            AttemptEnd end;
            end.outcome = retried.outcome;
            end.exit_code = retried.exit_code;
            end.reason = retried.reason;
            end.message = retried.message;
            end.retried = true;
            end.finished = unix_ms(retried.time);
            end_deployment(retried.key, nullptr, end.outcome, end.message, end.finished);
            store_.finish_attempt(key(retried.key), end);
          },
          [](const JobStatus&) {},
          [&](const JobWarning& warning) {
            const nlohmann::json json{{"job", warning.key.job + 1}, {"message", warning.text}};
            store_.add_event(run_, unix_ms(warning.time), "job_warning",
                             json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
          },
          [&](const JobFinished& finished) { end(finished); },
          [&](const RunFinished& finished) { store_.finish_run(run_, finished.verdict, unix_ms(finished.time)); },
      },
      event);
}

void Recorder::end(const JobFinished& finished) {
  const pipelines::JobIndex job = finished.key.job;
  if (finished.reused != 0) return;  // recorded with the run
  if (queued_.erase(job) != 0) store_.release_resource(run_, job + 1);
  if (finished.key.attempt == 0) {
    // Prepared ahead and not needed after all.
    if (begun_.erase(job) != 0) store_.drop_attempt({run_, job + 1, attempts_[job]});
    store_.end_job(run_, job + 1, finished.outcome, finished.reason, finished.message, finished.allowed);
    return;
  }
  if (begun_.count(job) == 0) return;  // told again by who took the run up: it is recorded
  close_log(finished.key);
  AttemptEnd end;
  end.outcome = finished.outcome;
  end.exit_code = finished.exit_code;
  end.reason = finished.reason;
  end.message = finished.message;
  end.allowed = finished.allowed;
  end.coverage = finished.coverage;
  end.finished = unix_ms(finished.time);
  for (const ReportSummary& report : finished.reports) {
    nlohmann::json json = to_json(report);
    json["job"] = job + 1;
    store_.add_event(run_, end.finished, "report", json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  end_deployment(finished.key, finished.environment ? &*finished.environment : nullptr, end.outcome, end.message,
                 end.finished);
  store_.finish_attempt(key(finished.key), end);
  begun_.erase(job);
}

void Recorder::log(const JobKey& job, std::string_view bytes, std::uint64_t raw) {
  LogWriter* writer = nullptr;
  {
    const std::lock_guard lock(mutex_);
    const std::pair at{job.job, job.attempt};
    auto found = logs_.find(at);
    if (found == logs_.end()) found = logs_.emplace(at, store_.open_log(key(job))).first;
    writer = &found->second;  // one thread per job; map nodes stay where they are
  }
  writer->write(bytes, raw);
}

void Recorder::close_log(const JobKey& job) {
  std::optional<LogWriter> writer;
  {
    const std::lock_guard lock(mutex_);
    const auto found = logs_.find({job.job, job.attempt});
    if (found == logs_.end()) return;
    writer.emplace(std::move(found->second));
    logs_.erase(found);
  }
  writer->close();
}

void Recorder::keep(const Request& request, const std::vector<executors::Collected>& collected) {
  std::optional<UnixMs> expires;
  if (request.expire_in) {
    expires = unix_now() + std::chrono::duration_cast<std::chrono::milliseconds>(*request.expire_in).count();
  }
  for (const auto& part : collected) {
    const std::string& name = part.kind == "archive" ? request.name : part.kind;
    store_.store_tree(key(request.key), part.kind, name, part.directory, expires);
  }
}

void Recorder::set_project(Caches* caches, ReleaseScene scene) {
  caches_ = caches;
  scene_ = std::move(scene);
}

std::optional<RestoredCache> Recorder::restore_cache(const std::vector<std::string>& keys) {
  return caches_ ? caches_->restore(keys) : std::nullopt;
}

KeptCache Recorder::keep_cache(const std::string& key, const executors::CollectedCache& collected,
                               const std::optional<RestoredCache>& restored) {
  return caches_ ? caches_->keep(key, collected, restored) : KeptCache{};
}

std::vector<std::string> Recorder::release(const JobKey& job, const pipelines::Release& release,
                                           const SecretSet& secrets, executors::Notices& notices) {
  return scene_ ? make_release(store_, *scene_, key(job), release, secrets, notices) : std::vector<std::string>{};
}

void Recorder::read_log(const JobKey& job, const std::function<void(std::string_view)>& sink) {
  store_.read_log(key(job), 0, sink);
}

}  // namespace runner
