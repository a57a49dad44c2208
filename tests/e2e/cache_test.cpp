// `cache` from run to run, by both executors and by an engine that sees nothing of this host.
#include <gmock/gmock.h>

#include <functional>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

// How a pipeline is run.
struct Way {
  const char* name;
  std::function<Result(Project&)> run;
  bool archive = false;
};

class Cache : public testing::TestWithParam<Way> {
 protected:
  Cache() {
    if (GetParam().archive) project_.configuration("[docker]\nworkspace = \"archive\"\n");
  }
  Result run(const std::string& text) {
    project_.pipeline("default: {image: busybox}\n" + text);
    return GetParam().run(project_);
  }
  Project project_;
};

INSTANTIATE_TEST_SUITE_P(All, Cache,
                         testing::Values(Way{"shell", [](Project& p) { return p.exec(); }},
                                         Way{"docker", [](Project& p) { return p.docker(); }},
                                         Way{"archive", [](Project& p) { return p.docker(); }, true}),
                         [](const auto& way) { return way.param.name; });

constexpr const char* counting = R"(
job:
  cache: {paths: [dir/]}
  script: ['mkdir -p dir; echo x >>dir/count; wc -l <dir/count | tr -d " "']
)";

TEST_P(Cache, IsThereInTheNextRun) {
  const Result first = run(counting);
  EXPECT_EQ(first.code, 0) << first;
  EXPECT_THAT(first.log("job"), HasSubstr("Cache default-non_protected: nothing is kept under this key yet\n"));
  EXPECT_THAT(first.log("job"), HasSubstr("\n1\n"));
  EXPECT_THAT(first.log("job"), HasSubstr("Cache default-non_protected saved: 1 file, 2 B\n"));
  const Result second = run(counting);
  EXPECT_THAT(second.log("job"), HasSubstr("Cache default-non_protected restored: 1 file, 2 B\n"));
  EXPECT_THAT(second.log("job"), HasSubstr("\n2\n"));
  EXPECT_THAT(run(counting).log("job"), HasSubstr("\n3\n"));
}

TEST_P(Cache, IsThereInALaterJobOfTheSameRun) {
  const Result result = run(R"(
first: {stage: build, cache: {paths: [f]}, script: ['sleep 0.3; echo made >f']}
second: {stage: test, cache: {paths: [f], policy: pull}, script: [cat f]}
)");
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.log("second"), HasSubstr("\nmade\n"));
}

TEST_P(Cache, UnchangedIsSaidAndChangedIsSaved) {
  run("job: {cache: {paths: [d]}, script: ['mkdir -p d/e; echo 1 >d/a; echo 2 >d/e/b']}\n");
  const Result same = run("job: {cache: {paths: [d]}, script: [sleep 0.05; cat d/a]}\n");
  EXPECT_THAT(same.log("job"), HasSubstr("Cache default-non_protected is unchanged: 2 files, 4 B\n"));
  const std::vector<std::string> changes = {"echo 3 >d/a", "rm d/e/b", "echo 9 >d/e/new", "chmod +x d/a",
                                            "rm -rf d/e; mkdir d/e; echo 5 >d/e/b"};
  for (const auto& change : changes) {
    run("job: {cache: {paths: [d]}, script: ['rm -rf d; mkdir -p d/e; echo 1 >d/a; echo 2 >d/e/b']}\n");
    const Result changed = run("job: {cache: {paths: [d]}, script: ['" + change + "']}\n");
    EXPECT_THAT(changed.log("job"), HasSubstr("Cache default-non_protected saved")) << change;
  }
}

// The stored one is never written through: not by the script, not by a job that may only pull.
TEST_P(Cache, AJobThatChangesItsFilesDoesNotChangeTheStoredOne) {
  run("job: {cache: {paths: [d]}, script: ['mkdir d; echo kept >d/a']}\n");
  for (int i = 0; i < 2; ++i) {
    const Result result = run(
        "job: {cache: {paths: [d], policy: pull}, script: ['cat d/a; echo more >>d/a; touch d/b; chmod 600 d/a']}\n");
    EXPECT_THAT(result.log("job"), HasSubstr("\nkept\n"));
    EXPECT_THAT(result.log("job"), Not(HasSubstr("more\n")));
    EXPECT_THAT(result.log("job"), Not(HasSubstr("saved")));
  }
}

