// A Docker engine that does what a test tells it: answers, lies, hangs, breaks off. Speaks HTTP by hand, because a
// proper server library would not let it misbehave.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "executors/docker/engine.h"

namespace executors::docker {

class FakeEngine {
 public:
  struct Request {
    std::string method, target, body;
    std::map<std::string, std::string> headers;  // names in lower case
  };

  class Connection {
   public:
    Connection(int socket, int stop) : socket_(socket), stop_(stop) {}
    void answer(int status, std::string_view body = {}, std::string_view headers = {});
    void begin_stream(std::string_view headers = {});  // 200 without a length: until the connection ends
    void begin_chunks();
    void chunk(std::string_view bytes);
    void send(std::string_view bytes);
    // Keeps silent until the client goes away (true) or the time is over or the test ends.
    bool hold(std::chrono::milliseconds = std::chrono::minutes(1));

   private:
    int socket_, stop_;
  };

  // Called on a thread of its own for each request but /_ping, whose answer is `api_version` (empty: none;
  // "hang": no answer at all). A chunked body is left unread where the target has "refused" in it.
  using Handler = std::function<void(const Request&, Connection&)>;
  explicit FakeEngine(Handler, std::string api_version = "1.41");
  ~FakeEngine();
  FakeEngine(const FakeEngine&) = delete;
  FakeEngine& operator=(const FakeEngine&) = delete;

  Endpoint endpoint() const;
  std::vector<Request> requests() const;  // without /_ping
  int pings() const { return pings_; }
  const std::string& directory() const { return directory_; }

 private:
  void serve(int socket);
  Handler handler_;
  std::string api_version_, directory_;
  int listener_ = -1;
  int stop_read_ = -1, stop_write_ = -1;
  std::atomic<int> pings_ = 0;
  mutable std::mutex mutex_;
  std::vector<Request> requests_;       // guarded
  std::list<std::thread> connections_;  // of the accepting thread, then of the destructor
  std::thread acceptor_;
};

// A directory that is removed again.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::string& path() const { return path_; }
  std::string write(const std::string& name, std::string_view text, unsigned mode = 0644) const;

 private:
  std::string path_;
};

// Sets a variable of the environment, or unsets it (null), and puts the old value back.
class ScopedVariable {
 public:
  ScopedVariable(std::string name, const char* value);
  ~ScopedVariable();
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  std::string name_, before_;
  bool was_set_ = false;
};

std::string frame(int stream, std::string_view payload);

}  // namespace executors::docker
