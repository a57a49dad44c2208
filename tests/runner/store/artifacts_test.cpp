#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <chrono>
#include <cstring>
#include <map>
#include <random>
#include <thread>

#include "runner/store/store.h"
#include "tests/runner/store/fixture.h"

namespace runner {
namespace {

using namespace test;  // NOLINT: the fixture language
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string noise(std::size_t size, unsigned seed = 1) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (std::size_t at = 0; at < size; at += 8) {
    const std::uint64_t word = random();
    std::memcpy(bytes.data() + at, &word, std::min<std::size_t>(8, size - at));
  }
  return bytes;
}

// What a tree is: path -> mode of owner and content, or where a symlink points to.
std::map<std::string, std::string> picture(const fs::path& root) {
  std::map<std::string, std::string> all;
  for (const auto& each : fs::recursive_directory_iterator(root)) {
    const std::string path = each.path().lexically_relative(root).string();
    if (each.is_symlink()) {
      all[path] = "-> " + fs::read_symlink(each.path()).string();
    } else if (each.is_directory()) {
      all[path] = "directory";
    } else {
      struct stat status {};
      ::stat(each.path().c_str(), &status);
      all[path] = std::string((status.st_mode & 0100U) != 0 ? "x " : "- ") + read(each.path());
    }
  }
  return all;
}

class ArtifactsTest : public ::testing::Test {
 protected:
  TemporaryDirectory dir;
  fs::path file = dir / "runner.db";
  fs::path tree = dir / "tree";

  void SetUp() override { fs::create_directory(tree); }

  static AttemptKey begin(Store& store) {
    const AttemptKey key{store.create_run(new_run()), 1, 1};
    store.begin_attempt(key);
    return key;
  }
  std::size_t chunk_files() const {
    std::size_t count = 0;
    std::error_code error;
    for (const auto& each : fs::recursive_directory_iterator(file.string() + ".chunks", error)) {
      count += each.is_regular_file() ? 1 : 0;
    }
    return count;
  }
};

TEST_F(ArtifactsTest, ComesOutAsItWentIn) {
  write(tree / "dist/app.js", "console.log(1)\n");
  write(tree / "dist/empty", "");
  write(tree / "bin/tool", "#!/bin/sh\n");
  fs::permissions(tree / "bin/tool", fs::perms::owner_all);
  write(tree / "large.bin", noise(5'000'000));
  write(tree / "zeros.bin", std::string(9'000'000, '\0'));
  write(tree / "odd name \n\xff.txt", "x");
  fs::create_symlink("app.js", tree / "dist/link");
  fs::create_symlink("/etc/passwd", tree / "outside");
  fs::create_directories(tree / "empty/dir");
  ASSERT_EQ(::mkfifo((tree / "fifo").c_str(), 0600), 0);

  Store store(file);
  const AttemptKey key = begin(store);
  const ArtifactId id = store.store_tree(key, "archive", "dist", tree, 5000);
  fs::remove(tree / "fifo");  // is left out
  store.extract(id, dir / "out");
  EXPECT_EQ(picture(dir / "out"), picture(tree));

  const std::vector<ArtifactRow> rows = store.list_artifacts(key.run);
  ASSERT_THAT(rows, SizeIs(1));
  EXPECT_EQ(rows[0].id, id);
  EXPECT_EQ(rows[0].kind, "archive");
  EXPECT_EQ(rows[0].name, "dist");
  EXPECT_EQ(rows[0].job_name, "job 1");
  EXPECT_EQ(rows[0].files, 8U);
  EXPECT_EQ(rows[0].bytes, 14'000'026U);
  EXPECT_EQ(rows[0].expires, 5000);
  EXPECT_THAT(store.list_files(id), SizeIs(8));
  EXPECT_EQ(store.read_file(id, "dist/app.js", 1000), "console.log(1)\n");
  EXPECT_EQ(store.read_file(id, "large.bin", 5'000'000), noise(5'000'000));
  EXPECT_THROW(store.read_file(id, "large.bin", 1000), StoreError);
  EXPECT_THROW(store.read_file(id, "none", 1000), StoreError);
  EXPECT_THROW(store.read_file(id + 1, "dist/app.js", 1000), StoreError);
}

TEST_F(ArtifactsTest, FilesKeepTheirModes) {
  const auto mode = [&](const std::string& path) {
    struct stat status {};
    return ::stat((dir / path).c_str(), &status) == 0 ? status.st_mode & 07777U : 0U;
  };
  fs::create_directory(tree / "d");
  for (const unsigned each : {0600U, 0444U, 0666U, 0755U, 04711U}) {
    const fs::path path = tree / "d" / std::to_string(each);
    write(path, "x");
    ASSERT_EQ(::chmod(path.c_str(), each), 0);
  }
  Store store(file);
  const ArtifactId id = store.store_tree(begin(store), "archive", "x", tree, std::nullopt);
  const mode_t before = ::umask(027);
  store.extract(id, dir / "user");
  store.extract(id, dir / "job", TakenFor::job);
  ::umask(before);
  for (const unsigned each : {0600U, 0444U, 0666U, 0755U, 04711U}) {
    EXPECT_EQ(mode("user/d/" + std::to_string(each)), each & 0750U);
    EXPECT_EQ(mode("job/d/" + std::to_string(each)), each & 0777U);
  }
  EXPECT_EQ(mode("user/d"), 0750U);
  EXPECT_EQ(mode("job/d"), 0777U);
  EXPECT_EQ(mode("job"), 0777U);

  // Another mode is another tree.
  ASSERT_EQ(::chmod((tree / "d/384").c_str(), 0640), 0);
  const ArtifactId other = store.store_tree(begin(store), "archive", "x", tree, std::nullopt);
  store.extract(other, dir / "other", TakenFor::job);
  EXPECT_EQ(mode("other/d/384"), 0640U);
}

TEST_F(ArtifactsTest, OwnersAreKeptForJobsOfRootsRunner) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  write(tree / "f", "x");
  ASSERT_EQ(::chmod((tree / "f").c_str(), 0600), 0);
  ASSERT_EQ(::chown((tree / "f").c_str(), 1234, 1234), 0);
  const auto owner = [&](const std::string& path) {
    struct stat status {};
    return ::stat((dir / path).c_str(), &status) == 0 ? status.st_uid : 99U;
  };
  Store store(file);
  const ArtifactId id = store.store_tree(begin(store), "archive", "x", tree, std::nullopt);
  store.extract(id, dir / "user");
  store.extract(id, dir / "job", TakenFor::job);
  EXPECT_EQ(owner("user/f"), 0U);
  EXPECT_EQ(owner("job/f"), 1234U);
}

