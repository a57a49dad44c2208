// Keys of caches: how they are made of files, separated by protection, cleaned, and what is tried in their place.
#include "runner/run/cache_use.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/runner/store/fixture.h"

namespace runner {
namespace {

using pipelines::Cache;
using pipelines::Precedence;
using pipelines::VariableSet;
using Strings = std::vector<std::string>;

class CacheUseTest : public testing::Test {
 protected:
  CacheUseTest() {
    sources_.snapshot = directory_ / "tree";
    sources_.tracked_list = directory_ / "tracked";
    test::write(directory_ / "tree/package-lock.json", "one\n");
    test::write(directory_ / "tree/a/Gemfile.lock", "two\n");
    test::write(directory_ / "tracked", std::string("a/Gemfile.lock\0package-lock.json\0", 33));
    set("CI_COMMIT_REF_SLUG", "main");
  }
  void set(const std::string& name, const std::string& value) { variables_.set(name, value, Precedence::job, false); }
  std::vector<CacheUse> uses(const std::vector<Cache>& caches, bool is_protected = false) {
    warnings_.clear();
    return cache_uses(caches, {variables_, sources_, is_protected, last_commit_}, warnings_);
  }
  Strings keys(const Cache& cache, bool is_protected = false) {
    const auto all = uses({cache}, is_protected);
    return all.empty() ? Strings() : all[0].keys;
  }
  static Cache cache(const std::string& key) {
    Cache made;
    made.key.text = key;
    made.paths = {"x"};
    return made;
  }
  static Cache of_files(const Strings& files, const std::string& prefix = {}) {
    Cache made = cache("");
    made.key.files = files;
    made.key.prefix = prefix;
    return made;
  }

