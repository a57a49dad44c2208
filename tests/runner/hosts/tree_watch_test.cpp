#include "runner/hosts/tree_watch.h"

#include <gmock/gmock.h>

#include <thread>

#include "runner/hosts/sources.h"
#include "tests/runner/hosts/git_fixture.h"

namespace runner {
namespace {

using namespace test;  // NOLINT: the fixture language
using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

using Paths = std::vector<std::string>;

class TreeWatchTest : public ::testing::Test {
 protected:
  TreeWatch::Options options() const {
    TreeWatch::Options how;
    how.project = repository.path();
    how.quiet = 30ms;
    how.polling = 30ms;
    return how;
  }
  // Empty: nothing until then.
  static Paths wait(TreeWatch& watch, std::chrono::milliseconds patience = 20s) {
    std::stop_source stop;
    const std::jthread clock([&](const std::stop_token& over) {
      const auto end = std::chrono::steady_clock::now() + patience;
      while (!over.stop_requested() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(5ms);
      stop.request_stop();
    });
    return watch.wait(stop.get_token()).value_or(Paths{});
  }

  TemporaryDirectory dir;
  GitRepository repository{dir / "project"};
};

TEST_F(TreeWatchTest, TellsWhatChangedOnce) {
  write(repository.path() / "a", "1");
  write(repository.path() / "b", "1");
  TreeWatch watch(options());
  EXPECT_EQ(watch.trouble(), "");
  EXPECT_EQ(wait(watch, 100ms), Paths{});
  write(repository.path() / "b", "22");
  write(repository.path() / "new/deep/c", "1");
  fs::remove(repository.path() / "a");
  EXPECT_EQ(wait(watch), (Paths{"a", "b", "new/deep/c"}));
  EXPECT_EQ(wait(watch, 100ms), Paths{});
  write(repository.path() / "new/deep/d", "1");
  EXPECT_EQ(wait(watch), Paths{"new/deep/d"});
}

TEST_F(TreeWatchTest, GoesByWhatGitIgnores) {
  write(repository.path() / ".gitignore", "*.o\nout/\n");
  write(repository.path() / "src/.gitignore", "!kept.o\n");
  TreeWatch watch(options());
  write(repository.path() / "src/a.o", "1");
  write(repository.path() / "out/a", "1");
  EXPECT_EQ(wait(watch, 200ms), Paths{});
  write(repository.path() / "src/kept.o", "1");
  EXPECT_EQ(wait(watch), Paths{"src/kept.o"});
}

TEST_F(TreeWatchTest, OutputsNeverCountAndNamedFilesAlwaysDo) {
  write(repository.path() / ".gitignore", "pipeline.yml\n");
  write(repository.path() / "pipeline.yml", "1");
  write(dir / "elsewhere/ci.yml", "1");
  auto how = options();
  how.outputs = {repository.path() / "log.json", repository.path() / "kept"};
  how.files = {repository.path() / "pipeline.yml", dir / "elsewhere/ci.yml"};
  TreeWatch watch(how);
  write(repository.path() / "log.json", "1");
  write(repository.path() / "kept/job/a", "1");
  EXPECT_EQ(wait(watch, 200ms), Paths{});
  write(repository.path() / "pipeline.yml", "22");
  EXPECT_EQ(wait(watch), Paths{"pipeline.yml"});
  write(dir / "elsewhere/ci.yml", "22");
  EXPECT_EQ(wait(watch), Paths{fs::weakly_canonical(dir / "elsewhere/ci.yml").string()});
}

TEST_F(TreeWatchTest, AStormIsToldAsOneEvenIfItDoesNotEnd) {
  auto how = options();
  how.patience = 300ms;
  TreeWatch watch(how);
  const std::jthread storm([&](const std::stop_token& stop) {
    for (int i = 0; !stop.stop_requested(); ++i) {
      write(repository.path() / "a", std::string(static_cast<std::size_t>(i % 100), 'x'));
      std::this_thread::sleep_for(5ms);
    }
  });
  EXPECT_EQ(wait(watch), Paths{"a"});
}

TEST_F(TreeWatchTest, AFolderWithoutGitIsWatchedWhole) {
  auto how = options();
  how.project = dir / "plain";
  write(dir / "plain/a", "1");
  TreeWatch watch(how);
  write(dir / "plain/sub/b", "1");
  EXPECT_EQ(wait(watch), Paths{"sub/b"});
}

TEST_F(TreeWatchTest, DirectoriesWithoutFilesAreAmongThoseOfAWalk) {
  write(repository.path() / ".gitignore", "out/\n");
  fs::create_directories(repository.path() / "empty/deep");
  fs::create_directories(repository.path() / "out/deep");
  std::vector<std::string> directories;
  walk_sources(repository.path(), {}, {}, &directories);
  EXPECT_THAT(directories, UnorderedElementsAre("", "empty/", "empty/deep/"));
}

}  // namespace
}  // namespace runner
