// A server that answers as it is told, request by request, and remembers what it was asked. It checks nothing: whether
// requests are what AWS takes is for the tests against botocore.
#pragma once

#include <httplib.h>

#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "executors/aws/caller.h"

namespace executors::aws {

class AwsServer {
 public:
  using Handler = std::function<void(const httplib::Request&, httplib::Response&)>;

  explicit AwsServer(Handler handler) {
    const auto serve = [this, handler = std::move(handler)](const httplib::Request& request,
                                                            httplib::Response& response) {
      {
        const std::scoped_lock lock(mutex_);
        requests_.push_back(request);
      }
      handler(request, response);
    };
    server_.Get(R"(.*)", serve);
    server_.Post(R"(.*)", serve);
    server_.Put(R"(.*)", serve);
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  AwsServer(const AwsServer&) = delete;
  AwsServer& operator=(const AwsServer&) = delete;
  ~AwsServer() {
    server_.stop();
    thread_.join();
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::vector<httplib::Request> requests() const {
    const std::scoped_lock lock(mutex_);
    return requests_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<httplib::Request> requests_;
  httplib::Server server_;
  int port_ = 0;
  std::thread thread_;
};

// Time that only passes when somebody waits.
struct TestTime {
  std::chrono::sys_seconds now{std::chrono::seconds(1'800'000'000)};
  std::vector<std::chrono::milliseconds> waits;

  World world() {
    World world;
    world.now = [this] { return now; };
    world.wait = [this](std::chrono::milliseconds time, const std::stop_token& stop) {
      if (stop.stop_requested()) throw http::Cancelled();
      waits.push_back(time);
      now += std::chrono::ceil<std::chrono::seconds>(time);
    };
    world.random = [] { return 0.5; };
    return world;
  }
};

}  // namespace executors::aws
