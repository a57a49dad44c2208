// A user's project in a folder of its own, with a database of its own, and the real program run in it.
//
//   Project project;
//   project.pipeline("test: {script: exit 7}");
//   const Result result = project.exec();
//   EXPECT_EQ(result.code, 1) << result;
//   EXPECT_EQ(result.outcome("test"), "failed");
//
// When it goes, it sees to it that nothing of ours is left: no container, network, volume, job directory or process.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/e2e/process.h"

namespace e2e {

using Json = nlohmann::json;

// What a run of the program came to; with `--output json`, its events.
struct Result : Ended {
  std::vector<Json> events;

  // The `job_finished` event; null, and a failed test, when there is not exactly one.
  Json finished(const std::string& job) const;
  std::string outcome(const std::string& job) const;  // empty when the job did not finish
  std::string reason(const std::string& job) const;
  std::string message(const std::string& job) const;
  int exit_code(const std::string& job) const;  // -1: none
  bool allowed(const std::string& job) const;
  bool finished_at_all(const std::string& job) const;
  std::string run_outcome() const;
  std::string log(const std::string& job) const;      // its lines, each with a newline, `$ command` lines too
  std::string printed(const std::string& job) const;  // the same without the `$ command` lines
  std::vector<std::string> warnings(const std::string& job) const;
  // Index of the first event of that kind (and job); -1: there is none.
  int place(std::string_view event, std::string_view job = {}) const;
  std::size_t count(std::string_view event, std::string_view job = {}) const;
};
std::ostream& operator<<(std::ostream&, const Result&);
Result read_result(Ended);
// The objects among the lines of a text.
std::vector<Json> read_events(const std::string& text);

// An ordinary user in the group that may use the engine. There is no account of that number: none is needed.
struct User {
  unsigned uid = 0, gid = 0, engine_group = 0;
  Arguments before() const;  // the words that make a command this user's
  Arguments before_without_the_group() const;
};
std::optional<User> ordinary_user();  // absent: we are one ourselves

class Project {
 public:
  explicit Project(std::optional<User> user = {});
  Project(const Project&) = delete;
  Project& operator=(const Project&) = delete;
  ~Project();

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::filesystem::path& below) const { return path_ / below; }
  const std::filesystem::path& home() const { return home_; }
  const std::filesystem::path& database() const { return database_; }
  std::filesystem::path work() const { return database_.string() + ".work"; }

  // Files, relative to the project.
  Project& file(const std::filesystem::path&, std::string_view content, unsigned mode = 0644);
  Project& pipeline(std::string_view text) { return file("pipeline.yml", text); }
  std::string read(const std::filesystem::path&) const;
  bool has(const std::filesystem::path&) const;
  // Everything there is as one commit; makes the repository when there is none.
  Project& commit(const std::string& message = "a commit");
  std::string git(const std::string& words);  // `git WORDS` in the project; its output without the last newline
  Project& configuration(std::string_view toml);
  Project& use_database(std::filesystem::path);
  Project& environment(const std::string& name, const std::string& value);
  Project& on_engine(const std::string& docker_host);

  // The program.
  Result run(const Arguments&, Options = {});
  std::unique_ptr<Process> start(const Arguments&, Options = {});
  // `exec --output json` by the shell executor, or in Docker.
  Result exec(const Arguments& = {}, Options = {});
  Result docker(const Arguments& = {}, Options = {});
  std::unique_ptr<Process> start_exec(const Arguments& = {}, Options = {});
  std::unique_ptr<Process> start_docker(const Arguments& = {}, Options = {});
  // `logs …`: exact bytes; `runs --output json`.
  std::string logs(const Arguments& = {});
  Json runs();

  // What of ours there is.
  std::string owner() const;                                                        // the database's id
  std::vector<std::string> containers(const std::string& more_filters = {}) const;  // names, sorted
  std::vector<std::string> networks() const, volumes() const;
  std::vector<std::string> job_directories() const;
  std::vector<std::string> processes() const;  // of the shell executor's jobs: pid and command line
  std::string leftovers() const;               // all of these in words; empty: nothing
  // The test leaves something on purpose.
  void leave_alone() { check_ = false; }

 private:
  std::map<std::string, std::string> environment_of(const Options&) const;
  void give_to_user() const;

  std::optional<User> user_;
  std::filesystem::path base_, path_, home_, database_;
  std::map<std::string, std::string> environment_;
  bool used_engine_ = false, check_ = true;
};

// Whether an engine answers; tests that need one fail without.
std::string binary();
std::string registry();  // host:port of the local registry

}  // namespace e2e
