// The naive floor: what a runner costs that asks the engine for one container after the other, and nothing else.
//
//   floor jobs N               N trivial containers
//   floor log LINES BYTES      one container that prints so much; attached to and thrown away
//   floor artifact MB HOST     one container makes a file of the host's directory HOST (mounted at /bench), as the
//                              runner's job does; it goes out of that one and into the next by the engine's archives
//   floor engine               the engine's version, for the table
//
// Always create → attach → start → read → wait → remove on the default bridge network. Prints seconds; `artifact` also
// those from the end of the first container to the start of the second, and keeps the archive in memory only: a floor
// stores nothing.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <functional>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "executors/docker/engine.h"

namespace {

using executors::docker::Endpoint;
using executors::docker::Engine;

using Clock = std::chrono::steady_clock;

double since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

std::string create(Engine& engine, const std::string& script, const std::vector<std::string>& binds = {}) {
  const nlohmann::json body{{"Image", "busybox"},
                            {"Cmd", {"sh", "-c", script}},
                            {"AttachStdout", true},
                            {"AttachStderr", true},
                            {"HostConfig", {{"Binds", binds}}}};
  return engine.create_container({}, body.dump());
}

// Returns how many bytes it printed.
std::size_t run(
    Engine& engine, const std::string& id, const std::function<void()>& started = [] {}) {
  std::size_t bytes = 0;
  engine.attach(
      id,
      [&] {
        engine.start(id);
        started();
      },
      [&](std::string_view output) {
        bytes += output.size();
        return true;
      },
      {});
  if (const int code = engine.wait(id, {}); code != 0) {
    throw std::runtime_error(fmt::format("the floor's container ended with {}", code));
  }
  return bytes;
}

void jobs(Engine& engine, int count) {
  for (int i = 0; i < count; ++i) {
    const std::string id = create(engine, "echo hi");
    run(engine, id);
    engine.remove_container(id);
  }
}

void log(Engine& engine, std::size_t lines, std::size_t width) {
  const std::string line(width - 1, 'x');
  const std::string id =
      create(engine, fmt::format("awk 'BEGIN {{ for (i = 0; i < {}; i++) print \"{}\" }}'", lines, line));
  const std::size_t bytes = run(engine, id);
  engine.remove_container(id);
  if (bytes != lines * width) {
    throw std::runtime_error(fmt::format("{} bytes came, not {}", bytes, lines * width));
  }
}

// Returns the seconds between the two.
double artifact(Engine& engine, std::size_t megabytes, const std::string& host) {
  const std::size_t size = megabytes * 1'000'000;
  const std::string first = create(engine, "mkdir out && cp /bench/seed out/big", {host + ":/bench:ro"});
  run(engine, first);
  const auto ended = Clock::now();
  std::string tar;
  tar.reserve(size + 65536);
  engine.get_archive(first, "/out", [&](std::string_view bytes) {
    tar += bytes;
    return true;
  });
  engine.remove_container(first);

  const std::string second = create(engine, fmt::format("[ $(stat -c %s out/big) = {} ]", size));
  std::size_t sent = 0;
  engine.put_archive(second, "/", [&] {
    constexpr std::size_t piece = 1 << 20;
    const std::size_t from = std::exchange(sent, std::min(tar.size(), sent + piece));
    return tar.substr(from, sent - from);
  });
  double between = 0;
  run(engine, second, [&] { between = since(ended); });
  engine.remove_container(second);
  return between;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  try {
    Engine engine(Endpoint::from_environment());
    const auto number = [&](std::size_t index) { return std::stoul(args.at(index)); };
    const std::string what = args.empty() ? "" : args[0];
    const auto begin = Clock::now();
    if (what == "jobs" && args.size() == 2) {
      jobs(engine, static_cast<int>(number(1)));
      fmt::print("{:.4f}\n", since(begin));
    } else if (what == "log" && args.size() == 3) {
      log(engine, number(1), number(2));
      fmt::print("{:.4f}\n", since(begin));
    } else if (what == "artifact" && args.size() == 3) {
      const double between = artifact(engine, number(1), args[2]);
      fmt::print("{:.4f} {:.4f}\n", since(begin), between);
    } else if (what == "engine" && args.size() == 1) {
      const auto info = engine.info();
      fmt::print("{} ({}, API {}, cgroup v{})\n", info.version, info.storage_driver, info.api_version,
                 info.cgroup_version);
    } else {
      fmt::print(stderr, "usage: floor jobs N | log LINES BYTES | artifact MB HOST | engine\n");
      return 2;
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "floor: {}\n", error.what());
    return 1;
  }
  return 0;
}