TEST_F(ArtifactsTest, HolesStayHoles) {
  const auto blocks = [&](const fs::path& path) {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 ? status.st_blocks : -1;
  };
  constexpr std::uintmax_t size = (std::uintmax_t{1} << 30) + 1000;
  write(tree / "hole", "");
  fs::resize_file(tree / "hole", size);
  write(tree / "mixed", "head");
  fs::resize_file(tree / "mixed", 50'000'000);
  {
    std::fstream out(tree / "mixed", std::ios::in | std::ios::out | std::ios::binary);
    out.seekp(20'000'001);
    out << noise(300'000);
  }
  if (blocks(tree / "hole") > 1000) GTEST_SKIP() << "this file system has no holes";
  Store store(file);
  const ArtifactId id = store.store_tree(begin(store), "archive", "x", tree, std::nullopt);
  store.extract(id, dir / "out");
  EXPECT_EQ(fs::file_size(dir / "out/hole"), size);
  EXPECT_LE(blocks(dir / "out/hole"), 64);
  EXPECT_LE(blocks(dir / "out/mixed"), blocks(tree / "mixed") + 64);
  EXPECT_TRUE(read(dir / "out/mixed") == read(tree / "mixed"));
}

TEST_F(ArtifactsTest, AnEmptyTree) {
  Store store(file);
  const ArtifactId id = store.store_tree(begin(store), "archive", "x", tree, std::nullopt);
  store.extract(id, dir / "out");
  EXPECT_THAT(picture(dir / "out"), IsEmpty());
}

TEST_F(ArtifactsTest, TheSameFileIsStoredOnce) {
  const std::string bytes = noise(5'000'000);
  write(tree / "a", bytes);
  write(tree / "b", bytes);
  write(tree / "c", std::string(100, 'c'));
  write(tree / "d", std::string(100, 'c'));
  Store store(file);
  store.store_tree(begin(store), "archive", "x", tree, std::nullopt);
  EXPECT_EQ(store.chunk_count(), 4U) << "three of 2 MiB and one small";
  EXPECT_EQ(chunk_files(), 3U);
  write(dir / "other/copy", bytes);
  store.store_tree(begin(store), "archive", "x", dir / "other", std::nullopt);
  EXPECT_EQ(store.chunk_count(), 4U) << "across runs";
  EXPECT_EQ(chunk_files(), 3U);
  Store another(file);
  write(dir / "third/copy", bytes);
  write(dir / "third/more", "more");
  const ArtifactId id = another.store_tree(begin(another), "archive", "x", dir / "third", std::nullopt);
  EXPECT_EQ(store.chunk_count(), 5U);
  EXPECT_EQ(another.read_file(id, "copy", bytes.size()), bytes);
}

TEST_F(ArtifactsTest, AChangedFileIsSeen) {
  write(tree / "big", std::string(3'000'000, 'a'));
  write(tree / "small", "a");
  Store store(file);
  const ArtifactId first = store.store_tree(begin(store), "archive", "x", tree, std::nullopt);
  for (int i = 0; i < 20; ++i) {  // at once, so that clocks that stand still would be noticed
    const char letter = static_cast<char>('b' + i);
    write(tree / "big", std::string(3'000'000, letter));
    write(tree / "small", std::string(1, letter));
    const ArtifactId id = store.store_tree(begin(store), "archive", "x", tree, std::nullopt);
    ASSERT_EQ(store.read_file(id, "big", 4'000'000), std::string(3'000'000, letter));
    ASSERT_EQ(store.read_file(id, "small", 10), std::string(1, letter));
  }
  EXPECT_EQ(store.read_file(first, "small", 10), "a");
}

TEST_F(ArtifactsTest, AFileThatIsPassedOnIsNotReadAgain) {
  const std::string first = noise(9'000'000);
  write(tree / "big", first);
  Store store(file);
  store.store_tree(begin(store), "archive", "one", tree, std::nullopt);
  fs::create_directory(dir / "next");
  fs::create_hard_link(tree / "big", dir / "next/big");
  // What a layer never is: written to. Whoever reads it anew would see.
  struct stat status {};
  ASSERT_EQ(::stat((tree / "big").c_str(), &status), 0);
  std::fstream(tree / "big", std::ios::in | std::ios::out | std::ios::binary) << "changed";
  const timespec times[2] = {status.st_atim, status.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, (tree / "big").c_str(), times, 0), 0);

  const ArtifactId passed_on = store.store_tree(begin(store), "archive", "two", dir / "next", std::nullopt);
  store.extract(passed_on, dir / "out");
  EXPECT_TRUE(read(dir / "out/big") == first);
  // Without the name it was found by nothing is sure.
  fs::create_directory(dir / "last");
  fs::create_hard_link(tree / "big", dir / "last/big");
  fs::remove(tree / "big");
  fs::remove(dir / "next/big");
  const ArtifactId alone = store.store_tree(begin(store), "archive", "three", dir / "last", std::nullopt);
  store.extract(alone, dir / "out2");
  EXPECT_EQ(read(dir / "out2/big").substr(0, 7), "changed");
}

