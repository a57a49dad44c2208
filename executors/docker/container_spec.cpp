#include "executors/docker/container_spec.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

namespace executors::docker {
namespace {

using Json = nlohmann::json;

constexpr double nano_cpus = 1e9;  // the engine counts CPUs in billionths

// `sleep` in the background, so that the trap is taken at once and not when the sleep is over.
constexpr std::string_view pause_command = "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done";

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::job:
      return "job";
    case Kind::service:
      return "service";
    case Kind::pause:
      return "pause";
    case Kind::janitor:
      return "janitor";
  }
  return "job";
}

std::string dump(const Json& body) { return body.dump(2, ' ', false, Json::error_handler_t::replace); }

Json environment(const Environment& first, const Environment& second = {}) {
  Json list = Json::array();
  const auto append = [&list](const Environment& entries) {
    for (const auto& [name, value] : entries) list.push_back(name + "=" + value);
  };
  append(first);
  append(second);
  return list;
}

// What every container has: labels, a log that can be read again (json-file, whatever the engine's default is), an
// init that reaps, and no way to more privileges.
Json base(const JobId& id, Kind kind, const std::string& image) {
  return Json{{"Image", image},
              {"Labels", labels(id, kind)},
              {"HostConfig", {{"Init", true}, {"LogConfig", {{"Type", "json-file"}, {"Config", Json::object()}}}}}};
}

void limit(Json& host, const DockerSettings& settings) {
  if (settings.cpus > 0) host["NanoCpus"] = static_cast<std::int64_t>(settings.cpus * nano_cpus);
  if (settings.memory > 0) {
    host["Memory"] = settings.memory;
    host["MemorySwap"] = settings.memory;  // memory and swap together: no swap on top
  }
  if (settings.pids > 0) host["PidsLimit"] = settings.pids;
  if (settings.privileged) {
    host["Privileged"] = true;
  } else {
    host["SecurityOpt"] = {"no-new-privileges"};
  }
}

void mount(Json& host, const ProjectMount& project, const JobSpec& spec) {
  switch (project.kind) {
    case ProjectMount::Kind::none:
      return;
    case ProjectMount::Kind::bind:
      host["Mounts"].push_back({{"Type", "bind"}, {"Source", project.source.string()}, {"Target", spec.project_dir}});
      return;
    case ProjectMount::Kind::overlay:
      // No Source: the volume is anonymous and goes with its container (DELETE …?v=1).
      host["Mounts"].push_back(
          {{"Type", "volume"},
           {"Target", spec.project_dir},
           {"VolumeOptions",
            {{"NoCopy", true},
             {"Labels", labels(spec.id, Kind::job)},
             {"DriverConfig",
              {{"Name", "local"},
               {"Options", {{"type", "overlay"}, {"device", "overlay"}, {"o", project.options}}}}}}}});
      return;
  }
}

void attach(Json& body, const Attachment& attachment) {
  Json& host = body["HostConfig"];
  switch (attachment.kind) {
    case Attachment::Kind::disabled:
      body["NetworkDisabled"] = true;
      return;
    case Attachment::Kind::bridge:
      host["NetworkMode"] = "bridge";
      return;
    case Attachment::Kind::container:
      host["NetworkMode"] = "container:" + attachment.id;
      body["Labels"]["runner.pause"] = attachment.id;  // says which pause containers are in use
      return;
    case Attachment::Kind::network:
      host["NetworkMode"] = attachment.id;
      body["NetworkingConfig"]["EndpointsConfig"][attachment.id]["Aliases"] = attachment.aliases;
      return;
  }
}

// Any directory may hold a repository of another user's: GitLab's runner does the same for its builds.
const Environment safe_directory = {
    {"GIT_CONFIG_COUNT", "1"}, {"GIT_CONFIG_KEY_0", "safe.directory"}, {"GIT_CONFIG_VALUE_0", "*"}};

bool has(const Environment& entries, std::string_view name) {
  return std::any_of(entries.begin(), entries.end(), [name](const auto& entry) { return entry.first == name; });
}

// {} and {""} both mean none; only the latter says so to every version of the engine.
Json entrypoint_json(const std::vector<std::string>& entrypoint) {
  return entrypoint.empty() ? Json{""} : Json(entrypoint);
}

