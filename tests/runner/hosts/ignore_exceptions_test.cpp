// Git itself is the oracle: for each layout, the sources are what `git ls-files` says.
#include "runner/hosts/ignore_exceptions.h"

#include <gmock/gmock.h>

#include <sstream>

#include "runner/hosts/git.h"
#include "tests/runner/hosts/git_fixture.h"

namespace runner::test {
namespace {

std::vector<std::string> as_git_has_it(GitRepository& repository) {
  std::istringstream lines(repository.git("-c core.quotePath=false ls-files --others --cached --exclude-standard"));
  std::vector<std::string> paths;
  for (std::string line; std::getline(lines, line);) paths.push_back(line);
  std::sort(paths.begin(), paths.end());
  return paths;
}

TEST(IgnoreExceptionsTest, SourcesAreWhatGitSays) {
  TemporaryDirectory directory;
  GitRepository repository(directory / "project");
  const auto write = [&](const std::string& path, const std::string& text) { test::write(repository / path, text); };
  write(".gitignore", "*.o\n*.log\n/gen\nkeep/*\n!keep/this\n");
  write("src/.gitignore", "!kept.o\n!sub/*.o\n# !a.o\n\\!odd\n!deep/**/z.o\n!only/\n");
  write("src/sub/.gitignore", "b.o\n");
  write("lib/.gitignore", "*.txt\n!*.txt\n!/top.o\n!spaced.o   \n");
  for (const char* path : {"src/a.o",          "src/kept.o",      "src/sub/a.o",    "src/sub/b.o",  "src/sub/kept.o",
                           "src/deep/x/y/z.o", "src/deep/z.o",    "src/deep/x/q.o", "src/only/c.o", "src/!odd",
                           "lib/top.o",        "lib/below/top.o", "lib/spaced.o",   "lib/a.txt",    "lib/below/kept.o",
                           "gen/kept.o",       "keep/this",       "keep/that",      "a.log",        "src/a.log"}) {
    write(path, "x");
  }
  EXPECT_EQ(source_list(directory / "project").paths, as_git_has_it(repository));
}

}  // namespace
}  // namespace runner::test
