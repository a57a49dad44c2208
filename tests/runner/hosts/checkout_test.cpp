#include "runner/hosts/checkout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "tests/runner/hosts/git_fixture.h"

namespace runner {
namespace {

using namespace test;  // NOLINT: the fixture language
using ::testing::HasSubstr;

class CheckoutTest : public ::testing::Test {
 protected:
  TemporaryDirectory dir;
  fs::path root = dir / "snapshots";
  GitRepository repo{dir / "project"};

  Snapshot take(const SnapshotOptions& options = {}) const { return make_snapshot(repo.path(), root, options); }
  static fs::path tree(const Snapshot& snapshot) { return snapshot.sources().snapshot; }
  static struct stat status(const fs::path& path) {
    struct stat result {};
    EXPECT_EQ(::lstat(path.c_str(), &result), 0) << path;
    return result;
  }
  static std::set<std::string> paths(const fs::path& top) {
    std::set<std::string> all;
    for (auto each = fs::recursive_directory_iterator(top); each != fs::recursive_directory_iterator(); ++each) {
      if (each->path().filename() == ".git") {
        each.disable_recursion_pending();
      } else if (each->is_symlink() || !each->is_directory()) {
        all.insert(each->path().lexically_relative(top).string());
      }
    }
    return all;
  }
  static std::string git_in(const fs::path& where, const std::string& arguments) {
    return shell("git -c safe.directory='*' -C '" + where.string() + "' " + arguments);
  }
};

TEST_F(CheckoutTest, ItsProgressIsTold) {
  for (int i = 0; i < 1000; ++i) write(repo / ("dir/file" + std::to_string(i)), "x");
  std::mutex mutex;
  std::vector<std::pair<std::size_t, std::size_t>> told;
  SnapshotOptions options;
  options.progress = [&](std::size_t done, std::size_t files) {
    const std::lock_guard lock(mutex);
    told.emplace_back(done, files);
  };
  const Snapshot first = take(options);
  ASSERT_GE(told.size(), 10U);
  EXPECT_EQ(told.front(), std::pair(std::size_t{0}, std::size_t{0}));
  const auto last = std::ranges::max_element(told);
  EXPECT_EQ(last->first, last->second);
  EXPECT_EQ(last->first, first.files());
  told.clear();
  const Snapshot again = take(options);
  EXPECT_TRUE(again.reused());
  EXPECT_EQ(told.size(), 1U) << "nothing was copied";
}

TEST_F(CheckoutTest, IsACopyWithTheModesJobsNeed) {
  write(repo / "src/secret", "s");
  fs::permissions(repo / "src/secret", fs::perms::owner_read);
  write(repo / "run.sh", "#!/bin/sh\n");
  fs::permissions(repo / "run.sh", fs::perms::owner_all);
  fs::create_symlink("src/secret", repo / "link");
  write(repo / ".gitignore", "*.o\n");
  repo.commit("a", "1");
  write(repo / "untracked", "u");
  write(repo / "x.o", "ignored");
  const mode_t old = ::umask(077);
  const Snapshot snapshot = take();
  ::umask(old);
  EXPECT_FALSE(snapshot.reused());
  EXPECT_EQ(paths(tree(snapshot)),
            (std::set<std::string>{".gitignore", "a", "link", "run.sh", "src/secret", "untracked"}));
  EXPECT_EQ(status(tree(snapshot)).st_mode & 0777U, 0777U);
  EXPECT_EQ(status(tree(snapshot) / "src").st_mode & 0777U, 0777U);
  EXPECT_EQ(status(tree(snapshot) / "src/secret").st_mode & 0777U, 0666U);
  EXPECT_EQ(status(tree(snapshot) / "run.sh").st_mode & 0777U, 0777U);
  EXPECT_EQ(fs::read_symlink(tree(snapshot) / "link"), "src/secret");
  EXPECT_EQ(read(snapshot.sources().tracked_list), std::string(".gitignore\0a\0link\0run.sh\0src/secret\0", 36));
  // Nothing is shared with the user's tree, and nothing of it was touched.
  EXPECT_NE(status(tree(snapshot) / "a").st_ino, status(repo / "a").st_ino);
  EXPECT_EQ(status(repo / "src/secret").st_mode & 0777U, 0400U);
  EXPECT_EQ(repo.git("status --porcelain"), "?? untracked");
}

TEST_F(CheckoutTest, AnUnchangedTreeIsTakenAgain) {
  repo.commit("a", "1");
  const std::string name = take().name();
  const Snapshot again = take();
  EXPECT_TRUE(again.reused());
  EXPECT_EQ(again.name(), name);
}

TEST_F(CheckoutTest, OnlyWhatChangedIsCopied) {
  for (int i = 0; i < 200; ++i) {
    write(repo / ("dir" + std::to_string(i % 7) + "/file" + std::to_string(i)), std::to_string(i));
  }
  repo.commit("a", "1");
  const Snapshot first = take();
  EXPECT_EQ(first.copied(), 201U);
  write(repo / "dir1/file1", "changed");
  write(repo / "new", "new");
  fs::remove(repo / "dir2/file2");
  const Snapshot second = take();
  EXPECT_FALSE(second.reused());
  EXPECT_EQ(second.copied(), 2U);
  EXPECT_EQ(read(tree(second) / "dir1/file1"), "changed");
  EXPECT_EQ(read(tree(first) / "dir1/file1"), "1") << "the first stays what it was";
  EXPECT_TRUE(fs::exists(tree(first) / "dir2/file2"));
  EXPECT_FALSE(fs::exists(tree(second) / "dir2/file2"));
  EXPECT_EQ(status(tree(second) / "dir3/file3").st_ino, status(tree(first) / "dir3/file3").st_ino);
  EXPECT_EQ(status(tree(second) / "dir3/file3").st_mode & 0777U, 0666U);
}

TEST_F(CheckoutTest, EveryKindOfChangeIsSeen) {
  repo.commit("a", "one");
  std::set<std::string> names{take().name()};
  write(repo / "a", "two");  // the same size, at once
  Snapshot snapshot = take();
  EXPECT_EQ(read(tree(snapshot) / "a"), "two");
  EXPECT_TRUE(names.insert(snapshot.name()).second);
  fs::permissions(repo / "a", fs::perms::owner_all);
  snapshot = take();
  EXPECT_EQ(status(tree(snapshot) / "a").st_mode & 0777U, 0777U);
  EXPECT_TRUE(names.insert(snapshot.name()).second);
  fs::remove(repo / "a");
  fs::create_symlink("b", repo / "a");
  snapshot = take();
  EXPECT_TRUE(fs::is_symlink(tree(snapshot) / "a"));
  EXPECT_TRUE(names.insert(snapshot.name()).second);
  fs::remove(repo / "a");
  write(repo / "a/b", "now a directory");
  snapshot = take();
  EXPECT_EQ(read(tree(snapshot) / "a/b"), "now a directory");
  EXPECT_TRUE(names.insert(snapshot.name()).second);
  repo.git("tag v1");
  EXPECT_TRUE(names.insert(take().name()).second) << "jobs see tags";
  for (int i = 0; i < 30; ++i) {
    write(repo / "a/b", std::string(10, static_cast<char>('a' + i % 26)));
    snapshot = take();
    ASSERT_EQ(read(tree(snapshot) / "a/b"), std::string(10, static_cast<char>('a' + i % 26))) << i;
  }
}

TEST_F(CheckoutTest, JobsCanUseGit) {
  repo.commit("a", "1", "first");
  repo.git("tag -a -m release v1.0");
  const std::string sha = repo.commit("b", "2", "second");
  repo.git("remote add origin https://me:secret@example.org/group/project.git");
  write(repo / ".git/hooks/post-checkout", "#!/bin/sh\n");
  repo.git("config user.name 'Somebody'");
  repo.git("config http.extraheader 'Authorization: secret'");
  write(repo / "b", "changed");
  const Snapshot snapshot = take();
  const fs::path at = tree(snapshot);
  EXPECT_EQ(git_in(at, "describe"), "v1.0-1-g" + sha.substr(0, 7));
  EXPECT_EQ(git_in(at, "log --format=%s"), "second\nfirst");
  EXPECT_EQ(git_in(at, "rev-parse --abbrev-ref HEAD"), "main");
  EXPECT_EQ(git_in(at, "diff --name-only"), "b");
  EXPECT_EQ(git_in(at, "status --porcelain"), " M b");
  EXPECT_EQ(git_in(at, "remote get-url origin"), "https://example.org/group/project.git");
  EXPECT_EQ(git_in(at, "fsck"), "");
  EXPECT_FALSE(fs::exists(at / ".git/hooks"));
  EXPECT_EQ(read(at / ".git/config").find("secret"), std::string::npos);
  EXPECT_EQ(read(at / ".git/config").find("Somebody"), std::string::npos);
  EXPECT_EQ(status(at / ".git").st_mode & 0777U, 0777U);
  EXPECT_EQ(status(at / ".git/objects").st_mode & 0777U, 0777U);
}

TEST_F(CheckoutTest, GitOfPackedSharedAndLinkedRepositories) {
  repo.commit("a", "1", "first");
  repo.commit("a", "2", "second");
  repo.git("gc -q");
  shell("git -c safe.directory='*' clone -q --shared " + repo.path().string() + " " + (dir / "shared").string());
  const GitRepository shared(dir / "shared");
  shared.commit("b", "1", "third");
  const Snapshot of_shared = make_snapshot(shared.path(), root);
  repo.git("worktree add -q -b other ../worktree");
  const GitRepository worktree(dir / "worktree");
  worktree.commit("c", "1", "fourth");
  const Snapshot of_worktree = make_snapshot(worktree.path(), root);
  shell("git -c safe.directory='*' clone -q --depth 1 file://" + repo.path().string() + " " +
        (dir / "shallow").string());
  const Snapshot of_shallow = make_snapshot(dir / "shallow", root);
  fs::rename(repo.path(), dir / "away");  // nothing refers to it any more
  EXPECT_EQ(git_in(tree(of_shared), "log --format=%s"), "third\nsecond\nfirst");
  EXPECT_EQ(git_in(tree(of_worktree), "log --format=%s"), "fourth\nsecond\nfirst");
  EXPECT_EQ(git_in(tree(of_worktree), "rev-parse --abbrev-ref HEAD"), "other");
  EXPECT_EQ(git_in(tree(of_worktree), "status --porcelain"), "");
  EXPECT_EQ(git_in(tree(of_shallow), "log --format=%s"), "second");
}

TEST_F(CheckoutTest, ObjectsOthersMayNotReadAreCopied) {
  repo.commit("a", "1");
  repo.git("gc -q");
  for (const auto& each : fs::recursive_directory_iterator(repo / ".git/objects")) {
    if (each.is_regular_file()) {
      ::chmod(each.path().c_str(), 0400);
    }
  }
  const Snapshot snapshot = take();
  for (const auto& each : fs::recursive_directory_iterator(tree(snapshot) / ".git/objects")) {
    if (each.is_regular_file()) {
      EXPECT_EQ(status(each.path()).st_mode & 0777U, 0444U);
    }
  }
  EXPECT_EQ(git_in(tree(snapshot), "log --format=%s"), "a commit");
}

TEST_F(CheckoutTest, ACommitInPlaceOfTheWorkingTree) {
  write(repo / "run.sh", "#!/bin/sh\n");
  fs::permissions(repo / "run.sh", fs::perms::owner_all);
  fs::create_symlink("a", repo / "link");
  write(repo / "sub/x", "x");
  const std::string sha = repo.commit("a", "old");
  repo.commit("a", "new");
  write(repo / "untracked", "u");
  SnapshotOptions options;
  options.revision = sha;
  const Snapshot snapshot = take(options);
  EXPECT_EQ(paths(tree(snapshot)), (std::set<std::string>{"a", "link", "run.sh", "sub/x"}));
  EXPECT_EQ(read(tree(snapshot) / "a"), "old");
  EXPECT_EQ(status(tree(snapshot) / "run.sh").st_mode & 0777U, 0777U);
  EXPECT_EQ(status(tree(snapshot) / "a").st_mode & 0777U, 0666U);
  EXPECT_EQ(fs::read_symlink(tree(snapshot) / "link"), "a");
  EXPECT_EQ(git_in(tree(snapshot), "rev-parse HEAD"), sha);
  EXPECT_EQ(git_in(tree(snapshot), "status --porcelain"), "");
  EXPECT_TRUE(take(options).reused());
  options.revision = "main";
  const Snapshot next = take(options);
  EXPECT_EQ(read(tree(next) / "a"), "new");
  EXPECT_EQ(next.copied(), 2U) << "`a` and the symlink; the rest is linked by its object id";
  options.revision = "nope";
  EXPECT_THROW(take(options), GitError);
}

TEST_F(CheckoutTest, ADirectoryBelowTheRepository) {
  repo.commit("outside", "1");
  repo.commit("sub/a", "1");
  const Snapshot snapshot = make_snapshot(repo / "sub", root);
  EXPECT_EQ(paths(tree(snapshot)), (std::set<std::string>{"a"}));
  EXPECT_EQ(git_in(tree(snapshot), "log --format=%H").size(), 81U);
}

TEST_F(CheckoutTest, ADirectoryWithoutGit) {
  write(dir / "plain/a/b", "1");
  const Snapshot snapshot = make_snapshot(dir / "plain", root);
  EXPECT_EQ(paths(tree(snapshot)), (std::set<std::string>{"a/b"}));
  EXPECT_FALSE(fs::exists(tree(snapshot) / ".git"));
  EXPECT_EQ(read(snapshot.sources().tracked_list), "");
  EXPECT_TRUE(make_snapshot(dir / "plain", root).reused());
}

TEST_F(CheckoutTest, AnUnreadableFileIsTold) {
  if (::geteuid() == 0) GTEST_SKIP() << "root reads everything";
  repo.commit("a", "1");
  ::chmod((repo / "a").c_str(), 0);
  try {
    take();
    ADD_FAILURE();
  } catch (const GitError& error) {
    EXPECT_THAT(error.what(), HasSubstr("/a"));
    EXPECT_FALSE(error.hint.empty());
  }
}

TEST_F(CheckoutTest, PruningSparesWhatIsUsedKeptOrNamed) {
  repo.commit("a", "0");
  std::vector<std::string> names;
  std::optional<Snapshot> used;
  for (int i = 1; i <= 5; ++i) {
    write(repo / "a", std::to_string(i));
    Snapshot snapshot = take();
    names.push_back(snapshot.name());
    if (i == 2) {
      used.emplace(std::move(snapshot));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(15));
  }
  write(root / "tmp.left-over/tree/x", "a maker that died before it could lock");
  EXPECT_EQ(prune_snapshots(root, 1, {names[2]}), 2U);
  EXPECT_FALSE(fs::exists(root / names[0]));
  EXPECT_TRUE(fs::exists(root / names[1])) << "in use";
  EXPECT_TRUE(fs::exists(root / names[2])) << "named";
  EXPECT_FALSE(fs::exists(root / names[3]));
  EXPECT_TRUE(fs::exists(root / names[4])) << "the newest";
  EXPECT_EQ(open_snapshot(root, names[2]).name(), names[2]);
  EXPECT_THROW(open_snapshot(root, names[0]), GitError);
  EXPECT_THROW(open_snapshot(root, "../project"), GitError);
  used.reset();
  EXPECT_EQ(prune_snapshots(root, 0), 3U);
  EXPECT_TRUE(fs::exists(repo / "a"));
}

TEST_F(CheckoutTest, AKilledMakerLeavesNothingForLong) {
  for (int i = 0; i < 3000; ++i) {
    write(repo / ("f" + std::to_string(i)), "x");
  }
  {
    Child child([&](const auto& tell) {
      std::jthread making([&] { take(); });
      while (!fs::exists(root) || fs::is_empty(root)) {
        std::this_thread::yield();
      }
      tell();
      ::pause();
    });
    ASSERT_TRUE(child.told());
    child.kill();
  }
  prune_snapshots(root, 0);
  std::size_t left = 0;
  for (const auto& each : fs::directory_iterator(root)) {
    left += fs::exists(each.path() / "lock") ? 1 : 0;
  }
  EXPECT_EQ(left, 0U);
  EXPECT_EQ(take().files(), 3000U);
}

TEST_F(CheckoutTest, ManyMakersAtOnceShareOne) {
  for (int i = 0; i < 100; ++i) {
    write(repo / ("f" + std::to_string(i)), "x");
  }
  repo.commit("a", "1");
  std::vector<std::string> names(4);
  {
    std::vector<std::jthread> threads;
    for (std::string& name : names) {
      threads.emplace_back([&] {
        const Snapshot snapshot = take();
        EXPECT_EQ(read(tree(snapshot) / "f99"), "x");
        name = snapshot.name();
      });
    }
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        prune_snapshots(root, 0);
      }
    });
  }
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), 1U);
}

