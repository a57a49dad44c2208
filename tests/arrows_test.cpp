// The arrows between the rooms (docs/architecture.md), read from the includes of every source: who may know whom, and
// in which files a library may be seen.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;

struct Include {
  std::string file;  // "runner/store/store.cpp"
  int line = 0;
  std::string target;  // "pipelines/plan.h", "git2.h"
};

bool is_header(const std::string& file) { return file.ends_with(".h"); }

std::vector<Include> read_includes() {
  static const std::regex pattern(R"(\s*#\s*include\s*[<"]([^>"]+)[>"].*)");
  std::vector<Include> all;
  const fs::path root = RUNNER_SOURCE_DIR;
  for (const char* room : {"pipelines", "executors", "runner"}) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / room)) {
      const std::string file = entry.path().lexically_relative(root).generic_string();
      if (!entry.is_regular_file() || !(file.ends_with(".cpp") || is_header(file))) continue;
      std::ifstream in(entry.path());
      int number = 0;
      for (std::string line; std::getline(in, line);) {
        ++number;
        if (std::smatch match; std::regex_match(line, match, pattern)) all.push_back({file, number, match[1]});
      }
    }
  }
  return all;
}

const std::vector<Include>& includes() {
  static const std::vector<Include> all = read_includes();
  return all;
}

bool begins_with_any(std::string_view text, const std::vector<std::string>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return text.starts_with(prefix); });
}

// Files that begin so include nothing that begins so.
void never(const std::vector<std::string>& from, const std::vector<std::string>& to) {
  for (const Include& include : includes()) {
    EXPECT_FALSE(begins_with_any(include.file, from) && begins_with_any(include.target, to))
        << include.file << ":" << include.line << ": must not include " << include.target;
  }
}

// A library, how its headers begin, and the files that may include them.
struct Library {
  const char* name;
  std::vector<std::string> headers;
  std::vector<std::string> files;           // prefixes
  std::vector<std::string> public_in = {};  // headers of ours that may: their purpose is the library
};

const std::vector<Library>& libraries() {
  static const std::vector<Library> all = {
      {"yaml-cpp", {"yaml-cpp/"}, {"pipelines/yaml_tree.cpp"}},
      {"cpp-httplib", {"httplib.h"}, {"executors/docker/engine_http.", "runner/hosts/remote_file.", "runner/server/"}},
      {"SQLiteCpp",
       {"SQLiteCpp/", "sqlite3.h"},
       {"runner/store/"},
       {"runner/store/database.h", "runner/store/store_impl.h"}},
      {"libgit2", {"git2.h", "git2/"}, {"runner/hosts/libgit."}, {"runner/hosts/libgit.h"}},
      {"CLI11", {"CLI/"}, {"runner/cli/", "runner/main.cpp"}},
      {"toml++", {"toml++/", "toml.hpp"}, {"runner/config/"}},
      {"libarchive", {"archive.h", "archive_entry.h"}, {"executors/", "runner/store/"}},
      {"zstd", {"zstd.h", "zdict.h"}, {"runner/store/"}},
      {"libcurl", {"curl/"}, {"executors/http/", "runner/hosts/"}},
      {"libsodium", {"sodium.h"}, {"runner/secrets/", "runner/store/"}},
      {"pugixml", {"pugixml.hpp"}, {"executors/aws/", "executors/steps/", "runner/"}},
      {"RE2", {"re2/"}, {"pipelines/", "runner/run/coverage."}, {"pipelines/expression_node.h"}},
      {"OpenSSL", {"openssl/"}, {"pipelines/", "executors/", "runner/"}},
      {"nlohmann_json",
       {"nlohmann/"},
       {"executors/", "runner/"},
       {"executors/aws/", "executors/docker/json.h", "runner/run/report_json.h", "runner/cli/plan_json.h"}},
      {"fmt", {"fmt/"}, {"pipelines/", "executors/", "runner/"}, {"runner/cli/say.h"}},
  };
  return all;
}

TEST(Arrows, ThereIsSomethingToRead) { EXPECT_GT(includes().size(), 200U); }

TEST(Arrows, PipelinesKnowNobody) { never({"pipelines/"}, {"executors/", "runner/"}); }

