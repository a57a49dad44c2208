#include "runner/hosts/git.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "tests/runner/hosts/git_fixture.h"

namespace runner {
namespace {

using namespace test;  // NOLINT: the fixture language
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class GitTest : public ::testing::Test {
 protected:
  TemporaryDirectory dir;

  static std::string message_of(const std::function<void()>& body) {
    try {
      body();
    } catch (const GitError& error) {
      EXPECT_FALSE(std::string(error.what()).empty());
      return std::string(error.what()) + " / " + error.hint;
    }
    ADD_FAILURE() << "nothing was thrown";
    return {};
  }
  static std::map<std::string, std::string> as_map(const std::vector<std::pair<std::string, std::string>>& list) {
    std::map<std::string, std::string> map(list.begin(), list.end());
    EXPECT_EQ(map.size(), list.size()) << "a name comes twice";
    return map;
  }
};

TEST_F(GitTest, ACommitOnABranch) {
  const GitRepository repo(dir / "my project");
  const std::string first = repo.commit("a", "1");
  const std::string sha = repo.commit("a", "2", "Fix: the thing\n\nBecause of this\nand that.");
  const GitFacts facts = read_git(repo.path());
  EXPECT_TRUE(facts.repository);
  EXPECT_TRUE(facts.commits);
  EXPECT_EQ(facts.sha, sha);
  EXPECT_EQ(facts.short_sha, sha.substr(0, 8));
  EXPECT_EQ(facts.before_sha, first);
  EXPECT_EQ(facts.branch, "main");
  EXPECT_EQ(facts.tag, "");
  EXPECT_EQ(facts.ref_name, "main");
  EXPECT_EQ(facts.ref_slug, "main");
  EXPECT_EQ(facts.title, "Fix: the thing");
  EXPECT_EQ(facts.description, "Because of this\nand that.\n");
  EXPECT_EQ(facts.message, "Fix: the thing\n\nBecause of this\nand that.\n");
  EXPECT_EQ(facts.author, "Ada Lovelace <ada@example.org>");
  EXPECT_EQ(facts.timestamp, "2023-11-15T00:13:20+02:00");
  EXPECT_EQ(facts.default_branch, "main");
  EXPECT_EQ(facts.project_path, "my-project");
  EXPECT_EQ(facts.project_name, "my-project");
  EXPECT_EQ(facts.project_namespace, "");
  EXPECT_EQ(facts.remote_url, "");
  EXPECT_EQ(fs::path(facts.git_dir), fs::canonical(repo / ".git"));
}

TEST_F(GitTest, TheFirstCommitHasNothingBeforeIt) {
  const GitRepository repo(dir / "p");
  repo.commit("a", "1");
  EXPECT_EQ(read_git(repo.path()).before_sha, std::string(40, '0'));
  EXPECT_EQ(changed_paths(repo.path(), ""), std::nullopt);
}

TEST_F(GitTest, ARepositoryWithoutCommits) {
  const GitRepository repo(dir / "p", "trunk");
  write(repo / "a", "1");
  const GitFacts facts = read_git(repo.path());
  EXPECT_TRUE(facts.repository);
  EXPECT_FALSE(facts.commits);
  EXPECT_EQ(facts.sha, "");
  EXPECT_EQ(facts.branch, "trunk");
  EXPECT_EQ(facts.ref_name, "trunk");
  EXPECT_THAT(source_list(repo.path()).paths, ElementsAre("a"));
  EXPECT_EQ(changed_paths(repo.path(), ""), std::nullopt);
  const auto variables = as_map(predefined_variables(facts, {}));
  EXPECT_EQ(variables.at("CI_COMMIT_BRANCH"), "trunk");
  EXPECT_FALSE(variables.contains("CI_COMMIT_SHA"));
}

TEST_F(GitTest, NoRepositoryAtAll) {
  write(dir / "plain/sub/a", "1");
  write(dir / "plain/b", "1");
  const GitFacts facts = read_git(dir / "plain");
  EXPECT_FALSE(facts.repository);
  EXPECT_EQ(facts.project_name, "plain");
  EXPECT_THAT(source_list(dir / "plain").paths, ElementsAre("b", "sub/a"));
  EXPECT_THAT(source_list(dir / "plain").tracked, IsEmpty());
  EXPECT_EQ(changed_paths(dir / "plain", ""), std::nullopt);
  EXPECT_THAT(message_of([&] { changed_paths(dir / "plain", "main"); }), HasSubstr("no git repository"));
  EXPECT_THAT(message_of([&] { read_git(dir / "plain", {"v1", false}); }), HasSubstr("--ref"));
  EXPECT_THAT(message_of([&] { read_git(dir / "nothing"); }), HasSubstr("No such file"));
  const auto variables = as_map(predefined_variables(facts, {}));
  EXPECT_EQ(variables.at("CI"), "true");
  EXPECT_FALSE(variables.contains("CI_COMMIT_REF_NAME"));
}

TEST_F(GitTest, ADetachedHead) {
  const GitRepository repo(dir / "p");
  const std::string sha = repo.commit("a", "1");
  repo.commit("a", "2");
  repo.git("checkout -q " + sha);
  EXPECT_EQ(read_git(repo.path()).branch, "");
  EXPECT_EQ(read_git(repo.path()).ref_name, sha.substr(0, 8));
  EXPECT_EQ(read_git(repo.path()).default_branch, "main");
  repo.git("tag zzz-plain");
  EXPECT_EQ(read_git(repo.path()).tag, "zzz-plain");
  repo.git("tag -a -m 'The first release' v1.0");
  const GitFacts facts = read_git(repo.path());
  EXPECT_EQ(facts.tag, "v1.0") << "an annotated one is preferred";
  EXPECT_EQ(facts.ref_name, "v1.0");
  EXPECT_EQ(facts.ref_slug, "v1-0");
  EXPECT_EQ(facts.tag_message, "The first release");
}

TEST_F(GitTest, AnotherRevision) {
  const GitRepository repo(dir / "p");
  const std::string first = repo.commit("a", "1");
  repo.git("tag -a -m 'one' v1");
  repo.git("checkout -q -b feature/Über-Größe");
  const std::string second = repo.commit("a", "2");
  repo.git("checkout -q main");
  EXPECT_EQ(read_git(repo.path(), {"feature/Über-Größe", false}).branch, "feature/Über-Größe");
  EXPECT_EQ(read_git(repo.path(), {"feature/Über-Größe", false}).sha, second);
  EXPECT_EQ(read_git(repo.path(), {"v1", false}).tag, "v1");
  EXPECT_EQ(read_git(repo.path(), {"v1", false}).tag_message, "one");
  EXPECT_EQ(read_git(repo.path(), {"v1", false}).branch, "");
  EXPECT_EQ(read_git(repo.path(), {"HEAD", false}).branch, "main");
  EXPECT_EQ(read_git(repo.path(), {first.substr(0, 10), false}).sha, first);
  EXPECT_EQ(read_git(repo.path(), {"HEAD~0", false}).sha, first);
  EXPECT_THAT(message_of([&] { read_git(repo.path(), {"nope", false}); }), HasSubstr("no commit nope"));
  EXPECT_THAT(message_of([&] { read_git(repo.path(), {"--upload-pack=x", false}); }), HasSubstr("no commit"));
}

TEST_F(GitTest, RemotesGiveTheProjectItsName) {
  const GitRepository repo(dir / "p");
  repo.commit("a", "1");
  const auto with = [&](const std::string& url) {
    repo.git("config remote.origin.url '" + url + "'");
    return read_git(repo.path());
  };
  GitFacts facts = with("https://me:secret@git.example.org:8443/group/sub/project.git");
  EXPECT_EQ(facts.remote_url, "https://git.example.org:8443/group/sub/project.git");
  EXPECT_EQ(facts.server_url, "https://git.example.org:8443");
  EXPECT_EQ(facts.project_path, "group/sub/project");
  EXPECT_EQ(facts.project_name, "project");
  EXPECT_EQ(facts.project_namespace, "group/sub");
  const auto variables = as_map(predefined_variables(facts, {}));
  EXPECT_EQ(variables.at("CI_PROJECT_URL"), "https://git.example.org:8443/group/sub/project");
  EXPECT_EQ(variables.at("CI_SERVER_HOST"), "git.example.org");
  EXPECT_EQ(variables.at("CI_SERVER_PORT"), "8443");
  EXPECT_EQ(variables.at("CI_PROJECT_PATH_SLUG"), "group-sub-project");
  EXPECT_EQ(variables.at("CI_PROJECT_ROOT_NAMESPACE"), "group");
  facts = with("git@example.org:group/project.git");
  EXPECT_EQ(facts.project_path, "group/project");
  EXPECT_EQ(facts.server_url, "https://example.org");
  facts = with("ssh://git:pw@example.org:2222/group/project");
  EXPECT_EQ(facts.remote_url, "ssh://git@example.org:2222/group/project");
  EXPECT_EQ(facts.project_path, "group/project");
  EXPECT_EQ(facts.server_url, "https://example.org");
  repo.git("config url.https://mirror.example.org/.insteadOf gh:");
  EXPECT_EQ(with("gh:group/project").remote_url, "https://mirror.example.org/group/project");
  facts = with("/srv/git/../odd name.git/");
  EXPECT_EQ(facts.project_path, "odd-name");
  EXPECT_EQ(facts.server_url, "");
  facts = with("https://example.org/../../etc/x.git");
  EXPECT_EQ(facts.project_path, "etc/x");
}

TEST_F(GitTest, ACloneKnowsItsDefaultBranch) {
  const GitRepository origin(dir / "origin", "trunk");
  origin.commit("a", "1");
  origin.git("checkout -q -b topic");
  origin.commit("b", "1");
  origin.git("checkout -q trunk");
  shell("git -c safe.directory='*' clone -q " + origin.path().string() + " " + (dir / "clone").string());
  const GitRepository clone(dir / "clone");
  clone.git("checkout -q -b mine");
  EXPECT_EQ(read_git(clone.path()).default_branch, "trunk");
  EXPECT_EQ(read_git(clone.path(), {"topic", false}).branch, "topic") << "not checked out here yet";
  EXPECT_EQ(read_git(clone.path(), {"origin/topic", false}).branch, "topic");
}

TEST_F(GitTest, LinkedWorktreesAndDirectoriesBelow) {
  const GitRepository repo(dir / "p");
  repo.commit("sub/a", "1");
  repo.git("worktree add -q -b other ../tree");
  const GitRepository tree(dir / "tree");
  const std::string sha = tree.commit("sub/b", "2");
  EXPECT_EQ(read_git(tree.path()).branch, "other");
  EXPECT_EQ(read_git(tree.path()).sha, sha);
  EXPECT_EQ(fs::path(read_git(tree.path()).common_dir), fs::canonical(repo / ".git"));
  EXPECT_THAT(source_list(tree / "sub").paths, ElementsAre("a", "b"));
  EXPECT_THAT(source_list(repo / "sub").tracked, ElementsAre("a"));
  EXPECT_THAT(commit_paths(repo / "sub", "other"), ElementsAre("a", "b"));
  EXPECT_EQ(changed_paths(tree / "sub", "main"), std::vector<std::string>{"b"});
}

TEST_F(GitTest, ABareRepositoryIsRefused) {
  shell("git init -q --bare " + (dir / "bare").string());
  EXPECT_THAT(message_of([&] { read_git(dir / "bare"); }), HasSubstr("bare repository"));
}

TEST_F(GitTest, SomebodyElsesRepositoryIsRead) {
  const GitRepository repo(dir / "p");
  const std::string sha = repo.commit("a", "1");
  if (::geteuid() == 0) {
    shell("chown -R 1234:1234 '" + repo.path().string() + "'");
  }
  EXPECT_EQ(read_git(repo.path()).sha, sha);
}

TEST_F(GitTest, ADamagedRepositoryIsTold) {
  const GitRepository repo(dir / "p");
  repo.commit("a", "1");
  write(repo / ".git/config", "[core\nnonsense");
  EXPECT_THAT(message_of([&] { read_git(repo.path()); }), HasSubstr("cannot open the git repository"));
}

TEST_F(GitTest, Dirty) {
  const GitRepository repo(dir / "p");
  repo.commit("a", "1");
  EXPECT_FALSE(read_git(repo.path(), {"", true}).dirty);
  write(repo / "untracked", "x");
  EXPECT_FALSE(read_git(repo.path(), {"", true}).dirty);
  write(repo / "a", "22");
  EXPECT_TRUE(read_git(repo.path(), {"", true}).dirty);
}

TEST_F(GitTest, ChangedPathsAreThoseOfTheWorkingTree) {
  const GitRepository repo(dir / "p");
  write(repo / ".gitignore", "*.log\n");
  repo.commit("kept", "1");
  write(repo / "deleted", "1");
  const std::string base = repo.commit("changed", "1");
  repo.commit("committed", "1");
  EXPECT_EQ(changed_paths(repo.path(), ""), std::vector<std::string>{"committed"});
  write(repo / "changed", "22");
  write(repo / "dir/untracked", "1");
  write(repo / "ignored.log", "1");
  fs::remove(repo / "deleted");
  write(repo / "staged", "1");
  repo.git("add staged");
  const std::vector<std::string> all{"changed", "committed", "deleted", "dir/untracked", "staged"};
  EXPECT_EQ(changed_paths(repo.path(), ""), all);
  EXPECT_EQ(changed_paths(repo.path(), base), all);
  EXPECT_EQ(changed_paths(repo.path(), "HEAD"),
            (std::vector<std::string>{"changed", "deleted", "dir/untracked", "staged"}));
  EXPECT_EQ(changed_paths(repo.path(), "", "HEAD"), std::vector<std::string>{"committed"});
  EXPECT_EQ(changed_paths(repo.path(), base, "HEAD"), std::vector<std::string>{"committed"});
  EXPECT_THAT(message_of([&] { changed_paths(repo.path(), "nope"); }), HasSubstr("no commit nope"));
}

TEST_F(GitTest, ABaseThatWentAnotherWayCountsFromWhereTheyParted) {
  const GitRepository repo(dir / "p");
  repo.commit("a", "1");
  repo.git("checkout -q -b topic");
  repo.commit("topic", "1");
  repo.git("checkout -q main");
  repo.commit("main", "1");
  repo.git("checkout -q topic");
  EXPECT_EQ(changed_paths(repo.path(), "main"), std::vector<std::string>{"topic"});
}

TEST_F(GitTest, SourcesAreWhatGitWouldTake) {
  const GitRepository repo(dir / "p");
  write(repo / ".gitignore", "build/\n*.log\n!important.log\n");
  write(repo / "build/forced", "1");
  write(repo / "src/a.c", "1");
  write(repo / "gone", "1");
  repo.commit("odd name \xc3\xa4", "1");
  repo.git("add -f build/forced");
  repo.git("commit -q -m more");
  fs::remove(repo / "gone");
  write(repo / "build/output", "1");
  write(repo / "x.log", "1");
  write(repo / "important.log", "1");
  write(repo / "node_modules/deep/x", "1");
  write(repo / ".git/info/exclude", "node_modules\n");
  write(repo / "untracked/new", "1");
  fs::create_symlink("nowhere", repo / "dangling");
  fs::create_directory(repo / "empty");
  ASSERT_EQ(::mkfifo((repo / "fifo").c_str(), 0600), 0);
  const SourceList list = source_list(repo.path());
  EXPECT_THAT(list.paths, ElementsAre(".gitignore", "build/forced", "dangling", "important.log", "odd name \xc3\xa4",
                                      "src/a.c", "untracked/new"));
  EXPECT_THAT(list.tracked, ElementsAre(".gitignore", "build/forced", "odd name \xc3\xa4", "src/a.c"));
  EXPECT_THAT(source_list(repo.path(), repo / "src").paths, ::testing::Not(::testing::Contains("src/a.c")));
}

TEST_F(GitTest, OurOwnStateIsNeverASource) {
  const GitRepository repo(dir / "p");
  repo.commit("a", "1");
  for (const char* file : {"runner.db", "runner.db-wal", "runner.db.work/s/x", "runner.db.chunks/00/y"}) {
    write(repo / file, "x");
  }
  EXPECT_THAT(source_list(repo.path(), repo / "runner.db").paths, ElementsAre("a"));
  EXPECT_THAT(source_list(repo.path(), repo.path()).paths, ::testing::Contains("a")) << "but never nothing at all";
}

TEST_F(GitTest, AProjectInAnIgnoredDirectoryStandsForItself) {
  const GitRepository repo(dir / "p");
  write(repo / ".gitignore", "build/\n");
  repo.commit("a", "1");
  write(repo / "build/project/pipeline.yml", "x");
  EXPECT_FALSE(read_git(repo / "build/project").repository);
  EXPECT_THAT(source_list(repo / "build/project").paths, ElementsAre("pipeline.yml"));
}

TEST_F(GitTest, SubmodulesAndNestedRepositories) {
  const GitRepository library(dir / "library");
  library.commit("lib.c", "1");
  const GitRepository repo(dir / "p");
  repo.commit("a", "1");
  repo.git("submodule add -q " + library.path().string() + " lib");
  repo.git("commit -q -m submodule");
  write(repo / "lib/new.c", "1");
  const GitRepository nested(dir / "p/nested");
  nested.commit("n", "1");
  const SourceList list = source_list(repo.path());
  EXPECT_THAT(list.paths, ElementsAre(".gitmodules", "a", "lib/lib.c", "lib/new.c", "nested/n"));
  EXPECT_THAT(list.tracked, ElementsAre(".gitmodules", "a", "lib/lib.c"));
}

TEST_F(GitTest, VariablesAreWhatTheRunIsTold) {
  const GitRepository repo(dir / "p");
  const std::string sha = repo.commit("a", "1", "Title");
  const GitFacts facts = read_git(repo.path());
  RunFacts run;
  run.config_path = "pipeline.yml";
  run.pipeline_iid = 7;
  run.created_at = "2024-01-01T00:00:00Z";
  auto variables = as_map(predefined_variables(facts, run));
  EXPECT_EQ(variables.at("CI_PIPELINE_SOURCE"), "push");
  EXPECT_EQ(variables.at("CI_COMMIT_SHA"), sha);
  EXPECT_EQ(variables.at("CI_COMMIT_BRANCH"), "main");
  EXPECT_EQ(variables.at("CI_COMMIT_REF_PROTECTED"), "true");
  EXPECT_EQ(variables.at("CI_PIPELINE_IID"), "7");
  EXPECT_EQ(variables.at("CI_CONFIG_PATH"), "pipeline.yml");
  EXPECT_EQ(variables.at("GITLAB_USER_NAME"), "Ada Lovelace");
  EXPECT_FALSE(variables.contains("CI_COMMIT_TAG"));
  EXPECT_FALSE(variables.contains("CI_MERGE_REQUEST_IID"));
  EXPECT_FALSE(variables.contains("CI_JOB_NAME"));

  run.branch = "feature/X";
  variables = as_map(predefined_variables(facts, run));
  EXPECT_EQ(variables.at("CI_COMMIT_BRANCH"), "feature/X");
  EXPECT_EQ(variables.at("CI_COMMIT_REF_SLUG"), "feature-x");
  EXPECT_EQ(variables.at("CI_COMMIT_REF_PROTECTED"), "false");

  run.event = "merge_request";
  variables = as_map(predefined_variables(facts, run));
  EXPECT_EQ(variables.at("CI_PIPELINE_SOURCE"), "merge_request_event");
  EXPECT_FALSE(variables.contains("CI_COMMIT_BRANCH"));
  EXPECT_EQ(variables.at("CI_COMMIT_REF_NAME"), "feature/X");
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME"), "feature/X");
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_TARGET_BRANCH_NAME"), "main");

  run = {};
  run.tag = "v2";
  variables = as_map(predefined_variables(facts, run));
  EXPECT_EQ(variables.at("CI_COMMIT_TAG"), "v2");
  EXPECT_EQ(variables.at("CI_COMMIT_REF_NAME"), "v2");
  EXPECT_FALSE(variables.contains("CI_COMMIT_BRANCH"));
}

// A repository whose remote is GitLab.com's, with a branch that left main after one commit.
class EventTest : public GitTest {
 protected:
  EventTest() : repo(dir / "p") {
    repo.git("remote add origin git@gitlab.com:Group/Sub/Project.git");
    base = repo.commit("a", "1", "On main");
    repo.git("checkout -q -b feature");
    sha = repo.commit("b", "1", "A feature");
  }