TEST_P(Cache, WhenAndPolicy) {
  run("job: {cache: {paths: [f]}, script: ['echo 1 >f; false']}\n");
  EXPECT_THAT(run("job: {cache: {paths: [f]}, script: ['test ! -e f']}\n").outcome("job"), "passed");
  run("job: {cache: {paths: [f], when: on_failure}, script: ['echo 2 >f; false']}\n");
  EXPECT_THAT(run("job: {cache: {paths: [f], policy: push}, script: ['test ! -e f; echo 3 >f']}\n").log("job"),
              HasSubstr("Not restoring cache default-non_protected: its policy is push\n"));
  EXPECT_THAT(run("job: {cache: {paths: [f], policy: $P}, variables: {P: pull}, script: [cat f]}\n").log("job"),
              HasSubstr("\n3\n"));
  run("job: {cache: {paths: [f], when: always}, script: ['echo 4 >f; false']}\n");
  EXPECT_THAT(run("job: {cache: {paths: [f], when: always}, script: [cat f]}\n").log("job"), HasSubstr("\n4\n"));
}

TEST_P(Cache, FilesOfAfterScriptAreInIt) {
  run("job: {cache: {paths: [f]}, script: [\"true\"], after_script: ['echo late >f']}\n");
  EXPECT_THAT(run("job: {cache: {paths: [f]}, script: [cat f]}\n").log("job"), HasSubstr("\nlate\n"));
}

TEST_P(Cache, ArtifactsAreLaidOverIt) {
  run("job: {cache: {paths: [d]}, script: ['mkdir d; echo cache >d/a; echo cache >d/b']}\n");
  const Result result = run(R"(
make: {stage: build, script: ['mkdir d; echo artifact >d/a'], artifacts: {paths: [d]}}
use: {stage: test, cache: {paths: [d], policy: pull}, script: ['cat d/a d/b']}
)");
  EXPECT_THAT(result.log("use"), HasSubstr("\nartifact\ncache\n"));
}

TEST_P(Cache, BothACacheAndAnArtifact) {
  const Result result = run(R"(
make: {stage: build, cache: {paths: [d]}, script: ['mkdir -p d; echo x >>d/a'], artifacts: {paths: [d]}}
use: {stage: test, script: ['cat d/a']}
)");
  EXPECT_EQ(result.printed("use"), "x\n") << result;
  EXPECT_THAT(run("job: {cache: {paths: [d]}, script: ['cat d/a']}\n").log("job"), HasSubstr("\nx\n"));
}

TEST_P(Cache, SeveralOfOneJob) {
  const std::string text = R"(
job:
  cache:
    - {key: one, paths: [a]}
    - {key: {files: [lock]}, paths: [b]}
  script: ['cat a b 2>/dev/null || true; echo A >a; echo B >b']
)";
  project_.file("lock", "1");
  run(text);
  EXPECT_THAT(run(text).log("job"), HasSubstr("\nA\nB\n"));
  project_.file("lock", "2");
  const Result other = run(text);
  EXPECT_THAT(other.log("job"), HasSubstr("\nA\n"));
  EXPECT_THAT(other.log("job"), Not(HasSubstr("\nB\n")));
}

TEST_P(Cache, Untracked) {
  project_.file(".gitignore", "*.o\n").file("tracked", "x");
  project_.pipeline("job: {}").commit();
  run("job: {cache: {untracked: true}, script: ['echo o >a.o; echo n >new; echo more >>tracked']}\n");
  const Result result = run("job: {cache: {untracked: true}, script: ['cat a.o new; cat tracked']}\n");
  EXPECT_THAT(result.log("job"), HasSubstr("\no\nn\n"));
  EXPECT_THAT(result.log("job"), Not(HasSubstr("more\n")));
}

// ---- what does not depend on the executor

std::string keys(Project& project) {
  std::string all;
  for (const auto& row : Json::parse(project.run({"cache", "list", "--output", "json"}).out)) {
    all += row.at("key").get<std::string>() + " ";
  }
  return all;
}

TEST(CacheKeys, ProtectedBranchesHaveTheirOwn) {
  Project project;
  project.pipeline("job: {cache: {paths: [f]}, script: ['cat f || true; echo x >f']}\n").commit();
  project.git("branch -M main");
  EXPECT_THAT(project.exec().log("job"), HasSubstr("Cache default-protected saved"));
  project.git("checkout -q -b feature");
  EXPECT_THAT(project.exec().log("job"), HasSubstr("Cache default-non_protected: nothing is kept"));
  EXPECT_EQ(keys(project), "default-non_protected default-protected ");
  project.pipeline("job: {cache: {paths: [f], unprotect: true}, script: ['cat f']}\n");
  project.git("checkout -q main");
  EXPECT_THAT(project.exec().log("job"), HasSubstr("Cache default-non_protected restored"));
}