TEST_F(ArtifactsTest, NeverWritesOutsideTheDirectory) {
  write(tree / "sub/file", "mine");
  write(tree / "top", "mine");
  Store store(file);
  const ArtifactId id = store.store_tree(begin(store), "archive", "x", tree, std::nullopt);
  write(dir / "victim/file", "theirs");
  write(dir / "victim.txt", "theirs");
  fs::create_directory(dir / "out");
  fs::create_directory_symlink(dir / "victim", dir / "out/sub");
  fs::create_symlink(dir / "victim.txt", dir / "out/top");
  store.extract(id, dir / "out");
  EXPECT_EQ(read(dir / "victim/file"), "theirs");
  EXPECT_EQ(read(dir / "victim.txt"), "theirs");
  EXPECT_EQ(picture(dir / "out"), picture(tree));
}

TEST_F(ArtifactsTest, ManySmallFiles) {
  constexpr int count = 100'000;
  for (int i = 0; i < count; ++i) {
    const fs::path sub = tree / std::to_string(i / 1000);
    if (i % 1000 == 0) {
      fs::create_directory(sub);
    }
    std::ofstream(sub / std::to_string(i)) << "file " << i << "\n";
  }
  Store store(file);
  auto start = std::chrono::steady_clock::now();
  const auto lap = [&] {
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    start = std::chrono::steady_clock::now();
    return seconds;
  };
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  lap();
  const ArtifactId id = store.store_tree(begin(store), "archive", "x", tree, std::nullopt);
  const double first = lap();
  store.store_tree(begin(store), "archive", "x", tree, std::nullopt);
  const double second = lap();
  std::printf("100,000 small files: %.2f s, unchanged %.2f s\n", first, second);
  EXPECT_EQ(store.list_artifacts(1)[0].files, static_cast<std::uint64_t>(count));
  EXPECT_EQ(store.read_file(id, "99/99999", 100), "file 99999\n");
  EXPECT_EQ(store.chunk_count(), static_cast<std::uint64_t>(count));
  EXPECT_LT(second, first);
}

