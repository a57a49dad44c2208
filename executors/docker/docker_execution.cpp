#include "executors/docker/docker_execution.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <system_error>
#include <thread>
#include <utility>

#include "executors/docker/container_spec.h"
#include "executors/docker/tarball.h"

namespace executors::docker {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using pipelines::Outcome;

constexpr std::chrono::milliseconds look_again{250};
// The container ends by itself when its shell has; an image's entrypoint that waits for more is not waited for.
constexpr std::chrono::seconds ends_within{10};
// A shell that has nothing more to do is gone in 5 to 50 ms; whoever is not is killed by the removal.
constexpr std::chrono::milliseconds ends_usually{150};
// An engine that has said nothing of a container this long after its processes were gone will not in time.
constexpr std::chrono::seconds engine_late{2};
// How long a job that cannot be seen may have nobody to listen before it counts as gone, the engine being away.
constexpr std::chrono::seconds silence_means_death{10};
// The kernel's report of an out-of-memory kill reaches the engine up to a second after the end.
constexpr std::chrono::milliseconds oom_late{1500};
constexpr int killed_code = 137, terminated_code = 143;
constexpr int signal_base = 128, last_signal = 64;  // what a shell adds to a signal's number
constexpr int told_lines = 20;

std::string stat_start_time(std::int64_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return {};
  // Field 22; the second, the name, may hold anything but ends with the last ')'.
  std::istringstream fields(line.substr(std::min(line.rfind(')') + 1, line.size())));
  std::string field;
  for (int i = 3; i <= 22; ++i) fields >> field;
  return field;
}

std::string megabytes(std::uint64_t bytes) {
  constexpr std::uint64_t mega = 1024 * 1024;
  return bytes % mega == 0 ? std::to_string(bytes / mega) + " MB" : std::to_string(bytes) + " bytes";
}

std::string shell_path() { return std::string(job_mount) + "/" + std::string(shell_name); }

// What an entrypoint printed besides its arguments, which are our own text and say nothing to anybody.
std::string without_ours(const std::string& log) {
  const std::string ours = "\n" + bootstrap_script(job_mount) + attached_script(job_mount, "");
  std::istringstream lines(log);
  std::string kept;
  for (std::string line; std::getline(lines, line);) {
    if (ours.find("\n" + line + "\n") == std::string::npos) kept += line + "\n";
  }
  return kept;
}

std::string last_line(const std::string& text) {
  const std::size_t end = text.find_last_not_of("\r\n");
  if (end == std::string::npos) return {};
  const std::size_t begin = text.rfind('\n', end);
  return text.substr(begin == std::string::npos ? 0 : begin + 1,
                     end - (begin == std::string::npos ? 0 : begin + 1) + 1);
}

}  // namespace

// ---- what stands behind a job

Shared::Shared(DockerSettings given)
    : settings(std::move(given)),
      engine(Endpoint::from_environment(settings.host, settings.cert_path, settings.tls_verify)),
      deaths(engine, "runner.owner=" + settings.owner),
      images(engine, settings),
      janitor(engine, settings.state),
      reaper(4),  // a DELETE waits for the engine's hooks more than it computes
      pool(engine, deaths, settings, reaper) {}

InitProcess::InitProcess(std::int64_t pid, const std::string& container) {
  if (pid <= 0 || container.empty()) return;
  // The number means nothing in another PID namespace: only a process in this container's control group is it.
  std::ifstream groups("/proc/" + std::to_string(pid) + "/cgroup");
  const std::string text{std::istreambuf_iterator<char>(groups), std::istreambuf_iterator<char>()};
  if (text.find(container) == std::string::npos) return;
  started_ = stat_start_time(pid);
  if (!started_.empty()) pid_ = pid;
}

bool InitProcess::gone() const { return pid_ > 0 && stat_start_time(pid_) != started_; }