TEST(Arrows, PipelinesTouchNothingOutside) {
  // The language: text in, plan out. No clock, file, socket, thread or environment variable.
  never({"pipelines/"}, {"filesystem", "fstream", "thread", "mutex", "condition_variable", "future", "unistd.h", "sys/",
                         "fcntl.h", "netinet/", "random"});
}

TEST(Arrows, ExecutorsKnowOnlyPipelines) { never({"executors/"}, {"runner/"}); }

TEST(Arrows, ExecutorsDoNotKnowThePlan) { never({"executors/"}, {"pipelines/plan.h", "pipelines/parse.h"}); }

TEST(Arrows, TheEngineKnowsNoExecutor) {
  for (const Include& include : includes()) {
    const bool engine = include.file.starts_with("executors/docker/engine");
    const bool knows =
        include.target == "executors/make.h" || include.target.ends_with("_executor.h") ||
        include.target.ends_with("_execution.h") || include.target == "executors/docker/container_spec.h" ||
        include.target == "executors/docker/workspace.h" || include.target == "executors/job_directory.h";
    EXPECT_FALSE(engine && knows) << include.file << ":" << include.line << ": must not include " << include.target;
  }
}

TEST(Arrows, TheStoreKnowsNeitherSchedulerNorServer) {
  never({"runner/store/"}, {"runner/server/", "runner/run/", "runner/cli/", "runner/hosts/", "runner/config/"});
}

TEST(Arrows, TheSchedulerDoesNotKnowTheStore) {
  never({"runner/run/scheduler", "runner/run/job_thread", "runner/run/job_factory", "runner/run/console",
         "runner/run/events"},
        {"runner/store/", "runner/cli/", "runner/server/"});
}

TEST(Arrows, NothingButTheProgramKnowsTheCommandLine) {
  for (const Include& include : includes()) {
    const bool program = include.file.starts_with("runner/cli/") || include.file == "runner/main.cpp";
    EXPECT_FALSE(!program && include.target.starts_with("runner/cli/"))
        << include.file << ":" << include.line << ": must not include " << include.target;
  }
}

TEST(Arrows, AnotherImplementationIsReachedThroughItsFactory) {
  never({"runner/"}, {"executors/docker/", "executors/shell/"});
  never({"executors/docker/"}, {"executors/shell/"});
  never({"executors/shell/"}, {"executors/docker/"});
}

TEST(Libraries, AreSeenOnlyWhereTheyBelong) {
  for (const Include& include : includes()) {
    for (const Library& library : libraries()) {
      if (!begins_with_any(include.target, library.headers)) continue;
      EXPECT_TRUE(begins_with_any(include.file, library.files))
          << include.file << ":" << include.line << ": " << library.name << " is not for this file";
    }
  }
}

TEST(Libraries, AreNotInHeadersButThoseWhosePurposeTheyAre) {
  for (const Include& include : includes()) {
    if (!is_header(include.file)) continue;
    for (const Library& library : libraries()) {
      if (!begins_with_any(include.target, library.headers)) continue;
      EXPECT_TRUE(begins_with_any(include.file, library.public_in))
          << include.file << ":" << include.line << ": a header must not include " << include.target;
    }
  }
}

TEST(Words, ForPeopleAreSaidByWhatCannotFail) {
  // fmt::print throws when the terminal is closed or the disk is full, in the middle of whatever goes on.
  const fs::path root = RUNNER_SOURCE_DIR;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / "runner")) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path());
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    EXPECT_EQ(text.find("print(stderr"), std::string::npos) << entry.path() << ": use say() (runner/cli/say.h)";
  }
}

TEST(Headers, AreGuardedOnce) {
  const fs::path root = RUNNER_SOURCE_DIR;
  for (const char* room : {"pipelines", "executors", "runner"}) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / room)) {
      if (entry.path().extension() != ".h") continue;
      std::ifstream in(entry.path());
      const std::string text{std::istreambuf_iterator<char>(in), {}};
      EXPECT_NE(text.find("#pragma once"), std::string::npos) << entry.path();
    }
  }
}

}  // namespace