TEST(CacheKeys, FallbackKeys) {
  Project project;
  project.pipeline("job: {cache: {key: old, paths: [f]}, script: ['echo old >f']}\n");
  project.exec();
  const std::string text =
      "job: {cache: {key: new, paths: [f], fallback_keys: [none, old]}, script: [sleep 0.05; cat f]}\n";
  const Result result = project.pipeline(text).exec();
  EXPECT_THAT(result.log("job"), HasSubstr("Cache new-non_protected restored from old-non_protected: 1 file, 4 B\n"));
  EXPECT_THAT(result.log("job"), HasSubstr("Cache new-non_protected is unchanged")) << "its content is stored already";
  EXPECT_EQ(keys(project), "new-non_protected old-non_protected ");
  project.pipeline(
      "variables: {CACHE_FALLBACK_KEY: old-non_protected}\n"
      "job: {cache: {key: third, paths: [f]}, script: [cat f]}\n");
  EXPECT_THAT(project.exec().log("job"), HasSubstr("Cache third-non_protected restored from old-non_protected"));
}

TEST(CacheKeys, FilesCommits) {
  Project project;
  project.file("lock", "1")
      .pipeline("job: {cache: {key: {files_commits: [lock]}, paths: [f]}, script: ['echo x >f']}\n");
  project.commit();
  project.exec();
  const std::string first = keys(project);
  project.file("other", "x").commit();
  project.exec();
  EXPECT_EQ(keys(project), first) << "another file's commit";
  project.file("lock", "2").commit();
  project.exec();
  EXPECT_NE(keys(project), first);
}

TEST(CacheKeys, OfAnotherProjectAreNotSeen) {
  Project one;
  one.pipeline("job: {cache: {paths: [f]}, script: ['echo x >f']}\n").exec();
  Project other;
  other.use_database(one.database());
  EXPECT_THAT(other.pipeline("job: {cache: {paths: [f]}, script: ['test ! -e f']}\n").exec().log("job"),
              HasSubstr("nothing is kept"));
}

TEST(CacheCommand, ListsAndClears) {
  Project project;
  EXPECT_EQ(project.run({"cache", "list"}).out, "no caches\n");
  project.pipeline(
      "a: {cache: {key: a, paths: [f]}, script: ['echo 1 >f']}\n"
      "b: {cache: {key: b, paths: [f]}, script: ['echo 2 >f']}\n");
  project.exec({"--parallel", "1"});
  EXPECT_THAT(project.run({"cache", "list"}).out, HasSubstr("b-non_protected: 1 file, 2 B, used "));
  EXPECT_THAT(project.run({"doctor"}).out, HasSubstr("2, 4 B"));
  const Result unknown = project.run({"cache", "clear", "c-non_protected"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("there is no cache c-non_protected\nhint: did you mean"));
  EXPECT_THAT(project.run({"cache", "clear", "a-non_protected"}).out, HasSubstr("removed 1 cache, "));
  EXPECT_EQ(keys(project), "b-non_protected ");
  EXPECT_THAT(project.run({"cache", "clear"}).out, HasSubstr("removed 1 cache, "));
  EXPECT_EQ(keys(project), "");
  EXPECT_TRUE(fs::is_empty(project.work() / "c"));
}

TEST(CacheCommand, GcMindsTheLimit) {
  Project project;
  project.pipeline(
      "a: {cache: {key: a, paths: [f]}, script: ['head -c 3000 /dev/zero >f']}\n"
      "b: {stage: deploy, cache: {key: b, paths: [f]}, script: ['head -c 3000 /dev/urandom >f']}\n");
  project.exec();
  EXPECT_EQ(keys(project), "b-non_protected a-non_protected ");
  project.configuration("[cache]\nlimit = 4000\n");
  EXPECT_THAT(project.run({"gc"}).out, HasSubstr("1 cache,"));
  EXPECT_EQ(keys(project), "b-non_protected ");
}

// Runs at the same time save one key: what comes back is one run's files, all of them.
TEST(CacheKeys, ConcurrentRunsNeverMix) {
  Project project;
  project.pipeline(
      "job: {cache: {paths: [d]}, script: ['mkdir -p d; for i in 1 2 3 4 5 6; do echo $CI_PIPELINE_ID >d/$i; "
      "done']}\n");
  std::vector<std::unique_ptr<Process>> runs;
  for (int i = 0; i < 4; ++i) runs.push_back(project.start_exec());
  for (auto& run : runs) EXPECT_EQ(read_result(run->wait()).code, 0);
  const Result result =
      project.pipeline("job: {cache: {paths: [d], policy: pull}, script: ['sort -u d/* | wc -l']}\n").exec();
  EXPECT_THAT(result.log("job"), testing::ContainsRegex("\n *1\n"));
}

TEST(CacheKeys, AWrongPolicyInAVariableIsAWarning) {
  Project project;
  project.pipeline("job: {cache: {paths: [f], policy: $P}, variables: {P: sometimes}, script: ['true']}\n");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.warnings("job"), testing::ElementsAre(HasSubstr("this cache is not used")));
}

}  // namespace
}  // namespace e2e