// `["/bin/sh", "-c"]`, `["tini", "--", "bash", "-lc"]`.
bool takes_text(const std::vector<std::string>& entrypoint) {
  constexpr std::array<std::string_view, 6> shells = {"sh", "bash", "ash", "dash", "ksh", "zsh"};
  const auto is_shell = [&](const std::string& word) {
    return std::ranges::find(shells, std::string_view(word).substr(word.rfind('/') + 1)) != shells.end();
  };
  if (entrypoint.size() < 2 || !std::any_of(entrypoint.begin(), entrypoint.end() - 1, is_shell)) return false;
  const std::string& flags = entrypoint.back();
  return flags.size() > 1 && flags[0] == '-' && flags[1] != '-' && flags.back() == 'c';
}

}  // namespace

Labels labels(const JobId& id, Kind kind) {
  return {{"runner.owner", id.owner},
          {"runner.run", std::to_string(id.run)},
          {"runner.job", id.name},
          {"runner.attempt", std::to_string(id.attempt)},
          {"runner.kind", std::string(to_string(kind))}};
}

std::vector<std::string> job_command(const JobSpec& spec, const ImageInfo& image, const std::string& script) {
  if (takes_text(spec.entrypoint.value_or(image.entrypoint))) return {script};
  return {"sh", "-c", script};
}

std::string job_container(const JobSpec& spec, const DockerSettings& settings, const ProjectMount& project,
                          const Attachment& attachment, const std::filesystem::path& job_directory,
                          const std::vector<std::string>& command) {
  Json body = base(spec.id, Kind::job, spec.image);
  body["Cmd"] = command;
  if (spec.entrypoint) body["Entrypoint"] = entrypoint_json(*spec.entrypoint);
  body["WorkingDir"] = spec.project_dir;
  if (!spec.image_user.empty()) body["User"] = spec.image_user;
  body["Env"] = has(settings.environment, "GIT_CONFIG_COUNT") ? environment(settings.environment)
                                                              : environment(safe_directory, settings.environment);
  body["Healthcheck"] = {{"Test", {"NONE"}}};
  Json& host = body["HostConfig"];
  limit(host, settings);
  host["Mounts"] = Json::array();
  if (!job_directory.empty())
    host["Mounts"].push_back({{"Type", "bind"}, {"Source", job_directory.string()}, {"Target", job_mount}});
  mount(host, project, spec);
  if (!settings.volumes.empty()) host["Binds"] = settings.volumes;
  attach(body, attachment);
  return dump(body);
}

std::string service_container(const JobSpec& spec, const ServiceSpec& service, const DockerSettings& settings,
                              const Attachment& attachment) {
  Json body = base(spec.id, Kind::service, service.image);
  if (service.entrypoint) body["Entrypoint"] = entrypoint_json(*service.entrypoint);
  if (service.command) body["Cmd"] = *service.command;
  if (!service.user.empty()) body["User"] = service.user;
  body["Env"] = environment(settings.environment, service.environment);
  Json& host = body["HostConfig"];
  limit(host, settings);
  if (!settings.volumes.empty()) host["Binds"] = settings.volumes;
  attach(body, attachment);
  return dump(body);
}

std::string pause_container(const JobSpec& spec, const DockerSettings& settings) {
  Json body = base(spec.id, Kind::pause, spec.image);
  body["Entrypoint"] = {"sh", "-c", pause_command};
  body["Cmd"] = Json::array();
  body["Healthcheck"] = {{"Test", {"NONE"}}};
  DockerSettings unprivileged = settings;
  unprivileged.privileged = false;
  limit(body["HostConfig"], unprivileged);
  attach(body, {Attachment::Kind::bridge, {}, {}});
  return dump(body);
}

std::string janitor_container(const JobId& id, const std::string& image, const std::filesystem::path& state,
                              const std::string& command) {
  Json body = base(id, Kind::janitor, image);
  body["Entrypoint"] = {"sh", "-c", command};
  body["Cmd"] = Json::array();
  body["User"] = "0:0";
  body["WorkingDir"] = "/s";
  body["Healthcheck"] = {{"Test", {"NONE"}}};
  body["NetworkDisabled"] = true;
  Json& host = body["HostConfig"];
  host["AutoRemove"] = true;
  host["ReadonlyRootfs"] = true;
  host["Mounts"] = Json::array({{{"Type", "bind"}, {"Source", state.string()}, {"Target", "/s"}}});
  host["CapDrop"] = {"ALL"};
  host["CapAdd"] = {"CHOWN", "DAC_OVERRIDE", "FOWNER"};
  host["SecurityOpt"] = {"no-new-privileges"};
  host["LogConfig"] = {{"Type", "none"}};
  return dump(body);
}

}  // namespace executors::docker