  test::TemporaryDirectory directory_;
  executors::Sources sources_;
  VariableSet variables_;
  std::function<std::string(const std::string&)> last_commit_;
  Strings warnings_;
};

TEST_F(CacheUseTest, KeysAreSeparatedByProtection) {
  EXPECT_EQ(keys(cache("$CI_COMMIT_REF_SLUG")), Strings{"main-non_protected"});
  EXPECT_EQ(keys(cache("$CI_COMMIT_REF_SLUG"), true), Strings{"main-protected"});
  Cache shared = cache("default");
  shared.unprotect = true;
  EXPECT_EQ(keys(shared, true), Strings{"default-non_protected"});
  EXPECT_EQ(keys(cache("$NOTHING")), Strings{"-non_protected"});
}

// sha1 of git's blob id of "one\n", as GitLab makes it: Digest::SHA1.hexdigest(ids.sort.uniq.join('-')).
TEST_F(CacheUseTest, KeyFilesAreMadeOfContents) {
  const Strings one = keys(of_files({"package-lock.json"}));
  ASSERT_EQ(one.size(), 1U);
  EXPECT_EQ(one[0], "0_package-lock-e9c16ed7ea0ce929f64c159f1baadb627240a1dd-non_protected");
  EXPECT_EQ(keys(of_files({"package-lock.json"}, "$CI_COMMIT_REF_SLUG"))[0],
            "main-e9c16ed7ea0ce929f64c159f1baadb627240a1dd-non_protected");
  const Strings both = keys(of_files({"package-lock.json", "a/Gemfile.lock"}, "p"));
  EXPECT_EQ(both, keys(of_files({"a/Gemfile.lock", "package-lock.json"}, "p")));
  EXPECT_NE(both, keys(of_files({"package-lock.json"}, "p")));
  EXPECT_EQ(keys(of_files({"**/Gemfile.lock"}, "p")), keys(of_files({"a/Gemfile.lock"}, "p")));
  test::write(directory_ / "tree/package-lock.json", "changed\n");
  EXPECT_NE(keys(of_files({"package-lock.json"})), one);
}

TEST_F(CacheUseTest, KeyFilesThatAreNotThere) {
  EXPECT_EQ(keys(of_files({"none.lock"})), Strings{"0_none-default-non_protected"});
  EXPECT_EQ(keys(of_files({"none.lock"}, "p")), Strings{"p-default-non_protected"});
  EXPECT_EQ(keys(of_files({"../tracked"}, "p")), Strings{"p-default-non_protected"});
}

TEST_F(CacheUseTest, KeyFilesCommits) {
  last_commit_ = [](const std::string& path) { return path == "a" ? std::string(40, 'a') : std::string(); };
  Cache made = cache("");
  made.key.files_commits = {"a", "b"};
  EXPECT_EQ(keys(made), Strings{"0-a56559418dc7908ce5f0b24b05c78e055cb863dc-non_protected"});
  made.key.files_commits = {"b"};
  EXPECT_EQ(keys(made), Strings{"0-default-non_protected"});
}

TEST_F(CacheUseTest, FallbackKeysInOrder) {
  Cache made = cache("a");
  made.fallback_keys = {"b", "$CI_COMMIT_REF_SLUG", "b"};
  set("CACHE_FALLBACK_KEY", "last");
  EXPECT_EQ(keys(made), (Strings{"a-non_protected", "b-non_protected", "main-non_protected", "last"}));
  // What a protected branch made is not to be had by a word of the author's.
  for (const char* forbidden :
       {"default-protected", "default-protected/", "default-protected/./ ", R"(x\..\a-protected)"}) {
    set("CACHE_FALLBACK_KEY", forbidden);
    EXPECT_EQ(keys(cache("a")), Strings{"a-non_protected"}) << forbidden;
  }
}

TEST_F(CacheUseTest, Policy) {
  Cache made = cache("a");
  set("P", "push");
  for (const auto& [policy, pull, push] :
       {std::tuple{"pull-push", true, true}, std::tuple{"pull", true, false}, std::tuple{"push", false, true},
        std::tuple{"$P", false, true}, std::tuple{"$NOTHING", true, true}}) {
    made.policy = policy;
    const auto all = uses({made});
    ASSERT_EQ(all.size(), 1U) << policy;
    EXPECT_EQ(all[0].pull, pull) << policy;
    EXPECT_EQ(all[0].push, push) << policy;
  }
  set("P", "never");
  made.policy = "$P";
  EXPECT_TRUE(uses({made}).empty());
  EXPECT_EQ(warnings_,
            Strings{R"(cache: its policy $P is "never", not pull-push, pull or push: this cache is not used)"});
}

TEST_F(CacheUseTest, PathsAreExpandedAndWithoutAnyThereIsNone) {
  Cache made = cache("a");
  made.paths = {"$CI_COMMIT_REF_SLUG/out"};
  EXPECT_EQ(uses({made}).at(0).what.paths, Strings{"main/out"});
  made.paths.clear();
  EXPECT_TRUE(uses({made}).empty());
  made.untracked = true;
  EXPECT_TRUE(uses({cache("b"), made}).at(1).what.untracked);
  EXPECT_EQ(uses({cache("b"), made}).at(1).what.number, 1U);
}

TEST(CleanKey, LeavesNothingOfAPath) {
  EXPECT_EQ(clean_key("plain key"), "plain key");
  EXPECT_EQ(clean_key("a/b"), "a/b");
  EXPECT_EQ(clean_key("../../etc/passwd"), "etc/passwd");
  EXPECT_EQ(clean_key("a/../b"), "b");
  EXPECT_EQ(clean_key("a%2f..%5Cb"), "b");
  EXPECT_EQ(clean_key("a%2E%2e"), "a..");
  EXPECT_EQ(clean_key("a\\b"), "a/b");
  EXPECT_EQ(clean_key("a/ \t"), "a");
  EXPECT_EQ(clean_key("a  "), "a");
  EXPECT_EQ(clean_key("/./"), "");
  EXPECT_EQ(clean_key(""), "");
}

}  // namespace
}  // namespace runner
