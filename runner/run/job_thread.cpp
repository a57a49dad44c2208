#include "runner/run/job_thread.h"

#include <fmt/core.h>

#include "runner/run/job_log.h"
#include "runner/run/reports.h"

namespace runner {
namespace {

// Passes what the executor says to the scheduler's thread.
class MailNotices : public executors::Notices {
 public:
  MailNotices(Mailbox& mailbox, JobKey key, const SecretSet& secrets)
      : mailbox_(mailbox), key_(key), secrets_(secrets) {}
  void status(std::string_view line) override { put(false, line); }
  void warning(std::string_view line) override { put(true, line); }

 private:
  void put(bool warning, std::string_view line) { mailbox_.put({key_, Noticed{warning, redact(secrets_, line)}}); }

  Mailbox& mailbox_;
  JobKey key_;
  const SecretSet& secrets_;
};

// Known only now: the sandbox may have stood ready for long.
void set_started_at(executors::Environment& environment) {
  for (auto& [name, value] : environment) {
    if (name == "CI_JOB_STARTED_AT") value = timestamp(Clock::now());
  }
}

executors::JobResult broken(const std::exception& error) {
  executors::JobResult result;
  result.outcome = pipelines::Outcome::broken;
  result.reason = "runner_system_failure";
  result.message = error.what();
  if (const auto* world = dynamic_cast<const executors::WorldError*>(&error)) {
    result.reason = world->reason;
    if (!world->hint.empty()) result.message += " (" + world->hint + ")";
  }
  return result;
}

}  // namespace

void Mailbox::put(Message message) {
  {
    const std::lock_guard lock(mutex_);
    messages_.push_back(std::move(message));
  }
  changed_.notify_one();
}

void Mailbox::wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  changed_.notify_one();
}

std::deque<Message> Mailbox::take(std::optional<std::chrono::steady_clock::time_point> until) {
  std::unique_lock lock(mutex_);
  const auto something = [this] { return !messages_.empty() || woken_; };
  if (until)
    changed_.wait_until(lock, *until, something);
  else
    changed_.wait(lock, something);
  woken_ = false;
  return std::exchange(messages_, {});
}

JobThread::JobThread(Context context, JobKey key, JobFactory::Made made, std::optional<Earlier::Running> adopted)
    : context_(context), key_(key), made_(std::move(made)), adopted_(std::move(adopted)) {
  thread_ = std::jthread([this](const std::stop_token& stop) { main(stop); });
}

JobThread::~JobThread() {
  drop();
  thread_.request_stop();
}

void JobThread::go() {
  const std::lock_guard lock(mutex_);
  if (turn_ == Turn::waiting) turn_ = Turn::go;
  turned_.notify_one();
}

void JobThread::drop() {
  const std::lock_guard lock(mutex_);
  if (turn_ == Turn::waiting) turn_ = Turn::drop;
  turned_.notify_one();
}

void JobThread::request_stop() { thread_.request_stop(); }

JobThread::Turn JobThread::wait_for_turn() {
  std::unique_lock lock(mutex_);
  turned_.wait(lock, [this] { return turn_ != Turn::waiting; });
  return turn_;
}

void JobThread::main(const std::stop_token& stop) {
  std::optional<AttemptEnded> ended;
  try {
    ended = work(stop);
  } catch (const std::exception& error) {
    // One of the two places where a broken world is caught (docs/architecture.md, "Errors").
    ended.emplace();
    ended->result = broken(error);
  }
  if (stop.stop_requested() && !ended->started && ended->result.outcome == pipelines::Outcome::broken) {
    ended->result.outcome = pipelines::Outcome::cancelled;
    ended->result.reason.clear();
    ended->result.message.clear();
  }
  ended->result.message = redact(made_.secrets, ended->result.message);
  if (ended->dropped)
    context_.mailbox.put({key_, Dropped{}});
  else
    context_.mailbox.put({key_, std::move(*ended)});
}

AttemptEnded JobThread::work(const std::stop_token& stop) {
  MailNotices notices(context_.mailbox, key_, made_.secrets);
  AttemptEnded ended;

  std::unique_ptr<executors::Execution> execution;
  if (adopted_) {
    ended.started = true;
    execution = context_.executor.adopt(made_.spec, adopted_->handle, adopted_->raw);
    if (!execution) {
      ended.result.reason = "lost";
      ended.result.message = "nothing is left of this job's sandbox: it was removed while no runner watched it";
      return ended;
    }
  } else {
    execution = context_.executor.prepare(made_.spec, notices, stop);
  }
  context_.mailbox.put({key_, Prepared{execution->handle()}});
  if (wait_for_turn() == Turn::drop) {
    ended.dropped = true;
    return ended;
  }

  ended.started = true;
  if (!adopted_) set_started_at(made_.work.environment);
  JobLog log(key_, context_.observers, made_.secrets, adopted_ ? adopted_->raw : 0);
  ended.result = execution->run(made_.work, log, notices, stop);
  log.finish();
  execution.reset();  // what it holds, the next job can use while this one's artifacts are stored

  try {
    ReadDotenv read = read_dotenv(ended.result.collected);
    for (const auto& warning : read.warnings) notices.warning(warning);
    ended.dotenv = std::move(read.variables);
    if (!ended.result.collected.empty()) {
      if (ended.result.outcome == pipelines::Outcome::passed) {
        context_.mailbox.put({key_, Produced{inputs_of(ended.result.collected, ended.dotenv)}});
      }
      context_.keeper.keep({key_, made_.artifacts_name, made_.expire_in}, ended.result.collected);
    }
  } catch (const std::exception& error) {
    // The script's own failure has priority (GitLab: an upload that fails fails an otherwise green job).
    executors::JobResult failure = broken(error);
    notices.warning("artifacts: " + failure.message);
    if (ended.result.outcome == pipelines::Outcome::passed) {
      ended.result.outcome = pipelines::Outcome::broken;
      ended.result.reason = "artifacts_failed";
      ended.result.message = failure.message;
    }
    ended.result.collected.clear();
    ended.dotenv.clear();
  }
  return ended;
}

}  // namespace runner
