#include "runner/run/job_thread.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "executors/job_directory.h"
#include "executors/unique_fd.h"
#include "runner/run/console_report.h"
#include "runner/run/coverage.h"
#include "runner/run/releases.h"
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

constexpr std::chrono::milliseconds between_attempts{200};  // what is short of something now may have it then

// Calls it until it does not throw, so many times at most; `failed` is told of all failures but the last.
template <class Work>
auto try_again(unsigned attempts, const Work& work,
               const std::function<void(const std::exception&, unsigned next)>& failed = {}) {
  for (unsigned attempt = 1;; ++attempt) {
    try {
      return work();
    } catch (const std::exception& error) {
      if (attempt >= attempts) throw;
      if (failed) failed(error, attempt + 1);
    }
    std::this_thread::sleep_for(between_attempts);
  }
}

// The runner that recorded the job's start died before it gave the go: there is nothing to adopt.
bool never_began(const std::filesystem::path& directory) {
  const auto left = executors::JobDirectory::open(directory);
  return left && !left->started();
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
    ended = made_.downstream ? work_downstream(stop) : !made_.missing.empty() ? refuse_to_begin() : work(stop);
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

// GitLab's failure reason for it: the job fails when its turn comes.
AttemptEnded JobThread::refuse_to_begin() {
  AttemptEnded ended;
  context_.mailbox.put({key_, Prepared{}});
  if (wait_for_turn() == Turn::drop) {
    ended.dropped = true;
    return ended;
  }
  ended.started = true;
  ended.result.outcome = pipelines::Outcome::failed;
  ended.result.reason = "missing_dependency_failure";
  ended.result.message = made_.missing;
  return ended;
}

AttemptEnded JobThread::work_downstream(const std::stop_token& stop) {
  MailNotices notices(context_.mailbox, key_, made_.secrets);
  AttemptEnded ended;
  context_.mailbox.put({key_, Prepared{}});
  if (wait_for_turn() == Turn::drop) {
    ended.dropped = true;
    return ended;
  }
  ended.started = true;
  ended.result = context_.downstreams.run(key_, *made_.downstream, notices, stop);
  return ended;
}

// --- caches ----------------------------------------------------------------------------------------------------------

// Looks for each cache that is to be pulled and lays what there is below the artifacts. What is said of it goes into
// the job's log when its turn has come. A cache that is not there, or cannot be had, changes nothing else.
std::vector<std::string> JobThread::restore_caches() {
  std::vector<std::string> lines;
  for (const CacheUse& use : made_.caches) {
    const std::string& key = use.keys.front();
    if (!use.pull) {
      lines.push_back(fmt::format("Not restoring cache {}: its policy is push", key));
      continue;
    }
    try {
      auto found = try_again(made_.attempts.restore_cache, [&] { return context_.keeper.restore_cache(use.keys); });
      if (!found) {
        lines.push_back(fmt::format("Cache {}: nothing is kept under this key yet", key));
        continue;
      }
      lines.push_back(fmt::format("Cache {} restored{}: {} file{}, {}", key,
                                  found->key == key ? "" : " from " + found->key, found->files,
                                  found->files == 1 ? "" : "s", describe_bytes(found->bytes)));
      restored_.emplace(use.what.number, std::move(*found));
    } catch (const std::exception& error) {
      lines.push_back(fmt::format("Cache {} cannot be restored: {}", key, error.what()));
    }
  }
  use_restored();
  remember_restored();
  return lines;
}

void JobThread::use_restored() {
  std::vector<std::filesystem::path> layers;
  for (const auto& [number, cache] : restored_) layers.push_back(cache.layer);
  made_.spec.inputs.insert(made_.spec.inputs.begin(), layers.begin(), layers.end());
  for (const CacheUse& use : made_.caches) {
    if (!use.push) continue;
    made_.work.caches.push_back(use.what);
    if (const auto found = restored_.find(use.what.number); found != restored_.end()) {
      made_.work.caches.back().restored = found->second.layer;
    }
  }
}

// Beside the job's own directory, for the runner that takes the job up should this one die: its workspace is made of
// the same layers then, whatever the keys mean by that time.
std::filesystem::path JobThread::restored_file() const { return made_.spec.layer.string() + ".restored"; }

void JobThread::remember_restored() const {
  if (restored_.empty()) return;
  nlohmann::json all = nlohmann::json::array();
  for (const auto& [number, cache] : restored_) {
    all.push_back({number, cache.key, cache.tree, cache.layer.string(), cache.files, cache.bytes});
  }
  std::ofstream(restored_file()) << all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void JobThread::find_restored() {
  std::ifstream file(restored_file());
  const nlohmann::json all = nlohmann::json::parse(file, nullptr, false);
  if (!all.is_array()) return use_restored();
  for (const auto& one : all) {
    restored_[one.at(0).get<std::size_t>()] = {one.at(1), one.at(2), one.at(3).get<std::string>(), one.at(4),
                                               one.at(5)};
  }
  use_restored();
}

std::vector<std::string> JobThread::keep_caches(const std::vector<executors::CollectedCache>& caches,
                                                executors::Notices& notices) {
  std::vector<std::string> lines;
  for (const auto& cache : caches) {
    const std::string& key = made_.caches[cache.number].keys.front();
    const auto restored = restored_.find(cache.number);
    try {
      const KeptCache kept = context_.keeper.keep_cache(
          key, cache, restored == restored_.end() ? std::nullopt : std::optional(restored->second));
      lines.push_back(fmt::format("Cache {} {}: {} file{}, {}", key, kept.stored ? "saved" : "is unchanged", kept.files,
                                  kept.files == 1 ? "" : "s", describe_bytes(kept.bytes)));
    } catch (const std::exception& error) {
      notices.warning(fmt::format("cache {} cannot be saved: {}", key, error.what()));
    }
  }
  return lines;
}

// --- ID tokens and secrets -------------------------------------------------------------------------------------------

std::vector<std::string> JobThread::take_credentials(executors::Notices& notices, const std::stop_token& stop) {
  if (!made_.credentials) return {};
  const Credentials made = made_.credentials(made_, std::chrono::steady_clock::now() + made_.work.timeout, stop);
  for (const auto& warning : made.warnings) notices.warning(warning);
  const executors::UniqueFd file(
      ::open(masked_file().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  const std::string text = nlohmann::json(made_.masked).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    throw executors::WorldError("runner_system_failure",
                                fmt::format("cannot write {}: {}", masked_file().string(), std::strerror(errno)));
  }
  return made.log;
}

// Beside the job's own directory, which has the values too while the job runs: for the runner that takes the job up
// should this one die. The tokens and secrets it would make and fetch now are others.
std::filesystem::path JobThread::masked_file() const { return made_.spec.layer.string() + ".masked"; }

void JobThread::mask_as_before() {
  if (!made_.credentials) return;
  std::ifstream file(masked_file());
  const nlohmann::json all = nlohmann::json::parse(file, nullptr, false);
  if (all.is_array()) mask_too(made_, all.get<std::vector<std::string>>());
}

// --- one attempt -----------------------------------------------------------------------------------------------------

// After the script, if it passed; GitLab's runner does it before after_script, which cannot tell.
void JobThread::release(AttemptEnded& ended, JobLog& log, executors::Notices& notices) {
  if (!made_.release) return;
  pipelines::Release& release = *made_.release;
  release.description = take_description(release.description, ended.result.collected);
  if (ended.result.outcome != pipelines::Outcome::passed) return;
  try {
    log.section("release", context_.keeper.release(key_, release, made_.secrets, notices));
  } catch (const std::exception& error) {
    ended.result.outcome = pipelines::Outcome::failed;
    ended.result.exit_code = 1;
    ended.result.reason = "script_failure";
    ended.result.message = error.what();
    notices.warning(ended.result.message);
  }
}

// GitLab takes nothing of such a report, and its runner fails the job because one upload failed; the others are kept.
void JobThread::refuse_dotenv(AttemptEnded& ended, const std::string& why, executors::Notices& notices) {
  notices.warning(why);
  std::erase_if(ended.result.collected, [](const executors::Collected& part) { return part.kind == "dotenv"; });
  if (ended.result.outcome != pipelines::Outcome::passed) return;
  ended.result.outcome = pipelines::Outcome::failed;
  ended.result.reason = "artifacts_failed";
  ended.result.message = why;
}

void JobThread::keep_artifacts(AttemptEnded& ended, executors::Notices& notices) {
  try {
    ReadDotenv read = read_dotenv(ended.result.collected);
    for (const auto& warning : read.warnings) notices.warning(warning);
    if (!read.refused.empty()) refuse_dotenv(ended, read.refused, notices);
    ended.dotenv = std::move(read.variables);
    if (!ended.result.collected.empty()) {
      if (ended.result.outcome == pipelines::Outcome::passed) {
        context_.mailbox.put({key_, Produced{inputs_of(key_.job, ended.result.collected, ended.dotenv)}});
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
}

// One step here: the image, then the sources with caches and artifacts over them. A pull has policies of its own.
std::unique_ptr<executors::Execution> JobThread::prepare(executors::Notices& notices, const std::stop_token& stop) {
  const unsigned artifacts = made_.spec.inputs.empty() ? 1 : made_.attempts.artifact_download;
  const unsigned attempts = std::max(made_.attempts.get_sources, artifacts);
  std::exception_ptr final_failure;
  auto execution = try_again(
      attempts,
      [&]() -> std::unique_ptr<executors::Execution> {
        try {
          return context_.executor.prepare(made_.spec, notices, stop);
        } catch (const executors::WorldError& error) {
          if (error.reason == "runner_system_failure" && !stop.stop_requested()) throw;
          final_failure = std::current_exception();
          return nullptr;
        }
      },
      [&](const std::exception& error, unsigned next) {
        notices.warning(fmt::format("{}; attempt {} of {}", error.what(), next, attempts));
      });
  if (final_failure) std::rethrow_exception(final_failure);
  return execution;
}

AttemptEnded JobThread::work(const std::stop_token& stop) {
  MailNotices notices(context_.mailbox, key_, made_.secrets);
  AttemptEnded ended;

  std::unique_ptr<executors::Execution> execution;
  std::vector<std::string> about_caches;
  if (adopted_ && never_began(made_.spec.directory)) adopted_.reset();
  if (adopted_) {
    ended.started = true;
    mask_as_before();
    find_restored();
    execution = context_.executor.adopt(made_.spec, adopted_->handle, adopted_->raw);
    if (!execution) {
      ended.result.reason = "lost";
      ended.result.message = "nothing is left of this job's sandbox: it was removed while no runner watched it";
      return ended;
    }
  } else {
    if (!made_.refused.empty()) throw executors::WorldError("runner_system_failure", made_.refused);
    about_caches = restore_caches();
    execution = prepare(notices, stop);
  }
  context_.mailbox.put({key_, Prepared{execution->handle()}});
  if (wait_for_turn() == Turn::drop) {
    ended.dropped = true;
    return ended;
  }

  ended.started = true;
  std::vector<std::string> about_credentials;
  if (!adopted_) {
    about_credentials = take_credentials(notices, stop);
    set_started_at(made_.work.environment);
  }
  JobLog log(key_, context_.observers, made_.secrets, adopted_ ? adopted_->raw : 0);
  std::optional<CoverageFinder> coverage;
  if (!made_.coverage.empty()) {
    coverage.emplace(made_.coverage);
    if (adopted_) context_.keeper.read_log(key_, [&](std::string_view bytes) { coverage->feed(bytes); });
    log.read_too(&*coverage);
  }
  log.section("resolve_secrets", about_credentials);
  log.section_before_script("restore_cache", std::move(about_caches));
  ended.result = execution->run(made_.work, log, notices, stop);
  // Nothing of the job has run then, nor been logged.
  for (unsigned attempt = 2; ended.result.sandbox_gone && attempt <= made_.attempts.job_section; ++attempt) {
    notices.warning(fmt::format("{}; attempt {} of {}", ended.result.message, attempt, made_.attempts.job_section));
    execution.reset();
    context_.executor.settle();  // the next one has the same names
    execution = prepare(notices, stop);
    ended.result = execution->run(made_.work, log, notices, stop);
  }
  log.finish();
  if (coverage) ended.coverage = coverage->finish();
  if (std::error_code ignored; made_.credentials) std::filesystem::remove(masked_file(), ignored);
  const bool failed = ended.result.outcome == pipelines::Outcome::failed ||  //
                      ended.result.outcome == pipelines::Outcome::broken;
  // What it holds, the next job can use while this one's artifacts are stored.
  if (!failed || !made_.wants_help) execution.reset();

  release(ended, log, notices);
  log.section("archive_cache", keep_caches(ended.result.caches, notices));
  ReadReports reports = read_reports(ended.result.collected);
  for (const auto& warning : reports.warnings) notices.warning(warning);
  for (ReportSummary& report : reports.summaries) {
    for (std::string& name : report.names) name = redact(made_.secrets, name);
  }
  ended.reports = std::move(reports.summaries);
  keep_artifacts(ended, notices);
  help(ended, execution.get(), notices, stop);
  return ended;
}

void JobThread::help(AttemptEnded& ended, executors::Execution* execution, executors::Notices& notices,
                     const std::stop_token& stop) {
  if (context_.help == nullptr || !made_.wants_help || !made_.wants_help(ended.result)) return;
  ended.helped = true;
  FailureHelp::Given given = context_.help->give({made_.spec, made_.work, ended.result}, execution, notices, stop);
  ended.kept = std::move(given.kept);
  ended.with_person = given.with_person;
}

}  // namespace runner
