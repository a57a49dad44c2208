#include "runner/run/recorder.h"

#include <nlohmann/json.hpp>

namespace runner {
namespace {

UnixMs unix_ms(Clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

template <class... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
// clang before 17 does not deduce it by itself.
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

}  // namespace

Recorder::Recorder(Store& store, RunId run) : store_(store), run_(run) {}

void Recorder::on(const Event& event) {
  std::visit(
      Overloaded{
          [](const RunStarted&) {},
          [&](const JobPreparing& preparing) {
            begun_.insert(preparing.key.job);
            attempts_[preparing.key.job] = preparing.key.attempt;
            store_.begin_attempt(key(preparing.key));
          },
          [&](const JobStarted& started) {
            store_.attempt_started(key(started.key), unix_ms(started.time), started.handle);
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
  if (finished.key.attempt == 0) {
    // Prepared ahead and not needed after all.
    if (begun_.erase(job) != 0) store_.drop_attempt({run_, job + 1, attempts_[job]});
    store_.end_job(run_, job + 1, finished.outcome, finished.reason, finished.message);
    return;
  }
  close_log(finished.key);
  AttemptEnd end;
  end.outcome = finished.outcome;
  end.exit_code = finished.exit_code;
  end.reason = finished.reason;
  end.message = finished.message;
  end.allowed = finished.allowed;
  end.finished = unix_ms(finished.time);
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

}  // namespace runner