TEST_F(ArtifactsTest, LogsGoOnWhileArtifactsAreStored) {
  write(tree / "large", noise(60'000'000));
  Store store(file);
  const AttemptKey key = begin(store);
  LogWriter log = store.open_log(key);
  double longest = 0;
  {
    std::jthread storing([&] { store.store_tree(key, "archive", "x", tree, std::nullopt); });
    for (std::uint64_t i = 1; i <= 30; ++i) {
      const auto start = std::chrono::steady_clock::now();
      log.write("line\n", 5 * i);
      log.flush();
      longest = std::max(longest, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
  }
  EXPECT_LT(longest, 5);
}

TEST_F(ArtifactsTest, ExpiredOnesGoWithTheirPieces) {
  write(tree / "large", noise(5'000'000));
  write(tree / "small", "x");
  Store store(file);
  const AttemptKey expiring = begin(store);
  store.store_tree(expiring, "archive", "x", tree, 1000);
  const AttemptKey staying = begin(store);
  write(tree / "other", "y");
  fs::remove(tree / "small");
  const ArtifactId kept = store.store_tree(staying, "archive", "x", tree, std::nullopt);
  EXPECT_EQ(store.chunk_count(), 5U);

  GcOptions options;
  options.now = 2000;
  EXPECT_EQ(store.gc(options).artifacts, 0U) << "the run is in progress";
  store.finish_run(expiring.run, pipelines::Verdict::passed, 1);
  options.now = 999;
  EXPECT_EQ(store.gc(options).artifacts, 0U) << "not yet";
  options.now = 1000;
  const GcResult result = store.gc(options);
  EXPECT_EQ(result.artifacts, 1U);
  EXPECT_EQ(result.chunks, 1U) << "the small one; the large one is used by another";
  EXPECT_THAT(store.list_artifacts(expiring.run), IsEmpty());
  EXPECT_EQ(store.chunk_count(), 4U);
  EXPECT_EQ(store.read_file(kept, "large", 5'000'000), noise(5'000'000));

  store.finish_run(staying.run, pipelines::Verdict::passed, 1);
  options.keep_runs = 0;
  EXPECT_EQ(store.gc(options).runs, 2U);
  EXPECT_EQ(store.chunk_count(), 0U);
  EXPECT_EQ(chunk_files(), 0U);
}

TEST_F(ArtifactsTest, StoredAgainWhileGcRuns) {
  Store store(file);
  Store other(file);
  std::atomic<bool> done = false;
  std::jthread collector([&] {
    GcOptions options;
    options.now = 1'000'000;
    options.keep_runs = 0;
    while (!done) {
      other.gc(options);
    }
  });
  for (int i = 0; i < 15; ++i) {
    write(tree / "a", noise(3'000'000));  // always the same bytes, in a new file
    write(tree / "b", noise(1'000, static_cast<unsigned>(i)));
    const AttemptKey key = begin(store);
    const ArtifactId id = store.store_tree(key, "archive", "x", tree, std::nullopt);
    ASSERT_EQ(store.read_file(id, "a", 3'000'000), noise(3'000'000)) << i;
    store.finish_run(key.run, pipelines::Verdict::passed, 1);
  }
  done = true;
}

TEST_F(ArtifactsTest, WhatAKilledProcessLeftIsRemoved) {
  write(tree / "large", noise(100'000'000));
  Store store(file);
  {
    const AttemptKey key = begin(store);
    Child child([&](const auto& tell) {
      Store theirs(file);
      std::jthread storing([&] { theirs.store_tree(key, "archive", "x", tree, std::nullopt); });
      while (theirs.chunk_count() < 3) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      tell();
      ::pause();
    });
    ASSERT_TRUE(child.told());
    child.kill();
    store.finish_run(key.run, pipelines::Verdict::broken, 1);
  }
  EXPECT_GE(store.chunk_count(), 3U);
  store.gc({});
  EXPECT_EQ(store.chunk_count(), 0U);
  EXPECT_LE(chunk_files(), 2U) << "at most what was being written; it goes after a day";
}

TEST_F(ArtifactsTest, AStopLeavesNothing) {
  write(tree / "large", noise(20'000'000));
  Store store(file);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW(store.store_tree(begin(store), "archive", "x", tree, std::nullopt, stop.get_token()), StoreError);
  EXPECT_EQ(store.chunk_count(), 0U);
  EXPECT_THAT(store.list_artifacts(1), IsEmpty());
}

TEST_F(ArtifactsTest, ADamagedPieceIsToldAndStoredAnew) {
  write(tree / "large", noise(1'000'000));
  Store store(file);
  const ArtifactId id = store.store_tree(begin(store), "archive", "x", tree, std::nullopt);
  for (const auto& each : fs::recursive_directory_iterator(file.string() + ".chunks")) {
    if (each.is_regular_file()) {
      fs::resize_file(each.path(), 1000);
    }
  }
  EXPECT_THROW(store.read_file(id, "large", 1'000'000), StoreError);
}

// Disk full, on a small tmpfs where this may be mounted.
TEST_F(ArtifactsTest, AFullDiskIsToldAndHeals) {
  const fs::path small = dir / "small";
  fs::create_directory(small);
  const bool mounted = ::mount("none", small.c_str(), "tmpfs", 0, "size=12m") == 0;
  // The limit on file sizes stands for a small disk in logs_test.
  if (!mounted) GTEST_SKIP() << "only root can mount a small disk";
  write(tree / "large", noise(30'000'000));
  {
    Store::Options options;
    options.file = small / "runner.db";
    options.patience = std::chrono::milliseconds(100);
    Store store(options);
    const AttemptKey key = begin(store);
    try {
      store.store_tree(key, "archive", "x", tree, std::nullopt);
      ADD_FAILURE() << "30 MB on a disk of 12";
    } catch (const StoreError& error) {
      EXPECT_EQ(error.fault, StoreFault::full) << error.what();
      EXPECT_FALSE(error.hint.empty());
    }
    EXPECT_EQ(store.chunk_count(), 0U) << "nothing of it is left";
    EXPECT_TRUE(store.finish_attempt(key, {pipelines::Outcome::failed, 0, "artifacts_failed", "", false, false, 1}));

    // Now really full, to the last byte.
    {
      std::ofstream fill(small / "fill", std::ios::binary);
      const std::string block = noise(4096);
      while (fill.write(block.data(), 4096) && fill.flush()) {
      }
    }
    const AttemptKey next{key.run, 2, 1};
    bool begun = false;
    try {
      begun = store.begin_attempt(next);
    } catch (const StoreError& error) {
      EXPECT_EQ(error.fault, StoreFault::full);
    }
    EXPECT_TRUE(store.finish_run(key.run, pipelines::Verdict::failed, 2)) << "the ballast is for that";
    fs::remove(small / "fill");
    EXPECT_EQ(store.check(), "ok");
    if (!begun) {
      EXPECT_TRUE(store.begin_attempt(next));
    }
    store.gc({});
    EXPECT_TRUE(fs::exists(small / "runner.db.ballast"));
  }
  EXPECT_EQ(::umount2(small.c_str(), MNT_DETACH), 0);
}

// The case of `make bench`: 200 MB of noise, and unchanged.
TEST_F(ArtifactsTest, ALargeFileIsStoredQuickly) {
  {
    std::ofstream out(tree / "large", std::ios::binary);
    for (unsigned i = 0; i < 20; ++i) {
      out << noise(10'000'000, i);
    }
  }
  Store store(file);
  const auto timed = [&] {
    const auto start = std::chrono::steady_clock::now();
    store.store_tree(begin(store), "archive", "x", tree, std::nullopt);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  const double first = timed();
  const double unchanged = timed();
  fs::copy_file(tree / "large", tree / "copy");
  fs::remove(tree / "large");
  const double known = timed();
  std::printf("200 MB: %.2f s, unchanged %.4f s, the same bytes in a new file %.2f s\n", first, unchanged, known);
  EXPECT_LT(unchanged, first / 2);
  EXPECT_EQ(store.chunk_count(), 96U);
}

}  // namespace
}  // namespace runner
