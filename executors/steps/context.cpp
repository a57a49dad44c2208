#include "executors/steps/context.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "executors/unique_fd.h"
#include "executors/workspace/files.h"

namespace executors::steps {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

constexpr int most_tries = 4;  // of a call whose answers are cut off; each is preceded by a look

std::string text_of(const Facts& facts) {
  return nlohmann::json(facts).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Facts facts_of(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? json.get<Facts>() : Facts{};
}

// Of the world, not of the request: it may work at the next look.
bool may_pass(const aws::CallError& error) { return error.trouble != aws::Trouble::none; }

// Reads a regular file below `root` without following a link out of it; absent: there is none.
std::optional<std::string> read_below(const fs::path& root, const fs::path& relative, std::size_t most) {
  UniqueFd directory = open_root(root);
  if (!directory) return std::nullopt;
  const std::string parent = relative.parent_path().string();
  try {
    if (!parent.empty()) directory = open_below(directory.get(), parent);
  } catch (const std::system_error&) {
    return std::nullopt;
  }
  const UniqueFd file(::openat(directory.get(), relative.filename().c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!file || fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  if (static_cast<std::uintmax_t>(status.st_size) > most) {
    throw StepFailed(fmt::format("{} has {} bytes; at most {} are read", relative.string(), status.st_size, most));
  }
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t read = 0;
  while (read < text.size()) {
    const ssize_t part = ::read(file.get(), text.data() + read, text.size() - read);
    if (part < 0 && errno == EINTR) continue;
    if (part <= 0) break;
    read += static_cast<std::size_t>(part);
  }
  text.resize(read);
  return text;
}

WorldError cannot(const std::string& what, const fs::path& path) {
  return {"runner_system_failure", fmt::format("cannot {} {}: {}", what, path.string(), std::strerror(errno))};
}

}  // namespace

void write_private(const fs::path& path, std::string_view text) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) throw cannot("write", path);
  while (!text.empty()) {
    const ssize_t written = ::write(file.get(), text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) throw cannot("write", path);
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void make_private_directory(const fs::path& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) throw cannot("make", path);
}

void Context::say(std::string_view text) {
  std::string line(text);
  if (line.empty() || line.back() != '\n') line += '\n';
  parts_.log.write(line);
}

void Context::output(std::string name, std::string value) {
  std::erase_if(outputs_, [&](const auto& each) { return each.first == name; });
  outputs_.emplace_back(std::move(name), std::move(value));
}

void Context::report(std::string_view kind, std::string_view name, std::string_view text) {
  Collected made;
  made.kind = kind;
  made.directory = parts_.spec.layer.string() + fmt::format(".{}", kind);
  make_private_directory(made.directory);
  write_private(made.directory / name, text);
  made.files = 1;
  made.bytes = text.size();
  report(std::move(made));
}

void Context::report(Collected made) { reports_.push_back(std::move(made)); }

fs::path ToolEnd::file(std::string_view kind) const {
  for (const Collected& each : result.collected) {
    if (each.kind != kind) continue;
    fs::path found;
    for (const auto& entry : fs::recursive_directory_iterator(each.directory)) {
      if (!entry.is_regular_file()) continue;
      if (!found.empty()) return {};
      found = entry.path();
    }
    return found;
  }
  return {};
}

std::string Context::read_file(std::string_view path, std::size_t most) const {
  const std::string& project = parts_.spec.project_dir;
  fs::path relative = fs::path(path).lexically_normal();
  if (relative.is_absolute()) relative = relative.lexically_relative(project);
  if (relative.empty() || relative == "." || *relative.begin() == "..") {
    throw StepFailed(fmt::format("{} is no file of the project", path));
  }
  const auto& inputs = parts_.spec.inputs;
  for (auto layer = inputs.rbegin(); layer != inputs.rend(); ++layer) {
    if (auto text = read_below(*layer, relative, most)) return std::move(*text);
  }
  if (!parts_.spec.sources.snapshot.empty()) {
    if (auto text = read_below(parts_.spec.sources.snapshot, relative, most)) return std::move(*text);
  }
  throw StepFailed(fmt::format(
      "there is no file {} among the project's sources and the artifacts of the jobs before (see `needs`)", path));
}

std::optional<Facts> Context::remembered(std::string_view name) const {
  const auto entry = parts_.journal.find(name);
  if (!entry || !entry->answer) return std::nullopt;
  return facts_of(*entry->answer);
}

void Context::note(std::string_view name, const Facts& facts) {
  parts_.journal.intend(name, "{}");
  parts_.journal.answer(name, text_of(facts));
}

std::string Context::token() {
  const JobId& id = job();
  const std::string mine = fmt::format("{}-{}-{}-{}", id.owner.substr(0, 8), id.run, id.job, id.attempt);
  return remember("token", [&] { return Facts{{"token", mine}}; }).at("token");
}

Facts Context::remember(std::string_view name, const std::function<Facts()>& find) {
  if (auto known = remembered(name)) return std::move(*known);
  Facts found = find();
  note(name, found);
  return found;
}

Facts Context::once(std::string_view name, const Facts& intent, const Look& look, const std::function<Facts()>& call) {
  const auto entry = parts_.journal.find(name);
  if (entry && entry->answer) return facts_of(*entry->answer);
  const auto answered = [&](Facts facts) {
    parts_.journal.answer(name, text_of(facts));
    return facts;
  };
  bool open = entry.has_value();  // somebody may have made it
  if (!open) parts_.journal.intend(name, text_of(intent));
  for (int tries = 1;; ++tries) {
    if (open && look) {
      if (auto found = look()) return answered(std::move(*found));
    }
    try {
      return answered(call());
    } catch (const aws::CallError& error) {
      if (!error.maybe_done() || tries >= most_tries) throw;
      say(fmt::format("{}; looking whether it was done", error.what()));
      open = true;
      pause(aws::pause_before(tries + 1, 0.5), parts_.stop);
    }
  }
}

bool Context::poll(const Pace& pace, const std::function<bool()>& look, const std::stop_token& stop,
                   std::optional<std::chrono::system_clock::time_point> since) {
  const auto spent =
      since ? std::max(now() - *since, std::chrono::system_clock::duration(0)) : std::chrono::system_clock::duration(0);
  const auto deadline = Steady::now() + pace.wait - std::chrono::duration_cast<Steady::duration>(spent);
  milliseconds between = pace.first;
  bool last = false;
  for (;;) {
    try {
      if (look()) return true;
    } catch (const aws::CallError& error) {
      if (!may_pass(error)) throw;
      say(fmt::format("{}; going on", error.what()));
    } catch (const aws::SetupError& error) {
      say(fmt::format("{}; going on", error.what()));
    }
    if (last) return false;
    // Not all looks of all jobs at the same moment.
    const auto jitter = 0.8 + 0.4 * parts_.world.random();
    auto next =
        parts_.poll.value_or(milliseconds(static_cast<std::int64_t>(static_cast<double>(between.count()) * jitter)));
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - Steady::now());
    if (left <= next) {
      last = true;  // one last look at the deadline
      next = std::max(left, milliseconds(0));
    }
    pause(next, stop);
    between = std::min(pace.longest, between + between / 4);
  }
}

void Context::pause(milliseconds time, const std::stop_token& stop) const { parts_.world.wait(time, stop); }

std::string variable_part(std::string_view text) {
  std::string part;
  for (const char c : text) {
    part += std::isalnum(static_cast<unsigned char>(c)) != 0
                ? static_cast<char>(std::toupper(static_cast<unsigned char>(c)))
                : '_';
  }
  return part;
}

std::string spoken(std::chrono::seconds time) {
  const auto seconds = time.count();
  if (seconds < 60) return fmt::format("{} s", seconds);
  if (seconds < 3600)
    return seconds % 60 == 0 ? fmt::format("{} min", seconds / 60)
                             : fmt::format("{} min {} s", seconds / 60, seconds % 60);
  return fmt::format("{} h {} min", seconds / 3600, seconds % 3600 / 60);
}

JobResult passed() {
  JobResult result;
  result.outcome = pipelines::Outcome::passed;
  result.exit_code = 0;
  return result;
}

JobResult failed(std::string message) {
  JobResult result;
  result.outcome = pipelines::Outcome::failed;
  result.exit_code = 1;
  result.reason = "script_failure";
  result.message = std::move(message);
  return result;
}

}  // namespace executors::steps