Sandbox::~Sandbox() {
  const std::string id = container.id();
  const std::vector<std::string> service_ids = services.containers();
  if (shared.settings.privileged) lease.spoil();
  // The network is free again when the job's processes are dead, which is before the container is removed.
  if (lease.held() && !id.empty() && shared.deaths.wait(id, ends_usually)) {
    const NetworkPool::Lease free = std::move(lease);
  }
  if (!container.reset()) remove_volumes();
  if (!id.empty()) shared.deaths.forget(id);
  for (const std::string& service : service_ids) shared.deaths.forget(service);
}

void Sandbox::let_be() {
  for (const std::string& service : services.containers()) shared.deaths.forget(service);
  services.release();
  lease.keep();
  shared.deaths.forget(container.release());
  directory.release();
}

// Those of a container that somebody removed without them (`docker rm` without -v).
void Sandbox::remove_volumes() noexcept {
  try {
    const Labels ours = labels(spec.id, Kind::job);
    for (const Listed& volume : shared.engine.volumes("runner.owner=" + spec.id.owner)) {
      if (volume.labels == ours) shared.engine.remove_volume(volume.name);
    }
  } catch (const std::exception&) {  // `runner doctor --clean` finds them
  }
}

DockerExecution::~DockerExecution() {
  Shared& shared = box_->shared;
  if (!shared.settings.privileged) box_->lease.announce();
  shared.reaper.destroy(std::move(box_));
}

std::string DockerExecution::handle() const {
  return nlohmann::json{{"container", box_->container.id()},
                        {"pause", box_->lease.container()},
                        {"network", box_->services.network()},
                        {"services", box_->services.containers()},
                        {"attached", box_->attached.has_value()}}
      .dump();
}

// ---- its life and its end

std::optional<Deaths::Death> DockerExecution::death() {
  if (box_->died) return box_->died;
  return box_->shared.deaths.poll(box_->container.id());
}

bool DockerExecution::dead() {
  if (death()) return true;
  if (box_->shared.deaths.engine_answers()) {
    silent_since_.reset();
    return false;
  }
  engine_was_away_ = true;
  // While the engine is away only the job itself can tell: its first process, or (where that cannot be seen) the shell
  // that listens for signals. A job can kill that one and live, so it must be silent for a while.
  if (box_->init.known()) return box_->init.gone();
  if (!box_->job || box_->job->listens()) {
    silent_since_.reset();
    return false;
  }
  const auto now = Clock::now();
  if (!silent_since_) silent_since_ = now;
  return now - *silent_since_ > silence_means_death;
}

std::optional<Deaths::Death> DockerExecution::await_end() {
  Shared& shared = box_->shared;
  const std::string& id = box_->container.id();
  auto deadline = Clock::now() + ends_within;
  std::optional<Clock::time_point> gone_since;
  bool killed = false;
  while (true) {
    if (box_->died) return box_->died;
    if (const auto death = shared.deaths.wait(id, look_again)) return death;
    const auto now = Clock::now();
    if (box_->init.gone()) {
      if (!gone_since) gone_since = now;
      if (now - *gone_since > engine_late) return std::nullopt;
    }
    if (now < deadline) continue;
    if (killed && !shared.deaths.engine_answers()) return std::nullopt;
    if (killed)
      throw WorldError("runner_system_failure", "the engine does not end the job's container",
                       "look at the engine's log");
    try {
      shared.engine.kill(id, "KILL");
    } catch (const EngineError&) {  // it may still come back
    }
    killed = true;
    deadline = now + ends_within;
  }
}

