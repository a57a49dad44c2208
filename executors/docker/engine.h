// The Docker Engine API (docs.docker.com/engine/api/v1.41) as typed verbs. One Engine may be used by many threads;
// each call is its own connection. Knows no executor and no job.
//
// Every failure is an EngineError whose text says what was tried, on what and what came back.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "executors/executor.h"

namespace executors::docker {

class EngineError : public WorldError {
 public:
  EngineError(int http_status, const std::string& message, std::string what_to_do = {},
              std::string why = "runner_system_failure")
      : WorldError(std::move(why), message, std::move(what_to_do)), status(http_status) {}
  int status;  // HTTP status; 0: no answer (socket missing, refused, broken off, timed out)
};

struct Endpoint {
  std::string socket;  // unix socket path; empty: tcp
  std::string host;
  int port = 0;
  bool tls = false;
  bool verify = true;         // check the engine's certificate against ca.pem
  std::string ca, cert, key;  // files
  bool local() const { return !socket.empty(); }
  std::string display() const;  // "unix:///var/run/docker.sock", for messages
  // DOCKER_HOST, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH, as the docker CLI reads them; arguments win. Throws EngineError
  // on a text that is no endpoint (ssh:// is not supported and says so).
  static Endpoint from_environment(const std::string& host = {}, const std::string& cert_path = {},
                                   bool tls_verify = false);
};

using Labels = std::map<std::string, std::string>;
using Bytes = std::function<bool(std::string_view)>;  // returns false to stop

struct ImageInfo {
  std::string id, os, architecture, user;
  std::vector<std::string> entrypoint, command, environment, exposed_ports;  // "5432/tcp"
  bool has_healthcheck = false;
};

struct ContainerState {
  std::string id, status;  // created, running, exited, dead …
  bool running = false, oom_killed = false;
  int exit_code = 0;
  std::string error;   // the engine's own words when the start failed
  std::string health;  // "", starting, healthy, unhealthy
  std::string ip;      // on its first network
  std::int64_t pid = 0;
  Labels labels;
};

struct Listed {
  std::string id, name, state;
  Labels labels;
};

struct EngineInfo {
  std::string version, api_version, operating_system, architecture, storage_driver, cgroup_version, id;
  bool live_restore = false;
};

struct PullProgress {
  std::string text;  // one line for people: "pulling node:18: 3 of 7 layers, 45 %"
};

// How long everybody together waits for an engine that does not answer: one time for all, from the first that begins
// to wait until the engine answers anything.
class Absence {
 public:
  using Clock = std::chrono::steady_clock;
  Clock::time_point deadline(Clock::duration patience) {
    const std::lock_guard lock(mutex_);
    if (!since_) since_ = Clock::now();
    return *since_ + patience;
  }
  void over() {
    const std::lock_guard lock(mutex_);
    since_.reset();
  }

 private:
  std::mutex mutex_;
  std::optional<Clock::time_point> since_;  // guarded
};

class Engine {
 public:
  explicit Engine(Endpoint);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  const Endpoint& endpoint() const;
  Absence& absence();

  // Answers at all, within `patience`? Throws EngineError when not. A stop request ends the question, without a throw.
  void ping(std::chrono::milliseconds patience = std::chrono::seconds(10), std::stop_token = {});

  // Also negotiates the API version on first use of any verb: the lower of ours and the engine's; at least 1.41's
  // verbs.
  EngineInfo info();

  std::optional<ImageInfo> inspect_image(const std::string& reference);
  // `auth`: the X-Registry-Auth document (JSON) or empty. Reports errors inside the 200 stream. A stop request breaks
  // the pull off within a second. Throws with reason image_pull_failure.
  void pull(const std::string& reference, const std::string& platform, const std::string& auth,
            const std::function<void(const PullProgress&)>&, const std::stop_token&);

