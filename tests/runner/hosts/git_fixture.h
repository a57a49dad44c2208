// Real repositories, made by the git program: nothing of the user's configuration, fixed names and times.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/runner/store/fixture.h"

namespace runner::test {

inline std::string shell(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::string out;
  char buffer[4096];
  for (std::size_t got = 0; (got = ::fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
    out.append(buffer, got);
  }
  EXPECT_EQ(::pclose(pipe), 0) << command << "\n" << out;
  while (out.ends_with('\n')) {
    out.pop_back();
  }
  return out;
}

class GitRepository {
 public:
  explicit GitRepository(fs::path path, const std::string& branch = "main") : path_(std::move(path)) {
    fs::create_directories(path_);
    git("init -q -b " + branch);
  }
  std::string git(const std::string& arguments) const {
    return shell("cd '" + path_.string() +
                 "' && GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_AUTHOR_NAME='Ada Lovelace' "
                 "GIT_AUTHOR_EMAIL=ada@example.org GIT_COMMITTER_NAME=Committer GIT_COMMITTER_EMAIL=c@example.org "
                 "GIT_AUTHOR_DATE='1700000000 +0100' GIT_COMMITTER_DATE='1700000000 +0200' git "
                 "-c safe.directory='*' -c protocol.file.allow=always " +
                 arguments);
  }
  // Writes the file and commits everything; returns the sha.
  std::string commit(const std::string& file, const std::string& text, const std::string& message = "a commit") const {
    write(path_ / file, text);
    git("add -A");
    git("commit -q --allow-empty -m '" + message + "'");
    return git("rev-parse HEAD");
  }
  const fs::path& path() const { return path_; }
  fs::path operator/(const fs::path& below) const { return path_ / below; }

 private:
  fs::path path_;
};

}  // namespace runner::test