bool DockerExecution::out_of_memory(const std::optional<Deaths::Death>& death, int exit_code) {
  Shared& shared = box_->shared;
  const auto deadline = Clock::now() + oom_late;
  while (true) {
    if ((death && death->oom) || shared.deaths.oom_seen(box_->container.id())) return true;
    if (!shared.deaths.engine_answers()) return false;
    try {
      const auto state = shared.engine.inspect_container(box_->container.id());
      if (!state) return false;
      if (state->oom_killed) return true;
    } catch (const EngineError&) {
      return false;
    }
    // Without a limit only the whole machine can run out of memory, and that takes no events of ours.
    if (exit_code != killed_code || shared.settings.memory == 0 || Clock::now() > deadline) return false;
    std::this_thread::sleep_for(look_again);
  }
}

// ---- run

bool DockerExecution::give_go(const Work& work, const std::stop_token& stop) {
  JobDirectory& job = *box_->job;
  const bool started = job.started();
  if (!started) {
    job.write_script(work, box_->spec.project_dir);
    begun_ = std::chrono::system_clock::now();
  }
  if (box_->adopted && started) {
    // Given already, unless the runner died between the two: then the shell still listens.
    job.go([] { return true; }, {});
    return true;
  }
  return job.go([this] { return dead(); }, stop);
}

// For a container that ended before anything of the job could run: that may be why.
void DockerExecution::refuse_foreign_image() {
  if (const std::string foreign = box_->shared.images.foreign(box_->image); !foreign.empty())
    throw WorldError("runner_system_failure", box_->spec.image + ": " + foreign,
                     "use an image for this machine, or install emulation (qemu-user-static)");
}

// The container ended before its shell took the go: killed from outside, or by what its image starts first.
JobResult DockerExecution::never_began(Notices& notices) {
  Shared& shared = box_->shared;
  const std::string& id = box_->container.id();
  if (!shared.deaths.engine_answers())
    throw WorldError("runner_system_failure", "the engine stopped before the job began",
                     "start the engine and run again");
  refuse_foreign_image();
  const auto end = death();
  int code = end ? end->exit_code : -1;
  if (const auto state = shared.engine.inspect_container(id)) {
    if (!state->error.empty())
      throw WorldError("runner_system_failure", "the container did not start: " + state->error);
    code = state->exit_code;
  } else {
    JobResult gone;
    gone.reason = "runner_system_failure";
    gone.message = "the container was removed from outside before the job began (run it again)";
    gone.sandbox_gone = true;
    return gone;
  }
  const std::string log = shared.engine.logs(id, told_lines);
  if (code == killed_code && log.empty())
    throw WorldError("runner_system_failure", "the container was killed from outside before the job began (exit 137)",
                     "run it again");
  const std::string own = without_ours(log);
  std::istringstream lines(own);
  for (std::string line; std::getline(lines, line);) notices.warning("entrypoint: " + line);
  JobResult result;
  result.outcome = Outcome::failed;
  result.reason = "script_failure";
  if (code > 0) result.exit_code = code;
  const std::string said = last_line(own);
  result.message = "the image's entrypoint ended before the script began (exit " + std::to_string(code) + ")" +
                   (said.empty() ? "" : ": " + said) +
                   "; if it does not run its arguments, set image:entrypoint: [\"\"]";
  return result;
}

JobResult DockerExecution::run(const Work& work, LogSink& sink, Notices& notices, std::stop_token stop) {
  Shared& shared = box_->shared;
  const JobDirectory::Hooks hooks{.dead = [this] { return dead(); },
                                  .kill =
                                      [this] {
                                        try {
                                          box_->shared.engine.kill(box_->container.id(), "KILL");
                                        } catch (const EngineError&) {  // the follower gives up by itself
                                        }
                                      },
                                  .hurry = [&shared] { return shared.hurried.load(); }};

  JobDirectory::Followed followed;
  if (box_->attached) {
    if (stop.stop_requested()) {
      followed.cancelled = true;
      return result_of(followed, work);
    }
    if (work.debug_services && box_->services.any())
      notices.warning("CI_DEBUG_SERVICES: services' output is shown only where the engine is on this machine");
    try {
      followed = box_->attached->run(box_->container.id(), work, sink, hooks, stop);
    } catch (const EngineError& error) {
      if (error.status != 0) refuse_foreign_image();  // nor did the pause container run, whose network it joins
      throw;
    }
  } else {
    if (!give_go(work, stop)) {
      if (!stop.stop_requested()) return never_began(notices);
      followed.cancelled = true;
      return result_of(followed, work);
    }
    std::optional<Services::Watch> watch;
    if (work.debug_services && box_->services.any()) {
      watch.emplace(box_->services, !box_->adopted, [this](std::string_view line) { box_->job->add_to_log(line); });
    }
    followed = box_->job->follow(work, sink, hooks, box_->log_bytes_kept, stop);
  }

  JobResult result = result_of(followed, work);
  if (result.outcome != Outcome::passed) explain(result, followed);
  take_artifacts(work, result, lingers(followed), notices);
  return result;
}