TEST_F(CheckoutTest, AStopIsObeyed) {
  repo.commit("a", "1");
  std::stop_source stop;
  stop.request_stop();
  SnapshotOptions options;
  options.stop = stop.get_token();
  EXPECT_THROW(take(options), GitError);
  EXPECT_TRUE(fs::is_empty(root));
}

TEST_F(CheckoutTest, ManyFiles) {
  for (int i = 0; i < 20'000; ++i) {
    const fs::path sub = repo / ("d" + std::to_string(i / 500));
    if (i % 500 == 0) {
      fs::create_directory(sub);
    }
    std::ofstream(sub / std::to_string(i)) << i;
  }
  repo.commit("a", "1");
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  auto start = std::chrono::steady_clock::now();
  const auto lap = [&] {
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    start = std::chrono::steady_clock::now();
    return seconds;
  };
  const Snapshot first = take();
  const double fresh = lap();
  const Snapshot second = take();
  const double unchanged = lap();
  write(repo / "d3/1501", "changed");
  const Snapshot third = take();
  const double changed = lap();
  std::printf("20,000 files: %.3f s, unchanged %.3f s, one changed %.3f s\n", fresh, unchanged, changed);
  EXPECT_TRUE(second.reused());
  EXPECT_EQ(third.copied(), 1U);
}

}  // namespace
}  // namespace runner