  std::map<std::string, std::string> told(RunFacts run) const {
    const GitFacts facts = read_git(repo.path(), {"", false, run.event == "tag"});
    if (run.event == "merge_request") run.merge_base = merge_base(repo.path(), facts.default_branch);
    return as_map(predefined_variables(facts, run));
  }
  std::map<std::string, std::string> told(const std::string& event) const {
    RunFacts run;
    run.event = event;
    return told(run);
  }

  GitRepository repo;
  std::string base, sha;
};

// The table's job-only rows: rules must not see them.
TEST_F(EventTest, WhatOnlyAJobKnowsIsNotThere) {
  for (const char* event : {"push", "merge_request", "schedule", "trigger"}) {
    const auto variables = told(event);
    for (const char* name : {"CI_JOB_ID",
                             "CI_JOB_URL",
                             "CI_JOB_TOKEN",
                             "CI_JOB_STATUS",
                             "CI_JOB_STARTED_AT",
                             "CI_JOB_TIMEOUT",
                             "CI_PIPELINE_ID",
                             "CI_PIPELINE_URL",
                             "CI_REPOSITORY_URL",
                             "CI_REGISTRY_USER",
                             "CI_DEPLOY_USER",
                             "CI_REGISTRY_PASSWORD",
                             "CI_DEPLOY_PASSWORD",
                             "CI_PROJECT_DIR",
                             "CI_BUILDS_DIR",
                             "CI_CONCURRENT_ID",
                             "CI_SERVER",
                             "CI_RUNNER_ID",
                             "CI_RUNNER_DESCRIPTION",
                             "CI_RUNNER_TAGS",
                             "CI_RUNNER_VERSION",
                             "CI_RUNNER_REVISION",
                             "CI_CONCURRENT_PROJECT_ID",
                             "CI_RUNNER_EXECUTABLE_ARCH"}) {
      EXPECT_FALSE(variables.contains(name)) << name << " at " << event;
    }
  }
}

TEST_F(EventTest, Push) {
  const auto variables = told("push");
  EXPECT_EQ(variables.at("CI_PIPELINE_SOURCE"), "push");
  EXPECT_EQ(variables.at("CI_COMMIT_BRANCH"), "feature");
  EXPECT_EQ(variables.at("CI_COMMIT_BEFORE_SHA"), base);
  EXPECT_EQ(variables.at("CI_COMMIT_REF_PROTECTED"), "false");
  EXPECT_EQ(variables.at("CI_COMMIT_MESSAGE_IS_TRUNCATED"), "false");
  EXPECT_FALSE(variables.contains("CI_OPEN_MERGE_REQUESTS"));
  RunFacts run;
  run.protected_ref = true;
  EXPECT_EQ(told(run).at("CI_COMMIT_REF_PROTECTED"), "true");
}

TEST_F(EventTest, MergeRequest) {
  RunFacts run;
  run.event = "merge_request";
  auto variables = told(run);
  EXPECT_EQ(variables.at("CI_PIPELINE_SOURCE"), "merge_request_event");
  EXPECT_FALSE(variables.contains("CI_COMMIT_BRANCH"));
  EXPECT_FALSE(variables.contains("CI_COMMIT_TAG"));
  EXPECT_EQ(variables.at("CI_COMMIT_REF_NAME"), "feature");
  EXPECT_EQ(variables.at("CI_COMMIT_BEFORE_SHA"), std::string(40, '0'));
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_IID"), "1");
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_TITLE"), "A feature");
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME"), "feature");
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_TARGET_BRANCH_NAME"), "main");
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_TARGET_BRANCH_PROTECTED"), "true");
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_DIFF_BASE_SHA"), base);
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_EVENT_TYPE"), "detached");
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA"), "");
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_PROJECT_PATH"), "Group/Sub/Project");
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_SOURCE_PROJECT_URL"), "https://gitlab.com/Group/Sub/Project");
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_DRAFT"), "false");
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_SQUASH_ON_MERGE"), "false");
  EXPECT_EQ(variables.at("CI_OPEN_MERGE_REQUESTS"), "Group/Sub/Project!1");
  for (const char* name : {"CI_MERGE_REQUEST_LABELS", "CI_MERGE_REQUEST_MILESTONE", "CI_MERGE_REQUEST_APPROVED"}) {
    EXPECT_FALSE(variables.contains(name)) << name;
  }

  std::string long_text(2800, 'x');
  long_text.replace(0, 1, "ü");
  run.merge_request = {"42", "Shiny", long_text, "1.0", "bug,ci", "ada,bob", true, true, true};
  variables = told(run);
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_IID"), "42");
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_REF_PATH"), "refs/merge-requests/42/head");
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_TITLE"), "Draft: Shiny");
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_DRAFT"), "true");
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_DESCRIPTION").size(), 2701U) << "2,700 characters, one of two bytes";
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_DESCRIPTION_IS_TRUNCATED"), "true");
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_MILESTONE"), "1.0");
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_LABELS"), "bug,ci");
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_ASSIGNEES"), "ada,bob");
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_APPROVED"), "true");
  EXPECT_EQ(variables.at("CI_MERGE_REQUEST_SQUASH_ON_MERGE"), "true");
  run.merge_request = {};
  run.merge_request.title = "[Draft] Shiny";
  EXPECT_EQ(told(run).at("CI_MERGE_REQUEST_DRAFT"), "true");
}

TEST_F(EventTest, Tag) {
  EXPECT_EQ(told("tag").at("CI_COMMIT_BRANCH"), "feature") << "without a tag; the command line refuses it";
  repo.git("tag -a -m 'It is out' v1.0");
  const auto variables = told("tag");
  EXPECT_EQ(variables.at("CI_PIPELINE_SOURCE"), "push");
  EXPECT_EQ(variables.at("CI_COMMIT_TAG"), "v1.0");
  EXPECT_EQ(variables.at("CI_COMMIT_TAG_MESSAGE"), "It is out");
  EXPECT_EQ(variables.at("CI_COMMIT_REF_NAME"), "v1.0");
  EXPECT_EQ(variables.at("CI_COMMIT_BEFORE_SHA"), std::string(40, '0'));
  EXPECT_FALSE(variables.contains("CI_COMMIT_BRANCH"));
  EXPECT_EQ(told("push").at("CI_COMMIT_BRANCH"), "feature") << "a push of the branch";
}

TEST_F(EventTest, ScheduleWebApiAndTriggerBringNoPush) {
  RunFacts run;
  run.event = "schedule";
  run.schedule = "nightly";
  EXPECT_EQ(told(run).at("CI_PIPELINE_SCHEDULE_DESCRIPTION"), "nightly");
  EXPECT_EQ(told("trigger").at("CI_PIPELINE_TRIGGERED"), "true");
  for (const char* event : {"schedule", "web", "api", "trigger"}) {
    const auto variables = told(event);
    EXPECT_EQ(variables.at("CI_PIPELINE_SOURCE"), event);
    EXPECT_EQ(variables.at("CI_COMMIT_BRANCH"), "feature") << event;
    EXPECT_EQ(variables.at("CI_COMMIT_BEFORE_SHA"), std::string(40, '0')) << event;
    EXPECT_FALSE(has_push_diff(event));
    EXPECT_EQ(variables.contains("CI_PIPELINE_TRIGGERED"), std::string(event) == "trigger");
  }
  EXPECT_TRUE(has_push_diff("push"));
  EXPECT_FALSE(has_push_diff("tag"));
}

TEST_F(EventTest, ParentPipeline) {
  EXPECT_EQ(told("parent_pipeline").at("CI_PIPELINE_SOURCE"), "parent_pipeline");
  EXPECT_EQ(told("parent_pipeline").at("CI_COMMIT_BEFORE_SHA"), base);
}

TEST_F(EventTest, PrePushKnowsWhatTheRemoteHas) {
  EXPECT_EQ(told("pre_push").at("CI_PIPELINE_SOURCE"), "pre_push");
  EXPECT_EQ(told("pre_push").at("CI_COMMIT_BEFORE_SHA"), std::string(40, '0')) << "a new branch";
  repo.git("update-ref refs/remotes/origin/feature " + base);
  EXPECT_EQ(told("pre_push").at("CI_COMMIT_BEFORE_SHA"), base);
  EXPECT_EQ(read_git(repo.path()).remote_sha, base);
}

TEST_F(EventTest, TheServerFromTheRemote) {
  auto variables = told("push");
  EXPECT_EQ(variables.at("CI_SERVER_NAME"), "GitLab");
  EXPECT_EQ(variables.at("CI_SERVER_HOST"), "gitlab.com");
  EXPECT_EQ(variables.at("CI_SERVER_SHELL_SSH_HOST"), "gitlab.com");
  EXPECT_EQ(variables.at("CI_SERVER_SHELL_SSH_PORT"), "22");
  EXPECT_EQ(variables.at("CI_SERVER_VERSION").substr(0, 3), variables.at("CI_SERVER_VERSION_MAJOR") + ".");
  EXPECT_EQ(variables.at("CI_API_V4_URL"), "https://gitlab.com/api/v4");
  EXPECT_EQ(variables.at("CI_PROJECT_NAMESPACE"), "Group/Sub");
  EXPECT_EQ(variables.at("CI_PROJECT_NAMESPACE_SLUG"), "group-sub");
  EXPECT_EQ(variables.at("CI_PROJECT_ROOT_NAMESPACE"), "Group");
  EXPECT_EQ(variables.at("CI_REGISTRY"), "registry.gitlab.com");
  EXPECT_EQ(variables.at("CI_REGISTRY_IMAGE"), "registry.gitlab.com/group/sub/project");
  EXPECT_EQ(variables.at("CI_PAGES_DOMAIN"), "gitlab.io");
  EXPECT_EQ(variables.at("CI_PAGES_URL"), "https://group.gitlab.io/sub/project");
  EXPECT_EQ(variables.at("CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX"), "gitlab.com:443/group/dependency_proxy/containers");

  repo.git("config remote.origin.url https://gitlab.com/ada/ada.gitlab.io.git");
  EXPECT_EQ(told("push").at("CI_PAGES_URL"), "https://ada.gitlab.io");
  repo.git("config remote.origin.url ssh://git@gitlab.example.com:2222/a/b.git");
  variables = told("push");
  EXPECT_EQ(variables.at("CI_SERVER_SHELL_SSH_PORT"), "2222");
  EXPECT_EQ(variables.at("CI_REGISTRY_IMAGE"), "registry.gitlab.example.com/a/b");
  EXPECT_FALSE(variables.contains("CI_PAGES_URL")) << "its address is not known";
  repo.git("config remote.origin.url https://code.example.com:8443/a/b.git");
  variables = told("push");
  EXPECT_EQ(variables.at("CI_SERVER_PORT"), "8443");
  EXPECT_FALSE(variables.contains("CI_REGISTRY"));
}

TEST_F(EventTest, MergeBase) {
  EXPECT_EQ(merge_base(repo.path(), "main"), base);
  EXPECT_EQ(merge_base(repo.path(), "feature"), sha);
  EXPECT_EQ(merge_base(repo.path(), "no-such"), "");
  repo.git("update-ref refs/remotes/origin/there " + base);
  EXPECT_EQ(merge_base(repo.path(), "there"), base);
  EXPECT_EQ(merge_base(repo.path(), "main", "main"), base);
}

TEST_F(GitTest, EventsHaveGitLabsWords) {
  EXPECT_EQ(pipeline_source("merge_request"), "merge_request_event");
  EXPECT_EQ(pipeline_source("schedule"), "schedule");
  EXPECT_EQ(pipeline_source("tag"), "push");
  EXPECT_EQ(pipeline_source("pre_push"), "pre_push");
  EXPECT_EQ(pipeline_source("no such"), "");
}

}  // namespace
}  // namespace runner