  // `body`: the JSON of POST /containers/create. A name that is taken throws status 409.
  std::string create_container(const std::string& name, const std::string& body, const std::string& platform = {});
  void start(const std::string& id);
  void kill(const std::string& id, const std::string& signal);  // not running (409) and gone (404) are success
  // With its anonymous volumes. Gone is success, but false: whoever removed it may have left those.
  bool remove_container(const std::string& id, bool force = true);
  std::optional<ContainerState> inspect_container(const std::string& id);
  int wait(const std::string& id, std::stop_token);   // exit code; -1 when told to stop
  std::string logs(const std::string& id, int tail);  // stdout and stderr, unframed, at most 64 KiB
  // The same as it comes, from the beginning or from now on, until the container ends or the token says so.
  void follow_logs(const std::string& id, bool from_the_beginning, const Bytes&, std::stop_token);
  // Attaches to the output and calls `started` once the engine has answered (start the container there); returns when
  // the stream ends. Frames are unpacked. To cancel, kill the container; the token only gives the stream up, for when
  // the engine does not react any more.
  void attach(const std::string& id, const std::function<void()>& started, const Bytes&, std::stop_token);
  // Runs a command in a running container and returns its exit code (-1 when told to stop); `output`: both streams, at
  // most the last 64 KiB. Throws when it says nothing for `silence`.
  int exec(const std::string& id, const std::vector<std::string>& command, std::string* output = nullptr,
           const std::string& user = {}, std::stop_token = {},
           std::chrono::milliseconds silence = std::chrono::minutes(10));
  // Runs a command in a running container on a person's terminal; returns when it has ended, or at a stop request (the
  // container's end then ends it).
  void exec_terminal(const std::string& id, const std::vector<std::string>& command, const Terminal&,
                     const std::stop_token&);
  bool has_path(const std::string& id, const std::string& path);  // HEAD archive
  void put_archive(const std::string& id, const std::string& path, const std::function<std::string()>& next_tar_bytes);
  void get_archive(const std::string& id, const std::string& path, const Bytes&);  // 404 throws status 404

  std::string create_network(const std::string& name, const Labels&, bool internal = false);
  void connect(const std::string& network, const std::string& container, const std::vector<std::string>& aliases);
  void disconnect(const std::string& network, const std::string& container, bool force);  // gone is success
  void remove_network(const std::string& id);                                             // gone is success
  void remove_volume(const std::string& name);                                            // gone is success

  std::vector<Listed> containers(const std::string& label_filter);  // "runner.owner=…"; also stopped ones
  std::vector<Listed> networks(const std::string& label_filter);
  std::vector<Listed> volumes(const std::string& label_filter);

  struct Event {
    std::string action;  // die, kill, oom, …
    std::string id;
    int exit_code = -1;
    std::int64_t time_nano = 0;
  };
  // Blocks; one persistent stream of container events (die, kill, oom) with that label, from `since_nano` on (0: now).
  // Calls `connected` once the engine streams. Returns when told to stop, or when nothing came for `quiet` (0: for
  // ever); a stream that ends otherwise throws EngineError(0).
  void events(const std::string& label_filter, std::int64_t since_nano, const std::function<void(const Event&)>&,
              const std::stop_token&, const std::function<void()>& connected = {},
              std::chrono::milliseconds quiet = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Who waits for a container's end: one /events stream on a thread of its own, shared by all jobs. Reconnects, and
// then inspects those still waited for, so no end is missed. The engine must outlive it.
class Deaths {
 public:
  Deaths(Engine&, std::string label_filter);
  ~Deaths();
  Deaths(const Deaths&) = delete;
  Deaths& operator=(const Deaths&) = delete;
  // exit_code -1: the container is gone, nobody knows how it ended.
  struct Death {
    int exit_code = -1;
    bool oom = false;
    bool by_itself = false;  // seen to end, and nobody had had the engine send it a signal
  };
  // Full ids. Call before the container is started; whoever adopts one that may be over already inspects it after this.
  void watch(const std::string& id);
  void forget(const std::string& id);
  std::optional<Death> poll(const std::string& id) const;  // cheap
  std::optional<Death> wait(const std::string& id, std::chrono::milliseconds);
  bool oom_seen(const std::string& id) const;  // the kernel has killed something in it; it may be running still
  bool engine_answers() const;                 // false while the stream cannot be had

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Registry credentials from the docker CLI's config.json (`auths`, `credsStore`, `credHelpers`; helpers are run as
// processes, protocol: docker-credential-helpers). Never from anything a job says.
// Returns the X-Registry-Auth JSON for the image's registry, or empty. Throws EngineError when a helper fails.
std::string registry_auth(const std::string& docker_config_dir, const std::string& image_reference);
// The registry part of a reference, as the docker CLI normalises it ("docker.io" for "node:18").
std::string registry_of(const std::string& image_reference);

}  // namespace executors::docker
