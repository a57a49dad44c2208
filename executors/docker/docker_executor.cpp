// Jobs in containers. prepare() makes everything up to the go; docker_execution.cpp runs it.
#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "executors/docker/container_spec.h"
#include "executors/docker/docker_execution.h"
#include "executors/make.h"

namespace executors::docker {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds made_within{10};
constexpr std::chrono::milliseconds look_again{100};

void go_on(const std::stop_token& stop, const std::string& doing) {
  if (stop.stop_requested()) throw WorldError("cancelled", "cancelled while " + doing);
}

class DockerExecutor final : public Executor {
 public:
  explicit DockerExecutor(DockerSettings settings) : shared_(std::move(settings)) {}
  ~DockerExecutor() override { settle(); }

  std::unique_ptr<Execution> prepare(const JobSpec&, Notices&, std::stop_token) override;
  std::unique_ptr<Execution> adopt(const JobSpec&, std::string_view handle, std::uint64_t log_bytes_kept) override;
  // Any verb asks the engine for its version first; /info would take ten times as long.
  void check() override { shared_.engine.containers("runner.owner=" + shared_.settings.owner); }
  void hurry() override { shared_.hurried = true; }
  void settle() override;

 private:
  enum class Overlay : std::uint8_t { untried, works, refused };

  bool archive() const;
  void hold_directory(Sandbox&);
  void clear_predecessor(const JobSpec&);
  void start_services(Sandbox&, bool had_predecessor, Notices&, const std::stop_token&);
  Attachment attach(Sandbox&);
  void create(Sandbox&, const std::string& body);
  void start_here(Sandbox&, Attachment, const std::stop_token&);
  bool start_once(Sandbox&, const Attachment&, bool overlay);
  void create_there(Sandbox&, const Attachment&);

