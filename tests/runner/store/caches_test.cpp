// Caches in the store: content once, the last one wins whole, limits, and that gc leaves alone what is meant.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "runner/run/caches.h"
#include "tests/runner/store/fixture.h"

namespace runner {
namespace {

namespace fs = std::filesystem;
using test::read;
using test::write;

class CachesTest : public testing::Test {
 protected:
  std::string content(std::uint64_t tree, const std::string& file) {
    const fs::path to = directory_ / ("out" + std::to_string(++outs_));
    store_.extract_tree(tree, to);
    return fs::exists(to / file) ? read(to / file) : "(none)";
  }
  executors::CollectedCache taken(const std::string& name, const std::string& text) {
    const fs::path tree = directory_ / "run" / name;
    write(tree / "dir/file", text);
    return {0, false, {"cache", tree, 1, text.size()}};
  }
  test::TemporaryDirectory directory_;
  Store store_{directory_ / "runner.db"};
  int outs_ = 0;
};

TEST_F(CachesTest, KeptUnderItsProjectAndKey) {
  write(directory_ / "a/file", "one");
  const SavedCache saved = store_.save_cache("p", "k", directory_ / "a");
  EXPECT_TRUE(saved.stored);
  EXPECT_EQ(saved.files, 1U);
  EXPECT_EQ(saved.bytes, 3U);
  ASSERT_TRUE(store_.use_cache("p", "k"));
  EXPECT_EQ(content(store_.use_cache("p", "k")->tree, "file"), "one");
  EXPECT_FALSE(store_.use_cache("p", "other"));
  EXPECT_FALSE(store_.use_cache("other", "k"));
}

TEST_F(CachesTest, TheSameContentIsStoredOnce) {
  write(directory_ / "a/file", std::string(100'000, 'x'));
  write(directory_ / "b/file", std::string(100'000, 'x'));
  const SavedCache first = store_.save_cache("p", "k", directory_ / "a");
  const std::uint64_t chunks = store_.chunk_count();
  const SavedCache again = store_.save_cache("p", "k", directory_ / "b");
  EXPECT_FALSE(again.stored);
  EXPECT_EQ(again.tree, first.tree);
  EXPECT_EQ(store_.save_cache("p", "other", first.tree)->tree, first.tree);
  EXPECT_EQ(store_.chunk_count(), chunks);
  EXPECT_FALSE(store_.save_cache("p", "k", first.tree + 100));
}

TEST_F(CachesTest, TimesOfFilesComeBack) {
  write(directory_ / "a/file", "x");
  const struct timespec times[2] = {{1'600'000'000, 5}, {1'600'000'000, 5}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (directory_ / "a/file").c_str(), times, 0), 0);
  const SavedCache saved = store_.save_cache("p", "k", directory_ / "a");
  store_.extract_tree(saved.tree, directory_ / "out");
  struct stat status {};
  ASSERT_EQ(::stat((directory_ / "out/file").c_str(), &status), 0);
  EXPECT_EQ(status.st_mtim.tv_sec, 1'600'000'000);
  EXPECT_EQ(status.st_mtim.tv_nsec, 5);
}

TEST_F(CachesTest, GcKeepsWhatAKeyMeans) {
  write(directory_ / "a/file", "one");
  write(directory_ / "b/file", "two");
  const SavedCache first = store_.save_cache("p", "k", directory_ / "a");
  const SavedCache second = store_.save_cache("p", "k", directory_ / "b");
  GcOptions options;
  options.now = unix_now();
  store_.gc(options);
  EXPECT_EQ(content(second.tree, "file"), "two");
  EXPECT_THROW(store_.extract_tree(first.tree, directory_ / "gone"), StoreError);
  EXPECT_EQ(store_.clear_caches("p"), 1U);
  EXPECT_GT(store_.gc(options).chunks, 0U);
  EXPECT_EQ(store_.chunk_count(), 0U);
}

TEST_F(CachesTest, LimitsTakeThoseNotUsedForLongest) {
  for (const char* key : {"a", "b", "c"}) {
    write(directory_ / key / "file", std::string(1000, *key));
    store_.save_cache("p", key, directory_ / key);
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
  }
  store_.use_cache("p", "a");
  GcOptions options;
  options.now = unix_now();
  options.caches_limit = 2500;
  options.dry_run = true;
  EXPECT_EQ(store_.gc(options).caches, 1U);
  EXPECT_EQ(store_.list_caches().size(), 3U);
  options.dry_run = false;
  EXPECT_EQ(store_.gc(options).caches, 1U);
  EXPECT_FALSE(store_.use_cache("p", "b"));
  // The one used last stays, however little there is room for.
  options.caches_limit = 1;
  EXPECT_EQ(store_.prune_caches(options).caches, 1U);
  ASSERT_EQ(store_.list_caches().size(), 1U);
  EXPECT_EQ(store_.list_caches()[0].key, "a");
  // Time takes that one, too.
  options.now += 1000;
  options.keep_caches = 500;
  EXPECT_EQ(store_.prune_caches(options).caches, 1U);
}

TEST_F(CachesTest, ListAndClear) {
  write(directory_ / "a/file", "x");
  store_.save_cache("p", "one", directory_ / "a");
  store_.save_cache("p", "two", directory_ / "a");
  store_.save_cache("q", "one", directory_ / "a");
  EXPECT_EQ(store_.list_caches().size(), 3U);
  EXPECT_EQ(store_.list_caches("p").size(), 2U);
  EXPECT_EQ(store_.clear_caches("p", "one"), 1U);
  EXPECT_EQ(store_.clear_caches("p", "one"), 0U);
  EXPECT_EQ(store_.clear_caches("p"), 1U);
  EXPECT_TRUE(store_.use_cache("q", "one"));
}

TEST_F(CachesTest, AFallbackIsFoundInOrder) {
  Caches caches(store_, "p", directory_ / "c");
  EXPECT_FALSE(caches.restore({"a", "b"}));
  caches.keep("b", taken("1", "of b"), {});
  caches.keep("c", taken("2", "of c"), {});
  const auto found = caches.restore({"a", "b", "c"});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->key, "b");
  EXPECT_EQ(read(found->layer / "dir/file"), "of b");
}

TEST_F(CachesTest, WhatWasTakenStandsAtOnceAndComesBackFromTheStore) {
  Caches caches(store_, "p", directory_ / "c");
  const auto collected = taken("1", "text");
  constexpr auto shared = static_cast<fs::perms>(0666);
  fs::permissions(collected.tree.directory / "dir/file", shared);  // whatever the umask
  EXPECT_TRUE(caches.keep("k", collected, {}).stored);
  EXPECT_FALSE(fs::exists(collected.tree.directory)) << "it was put in place, not copied";
  const auto standing = caches.restore({"k"});
  ASSERT_TRUE(standing);
  fs::remove_all(directory_ / "c");
  const auto extracted = caches.restore({"k"});
  ASSERT_TRUE(extracted);
  EXPECT_EQ(read(extracted->layer / "dir/file"), "text");
  EXPECT_EQ(fs::status(extracted->layer / "dir").permissions(), fs::perms::all);
  EXPECT_EQ(fs::status(extracted->layer / "dir/file").permissions(), shared);
  // Unchanged: only the key is set; also a new one, when it came by a fallback.
  EXPECT_FALSE(caches.keep("k", {0, true, {}}, extracted).stored);
  EXPECT_FALSE(caches.keep("new", {0, true, {}}, extracted).stored);
  EXPECT_EQ(store_.use_cache("p", "new")->tree, extracted->tree);
}

TEST_F(CachesTest, AnUnchangedOneThatWasRemovedMeanwhileIsStoredAgain) {
  Caches caches(store_, "p", directory_ / "c");
  caches.keep("k", taken("1", "text"), {});
  const auto restored = caches.restore({"k"});
  ASSERT_TRUE(restored);
  store_.clear_caches("p");
  store_.prune_caches({});
  EXPECT_TRUE(caches.keep("k", {0, true, {}}, restored).stored);
  EXPECT_EQ(content(store_.use_cache("p", "k")->tree, "dir/file"), "text");
}

TEST_F(CachesTest, PruningLeavesWhatIsMeantAndWhatARunMayUse) {
  Caches caches(store_, "p", directory_ / "c");
  caches.keep("k", taken("1", "old"), {});
  const auto old = caches.restore({"k"});
  caches.keep("k", taken("2", "new"), {});
  const auto now = caches.restore({"k"});
  const RunId run = store_.create_run(test::new_run());
  prune_standing(store_, directory_ / "c");
  EXPECT_TRUE(fs::exists(old->layer)) << "a run goes on";
  store_.finish_run(run, pipelines::Verdict::passed, unix_now());
  prune_standing(store_, directory_ / "c");
  EXPECT_FALSE(fs::exists(old->layer));
  EXPECT_TRUE(fs::exists(now->layer));
}

// Several savers of one key: what comes back is always one of theirs, whole.
TEST_F(CachesTest, TheLastOneWinsWhole) {
  constexpr int savers = 4, files = 20;
  std::vector<std::jthread> threads;
  for (int saver = 0; saver < savers; ++saver) {
    threads.emplace_back([this, saver] {
      for (int round = 0; round < 5; ++round) {
        const fs::path tree = directory_ / ("s" + std::to_string(saver) + "-" + std::to_string(round));
        for (int i = 0; i < files; ++i) write(tree / std::to_string(i), std::to_string(saver * 10 + round));
        store_.save_cache("p", "k", tree);
      }
    });
  }
  threads.clear();
  const fs::path out = directory_ / "whole";
  store_.extract_tree(store_.use_cache("p", "k")->tree, out);
  const std::string one = read(out / "0");
  for (int i = 0; i < files; ++i) EXPECT_EQ(read(out / std::to_string(i)), one);
}

TEST_F(CachesTest, ReleasesAreFoundByTheirTag) {
  EXPECT_FALSE(store_.find_release("p", "v1"));
  store_.add_release({"p", "v1", {3, 2, 1}, 99, "{}"});
  ASSERT_TRUE(store_.find_release("p", "v1"));
  EXPECT_EQ(store_.find_release("p", "v1")->key.run, 3U);
  store_.add_release({"p", "v1", {4, 2, 1}, 100, "{}"});
  EXPECT_EQ(store_.find_release("p", "v1")->key.run, 4U);
  EXPECT_FALSE(store_.find_release("q", "v1"));
}

}  // namespace
}  // namespace runner