// Whether the container stays because its job has failed.
bool DockerExecution::lingers(const JobDirectory::Followed& followed) {
  const bool failed = followed.timed_out || (followed.exit_code && *followed.exit_code != 0);
  return box_->spec.linger && failed && !followed.cancelled && !death();
}

void DockerExecution::put_shell(const Work& work) {
  const auto state = box_->shared.engine.inspect_container(box_->container.id());
  if (!state || !state->running) throw WorldError("runner_system_failure", "its container has ended");
  if (!box_->attached) return box_->job->write_shell(work, box_->spec.project_dir);
  TarStream tar;
  tar.add_file(".job/" + std::string(shell_name), shell_script_text(work, box_->spec.project_dir));
  box_->shared.engine.put_archive(box_->container.id(), "/", [&tar] { return tar.next(); });
}

void DockerExecution::enter(const Work& work, const Terminal& terminal, const std::stop_token& stop) {
  put_shell(work);
  box_->shared.engine.exec_terminal(box_->container.id(), {"sh", shell_path()}, terminal, stop);
}

Kept DockerExecution::keep(const Work& work) {
  put_shell(work);
  const DockerSettings& settings = box_->shared.settings;
  Kept kept;
  // As the engine was found: what the configuration says, the docker command does not know.
  if (!settings.host.empty()) kept.enter += "DOCKER_HOST=" + shell_word(settings.host) + " ";
  if (!settings.cert_path.empty()) kept.enter += "DOCKER_CERT_PATH=" + shell_word(settings.cert_path) + " ";
  if (settings.tls_verify) kept.enter += "DOCKER_TLS_VERIFY=1 ";
  kept.enter += "docker exec -it " + box_->spec.id.resource_name() + " sh " + shell_path();
  kept.container = box_->container.id();
  kept.network = box_->services.network();
  kept.pause = box_->lease.container();
  kept.services = box_->services.containers();
  box_->let_be();
  return kept;
}