  Shared shared_;
  std::atomic<Overlay> overlay_ = Overlay::untried;
};

bool DockerExecutor::archive() const {
  return shared_.settings.workspace == WorkspaceKind::archive ||
         (shared_.settings.workspace == WorkspaceKind::automatic && !shared_.engine.endpoint().local());
}

void DockerExecutor::hold_directory(Sandbox& box) {
  box.directory =
      ScopedDirectory(box.spec.directory, [&shared = shared_, id = box.spec.id, image = box.spec.image](
                                              const fs::path& path) { shared.janitor.remove(path, id, image); });
}

std::unique_ptr<Execution> DockerExecutor::prepare(const JobSpec& spec, Notices& notices, std::stop_token stop) {
  auto box = std::make_unique<Sandbox>(shared_);
  box->spec = spec;
  if (spec.image.empty()) {
    throw WorldError("image_pull_failure",
                     "job " + spec.id.name + ": its image is empty: the variables in it have no value",
                     "give them one, or name a default with --image");
  }
  try {
    std::error_code error;
    const bool had_predecessor = fs::exists(spec.directory, error);
    if (had_predecessor) clear_predecessor(spec);
    // Before all else that bears this attempt's name: it tells the next runner that there is something to clear away.
    hold_directory(*box);
    fs::create_directories(spec.directory, error);
    box->image = shared_.images.get(spec.image, spec.platform, spec.pull_policy, "job " + spec.id.name, notices, stop);
    go_on(stop, "preparing " + spec.id.name);
    if (!spec.services.empty() && spec.network == Network::none)
      notices.warning("the job has no network, so its services are not started");
    if (!spec.services.empty() && spec.network != Network::none) start_services(*box, had_predecessor, notices, stop);
    go_on(stop, "starting services");
    if (archive()) {
      create_there(*box, attach(*box));
    } else {
      start_here(*box, attach(*box), stop);
    }
    go_on(stop, "starting the container");
    box->services.wait(shared_.deaths, shared_.images, notices, stop);
    go_on(stop, "waiting for services");
  } catch (const EngineError& error) {
    box.reset();  // here and now: after a throw nothing is left
    if (error.status == 400 && std::string_view(error.what()).find("reference format") != std::string_view::npos) {
      throw WorldError("image_pull_failure", "job " + spec.id.name + ": \"" + spec.image + "\" is no image's name",
                       "a variable in it may have no value here");
    }
    throw;
  } catch (...) {
    box.reset();
    throw;
  }
  return std::make_unique<DockerExecution>(std::move(box));
}

Attachment DockerExecutor::attach(Sandbox& box) {
  const JobSpec& spec = box.spec;
  if (spec.network == Network::none) return {Attachment::Kind::disabled, {}, {}};
  if (!spec.services.empty()) return {Attachment::Kind::network, box.services.network(), {"build"}};
  // What has the right to change its network leaves none for another job.
  if (!shared_.settings.privileged) box.lease = shared_.pool.lease(spec, spec.more_to_come);
  if (box.lease.held()) return {Attachment::Kind::container, box.lease.container(), {}};
  return {Attachment::Kind::bridge, {}, {}};
}

// What a runner that died left of this very attempt. It never began: an attempt that did is adopted, not prepared.
void DockerExecutor::clear_predecessor(const JobSpec& spec) {
  const std::string name = spec.id.resource_name();
  const auto ours = [&](const Labels& found) {
    const Labels expected = labels(spec.id, Kind::job);
    return std::all_of(expected.begin(), expected.end(), [&](const auto& label) {
      const auto at = found.find(label.first);
      return label.first == "runner.kind" || (at != found.end() && at->second == label.second);
    });
  };
  if (const auto state = shared_.engine.inspect_container(name); state && ours(state->labels)) {
    const auto directory = JobDirectory::open(spec.directory);
    if (state->running && directory && directory->started())
      throw WorldError("runner_system_failure", "container " + name + " is running this job already",
                       "another runner has it; wait for it or stop that one");
  }
  for (const Listed& found : shared_.engine.containers("runner.owner=" + spec.id.owner))
    if (ours(found.labels) && (found.name == name || found.name.starts_with(name + "-s")))
      shared_.engine.remove_container(found.id);
  for (const Listed& found : shared_.engine.networks("runner.owner=" + spec.id.owner))
    if (ours(found.labels) && found.name == name) shared_.engine.remove_network(found.id);
  shared_.janitor.remove(spec.directory, spec.id, spec.image);
}

// The engine may still be making what a runner that died had asked it for: it has the name, but lists it only when it
// stands.
void DockerExecutor::start_services(Sandbox& box, bool had_predecessor, Notices& notices, const std::stop_token& stop) {
  const auto deadline = std::chrono::steady_clock::now() + made_within;
  while (true) {
    try {
      box.services =
          Services::start(shared_.engine, shared_.deaths, shared_.images, shared_.settings, box.spec, notices, stop);
      return;
    } catch (const EngineError& error) {
      if (!had_predecessor || error.status != 409 || std::chrono::steady_clock::now() > deadline) throw;
    }
    go_on(stop, "starting services");
    std::this_thread::sleep_for(look_again);
    clear_predecessor(box.spec);
  }
}

void DockerExecutor::create(Sandbox& box, const std::string& body) {
  const std::string name = box.spec.id.resource_name();
  try {
    box.container = ScopedContainer(shared_.engine, shared_.engine.create_container(name, body, box.spec.platform));
  } catch (const EngineError& error) {
    // No answer: it may have been made all the same.
    if (error.status == 0) box.container = ScopedContainer(shared_.engine, name);
    if (error.status != 409) throw;
    // Taken, without the directory that goes with it: left by a runner whose state was removed.
    const auto state = shared_.engine.inspect_container(name);
    const Labels own = labels(box.spec.id, Kind::job);
    if (!state || state->running || !state->labels.contains("runner.owner") ||
        state->labels.at("runner.owner") != own.at("runner.owner"))
      throw;
    shared_.engine.remove_container(state->id);
    box.container = ScopedContainer(shared_.engine, shared_.engine.create_container(name, body, box.spec.platform));
  }
}

// False when the engine would not start it, for a reason that another kind of workspace or network may cure.
bool DockerExecutor::start_once(Sandbox& box, const Attachment& attachment, bool overlay) {
  const JobSpec& spec = box.spec;
  box.job = JobDirectory::create(spec.directory);
  box.workspace = overlay ? Workspace::overlay(spec) : Workspace::copy(spec);
  try {
    create(box, job_container(spec, shared_.settings, box.workspace->mount(), attachment, box.job->path(),
                              job_command(spec, box.image, bootstrap_script(job_mount, spec.linger))));
    shared_.images.require_shell(box.image, spec.image, box.container.id());
    shared_.deaths.watch(box.container.id());
    shared_.engine.start(box.container.id());
  } catch (const EngineError& error) {
    const bool lease_died = box.lease.held() && shared_.deaths.poll(box.lease.container());
    // Another job may have found out meanwhile that it is refused.
    const bool overlay_to_blame = overlay && error.status >= 500 && overlay_ != Overlay::works &&
                                  box.workspace->mount().kind == ProjectMount::Kind::overlay &&
                                  shared_.settings.workspace == WorkspaceKind::automatic;
    if (!lease_died && !overlay_to_blame) throw;
    if (lease_died) box.lease.spoil();
    return false;
  }
  if (const auto state = shared_.engine.inspect_container(box.container.id()))
    box.init = InitProcess(state->pid, box.container.id());
  return true;
}

void DockerExecutor::start_here(Sandbox& box, Attachment attachment, const std::stop_token& stop) {
  bool overlay = shared_.settings.workspace != WorkspaceKind::copy && overlay_ != Overlay::refused;
  bool tried_copy = !overlay;
  while (!start_once(box, attachment, overlay)) {
    const bool lease_died = box.lease.held() && shared_.deaths.poll(box.lease.container());
    shared_.deaths.forget(box.container.id());
    box.container.reset();
    box.job.reset();
    box.workspace.reset();
    shared_.janitor.remove(box.spec.directory, box.spec.id, box.spec.image);
    go_on(stop, "starting the container");
    if (lease_died) {
      box.lease = {};
      attachment = {Attachment::Kind::bridge, {}, {}};
    } else {
      overlay = false;
      tried_copy = true;
    }
  }
  // Only what a copy cured was the overlay's fault.
  if (overlay && box.workspace->mount().kind == ProjectMount::Kind::overlay) overlay_ = Overlay::works;
  if (tried_copy && shared_.settings.workspace == WorkspaceKind::automatic) overlay_ = Overlay::refused;
}

void DockerExecutor::create_there(Sandbox& box, const Attachment& attachment) {
  const std::string mark = AttachedJob::random_mark();
  std::error_code error;
  fs::create_directories(box.spec.directory, error);
  box.attached.emplace(shared_.engine, box.spec, mark);
  create(box, job_container(box.spec, shared_.settings, {}, attachment, {},
                            job_command(box.spec, box.image, attached_script(job_mount, mark, box.spec.linger))));
  shared_.images.require_shell(box.image, box.spec.image, box.container.id());
  shared_.deaths.watch(box.container.id());
  box.attached->put_sources(box.container.id());
}

std::unique_ptr<Execution> DockerExecutor::adopt(const JobSpec& spec, std::string_view handle,
                                                 std::uint64_t log_bytes_kept) {
  const nlohmann::json said = nlohmann::json::parse(handle, nullptr, false);
  if (!said.is_object()) return nullptr;
  const auto text = [&said](const char* name) {
    const auto at = said.find(name);
    return at != said.end() && at->is_string() ? at->get<std::string>() : std::string();
  };
  std::vector<std::string> service_ids;
  if (const auto at = said.find("services"); at != said.end() && at->is_array())
    for (const auto& id : *at)
      if (id.is_string()) service_ids.push_back(id.get<std::string>());

  const std::string id = text("container");
  shared_.deaths.watch(id);
  const std::optional<ContainerState> state = shared_.engine.inspect_container(id);  // throws: nothing is decided then
  auto box = std::make_unique<Sandbox>(shared_);
  box->spec = spec;
  box->adopted = true;
  box->log_bytes_kept = log_bytes_kept;
  hold_directory(*box);
  box->services = Services::adopt(shared_.engine, text("network"), service_ids);
  box->lease = shared_.pool.adopt(spec.id.run, text("pause"));
  box->container = ScopedContainer(shared_.engine, id);
  box->job = JobDirectory::open(spec.directory);
  const bool lives = state && state->running;
  if (!box->job || (!lives && !box->job->started()) || (!state && !box->job->codes().script)) {
    shared_.reaper.destroy(std::move(box));
    return nullptr;
  }
  box->workspace = Workspace::found(spec);
  if (lives) {
    box->init = InitProcess(state->pid, id);
  } else {
    box->died = Deaths::Death{.exit_code = state ? state->exit_code : -1, .oom = state && state->oom_killed};
  }
  try {
    if (const auto image = shared_.engine.inspect_image(spec.image)) box->image = *image;
  } catch (const EngineError&) {  // only wanted for messages
  }
  return std::make_unique<DockerExecution>(std::move(box));
}

void DockerExecutor::settle() {
  shared_.reaper.settle();
  shared_.pool.clear();
  shared_.reaper.settle();
  shared_.janitor.close();
}

}  // namespace
}  // namespace executors::docker

namespace executors {

std::unique_ptr<Executor> make_docker_executor(DockerSettings settings) {
  return std::make_unique<docker::DockerExecutor>(std::move(settings));
}

}  // namespace executors
