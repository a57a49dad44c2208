#include "tests/aws/double.h"

#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "executors/http/client.h"

extern char** environ;

namespace aws_double {

using nlohmann::json;

Double::Double() {
  std::string name = (std::filesystem::temp_directory_path() / "doubleXXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
  directory_ = name;
  std::string program = "/usr/bin/python3";
  std::string script = RUNNER_SOURCE_DIR "/tests/aws/double.py";
  std::string ready = "--ready=" + (directory_ / "ready").string();
  std::string journal = "--journal=" + (directory_ / "journal").string();
  std::array<char*, 5> arguments{program.data(), script.data(), ready.data(), journal.data(), nullptr};
  if (::posix_spawn(&process_, program.c_str(), nullptr, nullptr, arguments.data(), environ) != 0) {
    throw std::runtime_error("no /usr/bin/python3 (make deps)");
  }
  for (int i = 0; i < 3000 && !std::filesystem::exists(directory_ / "ready"); ++i) {
    int status = 0;
    if (::waitpid(process_, &status, WNOHANG) == process_) throw std::runtime_error("the double does not start");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  std::ifstream(directory_ / "ready") >> port_;
}

Double::~Double() {
  ::kill(process_, SIGKILL);
  ::waitpid(process_, nullptr, 0);
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void Double::order(const json& orders) const {
  executors::http::Client client;
  const auto answer = client.send({.method = "POST", .url = url() + "/_double", .body = orders.dump()});
  if (answer.status != 200) throw std::runtime_error("the double refuses " + orders.dump() + ": " + answer.body);
}

std::vector<json> Double::journal() const {
  std::vector<json> notes;
  std::ifstream file(directory_ / "journal");
  for (std::string line; std::getline(file, line);) notes.push_back(json::parse(line));
  return notes;
}

std::vector<std::string> Double::calls() const {
  std::vector<std::string> lines;
  for (const json& note : journal()) {
    lines.push_back(note.value("service", "?") + " " + note.value("operation", "?") + " " + note.value("outcome", "?"));
  }
  return lines;
}

std::size_t Double::done(const std::string& operation) const {
  const std::vector<json> notes = journal();
  return static_cast<std::size_t>(std::count_if(notes.begin(), notes.end(), [&](const json& note) {
    return note.value("operation", "") == operation && note.value("outcome", "").starts_with("done");
  }));
}

json Double::last(const std::string& operation) const {
  json result;
  for (const json& note : journal()) {
    if (note.value("operation", "") == operation) result = note.value("params", json());
  }
  return result;
}

}  // namespace aws_double
