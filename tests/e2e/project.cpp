#include "tests/e2e/project.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

extern char** environ;

namespace e2e {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t shown = 6000;  // bytes of an output in a failure message

std::string shorten(const std::string& text) {
  if (text.size() <= shown) return text;
  return text.substr(0, shown / 2) + "\n[…]\n" + text.substr(text.size() - shown / 2);
}

std::string read_file(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> result;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) result.push_back(line);
  std::sort(result.begin(), result.end());
  return result;
}

bool is(const Json& event, std::string_view kind, std::string_view job) {
  return event.value("event", "") == kind && (job.empty() || event.value("job", "") == job);
}

}  // namespace

// --- Result ------------------------------------------------------------------------------------------------------

std::vector<Json> read_events(const std::string& text) {
  std::vector<Json> events;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    if (!line.starts_with('{')) continue;
    Json event = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (event.is_object()) events.push_back(std::move(event));
  }
  return events;
}

Result read_result(Ended ended) {
  Result result;
  static_cast<Ended&>(result) = std::move(ended);
  result.events = read_events(result.out);
  return result;
}

Json Result::finished(const std::string& job) const {
  Json found;
  int times = 0;
  for (const Json& event : events) {
    if (!is(event, "job_finished", job)) continue;
    found = event;
    ++times;
  }
  if (times != 1) ADD_FAILURE() << times << " job_finished of " << job << " in place of one\n" << *this;
  return found;
}

std::string Result::outcome(const std::string& job) const {
  const Json event = finished(job);
  return event.is_null() ? "" : event.value("outcome", "");
}

std::string Result::reason(const std::string& job) const {
  const Json event = finished(job);
  return event.is_null() ? "" : event.value("reason", "");
}

std::string Result::message(const std::string& job) const {
  const Json event = finished(job);
  return event.is_null() ? "" : event.value("message", "");
}

int Result::exit_code(const std::string& job) const {
  const Json event = finished(job);
  return event.is_null() || !event.contains("exit_code") || event["exit_code"].is_null()
             ? -1
             : event["exit_code"].get<int>();
}

bool Result::allowed(const std::string& job) const {
  const Json event = finished(job);
  return !event.is_null() && event.value("allowed", false);
}

bool Result::finished_at_all(const std::string& job) const { return count("job_finished", job) > 0; }

std::string Result::run_outcome() const {
  for (const Json& event : events) {
    if (is(event, "run_finished", {})) return event.value("outcome", "");
  }
  return {};
}

std::string Result::log(const std::string& job) const {
  std::string text;
  for (const Json& event : events) {
    if (is(event, "log", job)) text += event.value("text", "") + "\n";
  }
  return text;
}

std::string Result::printed(const std::string& job) const {
  std::string text;
  for (const Json& event : events) {
    if (is(event, "log", job) && !event.value("text", "").starts_with("$ ")) text += event.value("text", "") + "\n";
  }
  return text;
}

std::vector<std::string> Result::warnings(const std::string& job) const {
  std::vector<std::string> found;
  for (const Json& event : events) {
    if (is(event, "job_warning", job)) found.push_back(event.value("message", ""));
  }
  return found;
}

int Result::place(std::string_view event, std::string_view job) const {
  const auto found = std::find_if(events.begin(), events.end(), [&](const Json& e) { return is(e, event, job); });
  return found == events.end() ? -1 : static_cast<int>(found - events.begin());
}

std::size_t Result::count(std::string_view event, std::string_view job) const {
  return static_cast<std::size_t>(
      std::count_if(events.begin(), events.end(), [&](const Json& e) { return is(e, event, job); }));
}

std::ostream& operator<<(std::ostream& stream, const Result& result) {
  return stream << "exit code " << result.code << " after " << result.seconds << " s\nstdout:\n"
                << shorten(result.out) << "\nstderr:\n"
                << shorten(result.err);
}

// --- the user ----------------------------------------------------------------------------------------------------

Arguments User::before() const {
  return {"setpriv",           "--reuid",  std::to_string(uid),          "--regid",
          std::to_string(gid), "--groups", std::to_string(engine_group), "--"};
}

Arguments User::before_without_the_group() const {
  return {"setpriv", "--reuid", std::to_string(uid), "--regid", std::to_string(gid), "--clear-groups", "--"};
}

std::optional<User> ordinary_user() {
  if (geteuid() != 0) return std::nullopt;
  const char* host = std::getenv("DOCKER_HOST");
  const std::string socket =
      host != nullptr && std::string_view(host).starts_with("unix://") ? host + 7 : "/var/run/docker.sock";
  struct stat status {};
  if (stat(socket.c_str(), &status) != 0) throw std::runtime_error("no engine at " + socket);
  constexpr unsigned nobody_else = 54321;  // no account is made for it
  return User{nobody_else, nobody_else, status.st_gid};
}

