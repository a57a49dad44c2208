// Factories: the only way to get an executor, so implementations need no header.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "executors/executor.h"

namespace executors {

enum class WorkspaceKind : std::uint8_t {
  automatic,  // overlay on a local engine, archive where it is elsewhere
  overlay,    // Docker's local volume driver, type=overlay, over the snapshot and the inputs
  copy,       // a copy of the tree, bind-mounted (where overlay mounts are refused)
  archive,    // PUT/GET archive: nothing of this host's file system is visible to the engine
};

// What the administrator's configuration says; never the pipeline.
struct DockerSettings {
  std::string host;                  // as DOCKER_HOST: unix:///path or tcp://host:port; empty: from the environment
  std::string cert_path;             // ca.pem, cert.pem, key.pem; empty: DOCKER_CERT_PATH
  bool tls_verify = false;           // or DOCKER_TLS_VERIFY
  std::string docker_config;         // directory of config.json; empty: DOCKER_CONFIG or ~/.docker
  std::vector<std::string> volumes;  // "host:container[:ro]" binds for every job
  Environment environment;           // for every job, weaker than the job's own
  double cpus = 0;                   // 0: no limit
  std::uint64_t memory = 0;          // bytes; 0: no limit
  std::int64_t pids = 4096;
  bool privileged = false;
  std::vector<pipelines::PullPolicy> pull_policy;  // default for jobs that say nothing; empty: if_not_present
  WorkspaceKind workspace = WorkspaceKind::automatic;
  std::string owner;            // the database's id, for labels
  std::filesystem::path state;  // the directory all JobSpec paths are below
};

std::unique_ptr<Executor> make_docker_executor(DockerSettings);
struct ShellSettings {
  Environment environment;
  std::filesystem::path state;
  std::string supervisor;  // program that is run as `<supervisor> __supervise JOBDIR`: this binary
};
std::unique_ptr<Executor> make_shell_executor(ShellSettings);

namespace steps {
class Host;
}
struct StepSettings {
  Environment environment;  // of this process: where AWS's own tools would look for credentials and endpoints
};
// Runs built-in steps that are made of API calls (StepPlace::runner) in this process, and hands every other job to
// `inner`. The host must outlive it.
std::unique_ptr<Executor> make_step_executor(std::unique_ptr<Executor> inner, steps::Host& host, StepSettings);

// The shell executor's per-job supervisor process (`runner __supervise JOBDIR`); returns the exit code of the process.
int supervise_main(const std::filesystem::path& job_directory);

}  // namespace executors