// What the directory cannot tell: how the container ended.
void DockerExecution::explain(JobResult& result, const JobDirectory::Followed& followed) {
  if (followed.cancelled || followed.timed_out || followed.disk_full) return;
  Shared& shared = box_->shared;
  const int code = followed.exit_code.value_or(-1);
  // A failure that is only the script's is told at once; the end is waited for where memory may have been the cause.
  if (followed.exit_code && shared.settings.memory == 0 && code != killed_code) return;
  // Dead by its own signs while the engine is away: nobody will say more.
  const bool unknown = !followed.exit_code && followed.dead && !death() && !shared.deaths.engine_answers();
  // One that lingers does not end by itself.
  const std::optional<Deaths::Death> end = unknown ? std::nullopt : lingers(followed) ? death() : await_end();
  const int container_code = end ? end->exit_code : -1;
  if (out_of_memory(end, followed.exit_code ? code : container_code)) {
    result.outcome = Outcome::failed;
    result.reason = "oom";
    if (!followed.exit_code && container_code > 0) result.exit_code = container_code;
    result.message = shared.settings.memory > 0
                         ? "out of memory: the job's limit is " + megabytes(shared.settings.memory) +
                               "; raise it in the configuration (memory) or let the job use less"
                         : "out of memory: the machine has none left";
    return;
  }
  if (followed.exit_code) return;
  // Nobody asked the engine for it: a process of the container did it (`kill -9 -1`), which is the script's doing.
  if (end && end->by_itself && !engine_was_away_ && container_code > signal_base &&
      container_code <= signal_base + last_signal) {
    result.outcome = Outcome::failed;
    result.reason = "script_failure";
    result.exit_code = container_code;
    result.message = "exit code " + std::to_string(container_code) +
                     ": all that ran in the container was killed, by the script itself or by the system";
    return;
  }
  result.outcome = Outcome::broken;
  result.reason = "runner_system_failure";
  const std::string exit = "(exit " + std::to_string(container_code) + ")";
  if (!end || !shared.deaths.engine_answers()) {
    result.message = "the engine stopped while the job ran; start it and run the job again";
  } else if (engine_was_away_) {
    result.message =
        "the engine was restarted while the job ran, which ended it " + exit + "; live-restore avoids that";
  } else if (container_code == killed_code) {
    result.message = "the container was killed from outside " + exit;
  } else if (container_code == terminated_code) {
    result.message = "the container was stopped from outside " + exit;
  } else if (container_code < 0) {
    result.message = "the container was removed from outside";
  } else {
    if (box_->attached) refuse_foreign_image();  // whose go is the container's start
    result.message = "the container ended without the script's exit code " + exit;
  }
}

// What the job left in its GITLAB_ENV.
Environment DockerExecution::exported() {
  if (!box_->attached) return box_->job->exported();
  const fs::path to = box_->spec.directory / "exported";
  const fs::path file(exported_file);
  if (!fetch_tree(box_->shared.engine, box_->container.id(), (fs::path(job_mount) / file).string(), to)) return {};
  std::ifstream in(to / file.filename(), std::ios::binary);
  return exported_of(std::string(std::istreambuf_iterator<char>(in), {}));
}

// Out of a container that lives everything is fetched, so that its workspace stays as it is.
void DockerExecution::take_artifacts(const Work& given, JobResult& result, bool lives, Notices& notices) {
  if (result.outcome != Outcome::passed && result.outcome != Outcome::failed) return;
  const bool passed = result.outcome == Outcome::passed;
  const bool archive = takes_archive(given.artifacts, passed);
  if (!archive && given.artifacts.reports.empty() && !takes_caches(given.caches, passed)) return;
  Shared& shared = box_->shared;
  const JobSpec& spec = box_->spec;
  try {
    if (!lives) await_end();
    const std::optional<Work> late = given.rename_paths ? renamed(given, exported()) : std::nullopt;
    const Work& work = late ? *late : given;
    Layers layers;
    if (lives) {
      AttachedJob fetcher(shared.engine, spec, {});
      layers = fetcher.fetch(box_->container.id(), work, spec.directory / "got");
    } else if (box_->attached) {
      layers = box_->attached->fetch(box_->container.id(), work, spec.directory / "got");
    } else {
      layers = box_->workspace->layers();
      std::error_code error;
      if (!fs::is_empty(box_->workspace->upper(), error) || error)
        shared.janitor.own(box_->workspace->upper(), spec.id, spec.image);
    }
    result.caches = collect_caches(layers, spec.project_dir, spec.sources.tracked_list, work.caches, passed, archive,
                                   spec.layer, begun_, notices);
    result.collected =
        collect(layers, spec.project_dir, spec.sources.tracked_list, work.artifacts, passed, spec.layer, notices);
  } catch (const WorldError& error) {
    if (passed) throw;
    notices.warning(std::string("artifacts: ") + error.what());  // the job's own failure is what counts
  }
}

}  // namespace executors::docker