// --- Project -----------------------------------------------------------------------------------------------------

std::string binary() { return RUNNER_BINARY; }

std::string registry() {
  const char* set = std::getenv("RUNNER_TEST_REGISTRY");
  return set == nullptr ? "127.0.0.1:5050" : set;
}

Project::Project(std::optional<User> user) : user_(std::move(user)) {
  std::string name = (fs::temp_directory_path() / "re2e-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
  base_ = fs::canonical(name);
  fs::permissions(base_, fs::perms{0755});
  path_ = base_ / "project";
  home_ = base_ / "home";
  database_ = base_ / "state" / "runner.db";
  fs::create_directories(path_);
  fs::create_directories(home_);
  fs::create_directories(base_ / "state");
  if (user_) fs::copy_file(binary(), base_ / "runner");  // the build may lie where only we may look
  configuration("");
  give_to_user();
}

Project::~Project() {
  if (const std::string left = leftovers(); !left.empty()) {
    if (check_) ADD_FAILURE() << "left behind:\n" << left;
    const std::string id = owner();
    if (used_engine_ && !id.empty()) {
      run_program({"bash", "-c",
                   "f=label=runner.owner=" + id +
                       "; docker ps -aqf $f | xargs -r docker rm -fv; docker network ls -qf $f | xargs -r docker "
                       "network rm; docker volume ls -qf $f | xargs -r docker volume rm"});
    }
    for (const std::string& process : processes()) ::kill(std::atoi(process.c_str()), SIGKILL);
  }
  std::error_code ignored;
  fs::remove_all(base_, ignored);
  // Files of a container's root, which are not ours to remove.
  if (fs::exists(base_, ignored) && geteuid() != 0) {
    run_program({"docker", "run", "--rm", "-v", base_.parent_path().string() + ":/s", "busybox", "rm", "-rf",
                 "/s/" + base_.filename().string()});
  }
}

void Project::give_to_user() const {
  if (user_)
    sh("chown -Rh " + std::to_string(user_->uid) + ":" + std::to_string(user_->gid) + " '" + base_.string() + "'");
}

Project& Project::file(const fs::path& relative, std::string_view content, unsigned mode) {
  const fs::path path = path_ / relative;
  fs::create_directories(path.parent_path());
  std::ofstream stream(path, std::ios::binary | std::ios::trunc);
  stream.write(content.data(), static_cast<std::streamsize>(content.size()));
  stream.close();
  if (!stream) throw std::runtime_error("cannot write " + path.string());
  fs::permissions(path, fs::perms{mode});
  give_to_user();
  return *this;
}

std::string Project::read(const fs::path& relative) const { return read_file(path_ / relative); }
bool Project::has(const fs::path& relative) const { return fs::exists(fs::symlink_status(path_ / relative)); }

std::string Project::git(const std::string& words) {
  const std::string settings =
      "git -c user.name='A User' -c user.email=user@example.com -c safe.directory='*' -c init.defaultBranch=main "
      "-c commit.gpgsign=false -c core.hooksPath=/dev/null ";
  std::string out = sh("cd '" + path_.string() + "'; unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE; export HOME='" +
                       home_.string() + "'; " + settings + words);
  give_to_user();
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

Project& Project::commit(const std::string& message) {
  if (!fs::exists(path_ / ".git")) git("init -q");
  git("add -A");
  git("commit -q --allow-empty -m '" + message + "'");
  return *this;
}

Project& Project::configuration(std::string_view toml) {
  const fs::path path = base_ / "config.toml";
  std::ofstream(path) << toml;
  return environment("RUNNER_CONFIG", path.string());
}

Project& Project::use_database(fs::path path) {
  database_ = std::move(path);
  return *this;
}

Project& Project::environment(const std::string& name, const std::string& value) {
  environment_[name] = value;
  return *this;
}

Project& Project::on_engine(const std::string& docker_host) { return environment("DOCKER_HOST", docker_host); }

std::map<std::string, std::string> Project::environment_of(const Options& options) const {
  std::map<std::string, std::string> environment;
  // Of our own environment only what belongs to the machine: nothing that would tell the program of the CI we run in.
  for (const char* name : {"PATH", "TMPDIR", "DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "ASAN_OPTIONS",
                           "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"}) {
    if (const char* value = std::getenv(name)) environment[name] = value;
  }
  environment["LC_ALL"] = "C.UTF-8";
  environment["HOME"] = home_.string();
  environment["TERM"] = "xterm";
  environment["RUNNER_DATABASE"] = database_.string();
  for (const auto& [name, value] : environment_) environment[name] = value;
  for (const auto& [name, value] : options.env) {
    if (value)
      environment[name] = *value;
    else
      environment.erase(name);
  }
  return environment;
}

std::unique_ptr<Process> Project::start(const Arguments& arguments, Options options) {
  if (options.directory.empty()) options.directory = path_;
  if (user_ && options.before.empty()) options.before = user_->before();
  const auto has_word = [&](const char* word) {
    return std::find(arguments.begin(), arguments.end(), word) != arguments.end();
  };
  if ((has_word("exec") && !has_word("shell")) || has_word("resume")) used_engine_ = true;
  Arguments command{user_ ? (base_ / "runner").string() : binary()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return std::make_unique<Process>(command, environment_of(options), options);
}

Result Project::run(const Arguments& arguments, Options options) {
  return read_result(start(arguments, std::move(options))->wait());
}

std::unique_ptr<Process> Project::start_exec(const Arguments& arguments, Options options) {
  Arguments all{"exec", "--executor", "shell", "--output", "json"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return start(all, std::move(options));
}

std::unique_ptr<Process> Project::start_docker(const Arguments& arguments, Options options) {
  Arguments all{"exec", "--output", "json"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return start(all, std::move(options));
}

Result Project::exec(const Arguments& arguments, Options options) {
  return read_result(start_exec(arguments, std::move(options))->wait());
}

Result Project::docker(const Arguments& arguments, Options options) {
  return read_result(start_docker(arguments, std::move(options))->wait());
}

std::string Project::logs(const Arguments& arguments) {
  Arguments all{"logs"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  Result result = run(all);
  EXPECT_EQ(result.code, 0) << result;
  return std::move(result.out);
}

Json Project::runs() {
  const Result result = run({"runs", "--output", "json"});
  EXPECT_EQ(result.code, 0) << result;
  return Json::parse(result.out, nullptr, false);
}

std::string Project::owner() const {
  if (!fs::exists(database_)) return {};
  const Ended answer = run_program(
      {"sqlite3", "-cmd", ".timeout 10000", database_.string(), "SELECT value FROM meta WHERE key='owner'"});
  return answer.out.substr(0, answer.out.find('\n'));
}

std::vector<std::string> Project::containers(const std::string& more_filters) const {
  const std::string id = owner();
  if (id.empty()) return {};
  Options options;
  if (const auto host = environment_.find("DOCKER_HOST"); host != environment_.end()) {
    options.env["DOCKER_HOST"] = host->second;
  }
  return lines(
      run_program(
          {"bash", "-c", "docker ps -a --format '{{.Names}}' --filter label=runner.owner=" + id + " " + more_filters},
          options)
          .out);
}

std::vector<std::string> Project::networks() const {
  const std::string id = owner();
  return id.empty() ? std::vector<std::string>{}
                    : lines(sh("docker network ls --format '{{.Name}}' --filter label=runner.owner=" + id));
}

std::vector<std::string> Project::volumes() const {
  const std::string id = owner();
  return id.empty() ? std::vector<std::string>{}
                    : lines(sh("docker volume ls --format '{{.Name}}' --filter label=runner.owner=" + id));
}

std::vector<std::string> Project::job_directories() const {
  std::vector<std::string> found;
  if (!fs::exists(work())) return found;
  for (const auto& entry : fs::directory_iterator(work())) {
    // s: the snapshots; c: the caches
    if (const auto name = entry.path().filename(); name != "s" && name != "c") found.push_back(name.string());
  }
  return found;
}

std::vector<std::string> Project::processes() const {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string pid = entry.path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    std::string command;
    try {
      command = read_file(entry.path() / "cmdline");
    } catch (const std::ios_base::failure&) {
      continue;  // it has just ended
    }
    std::replace(command.begin(), command.end(), '\0', ' ');
    if (command.find(work().string() + "/") != std::string::npos) found.push_back(pid + " " + command);
  }
  return found;
}

std::string Project::leftovers() const {
  std::string text;
  const auto add = [&text](const char* what, const std::vector<std::string>& names) {
    for (const std::string& name : names) text += std::string(what) + " " + name + "\n";
  };
  if (used_engine_ && environment_.count("DOCKER_HOST") == 0) {
    add("container", containers());
    add("network", networks());
    add("volume", volumes());
  }
  add("job directory", job_directories());
  add("process", processes());
  return text;
}

}  // namespace e2e
