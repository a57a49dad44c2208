// `runner exec --watch`: a run, and another with every change of the project.
#include <gmock/gmock.h>

#include <thread>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class Watch : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(gate()); }
  std::filesystem::path gate() const { return project_.home() / "gate"; }
  std::unique_ptr<Process> start(const Arguments& arguments = {}) {
    Arguments all{"--watch", "--variable", "GATE=" + gate().string()};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return project_.start_exec(all);
  }
  void open(const std::string& name) { sh("touch '" + (gate() / name).string() + "'"); }
  // The events of that kind so far.
  static std::vector<Json> events(Process& run, const std::string& kind) {
    std::vector<Json> found;
    for (Json& event : read_events(run.out())) {
      if (event["event"] == kind) found.push_back(std::move(event));
    }
    return found;
  }
  static bool reached(Process& run, const std::string& kind, std::size_t count) {
    return eventually([&] { return events(run, kind).size() >= count; });
  }
  // Nothing starts for so long that it would have.
  static bool stays(Process& run, std::size_t runs) {
    std::this_thread::sleep_for(std::chrono::milliseconds(900));
    return events(run, "run_started").size() == runs;
  }
  static Ended leave(Process& run) {
    run.interrupt();
    return run.wait();
  }

  Project project_;
};

TEST_F(Watch, RunsAgainWhenAFileChanges) {
  project_.file("source.txt", "one").pipeline("test: {script: cat source.txt}");
  auto run = start();
  ASSERT_TRUE(reached(*run, "watching", 1));
  project_.file("source.txt", "two");
  ASSERT_TRUE(reached(*run, "watching", 2));
  const Result result = read_result(leave(*run));
  EXPECT_EQ(result.code, 0) << result;
  const std::vector<Json> logs = events(*run, "log");
  EXPECT_EQ(result.count("run_started"), 2U);
  EXPECT_THAT(result.out, AllOf(HasSubstr("\"text\":\"one\""), HasSubstr("\"text\":\"two\"")));
  ASSERT_EQ(result.count("changed"), 1U);
  EXPECT_EQ(events(*run, "changed").at(0)["paths"], Json({"source.txt"}));
}

TEST_F(Watch, WhatGitIgnoresIsNoChange) {
  project_.file(".gitignore", "*.log\n/build/\n")
      .file("deep/.gitignore", "*.tmp\n!kept.tmp\n")
      .file("source.txt", "one")
      .pipeline("test: {script: 'true'}")
      .commit();
  sh("echo 'private' >'" + (project_ / ".git/info/exclude").string() + "'");
  auto run = start();
  ASSERT_TRUE(reached(*run, "watching", 1));
  project_.file("a.log", "x").file("build/out", "x").file("deep/b.tmp", "x").file("private", "x");
  EXPECT_TRUE(stays(*run, 1));
  project_.commit("the index and HEAD move, the files do not");
  EXPECT_TRUE(stays(*run, 1));
  project_.file("deep/kept.tmp", "x");
  ASSERT_TRUE(reached(*run, "watching", 2));
  EXPECT_EQ(events(*run, "changed").at(0)["paths"], Json({"deep/kept.tmp"}));
  EXPECT_EQ(leave(*run).code, 0);
}

TEST_F(Watch, NewFoldersAreWatchedAndSavesByRename) {
  project_.pipeline("test: {script: 'true'}").commit();
  auto run = start();
  ASSERT_TRUE(reached(*run, "watching", 1));
  project_.file("new/deeper/file.txt", "x");
  ASSERT_TRUE(reached(*run, "watching", 2));
  project_.file("new/deeper/other.txt", "x");
  ASSERT_TRUE(reached(*run, "watching", 3));
  sh("cd '" + project_.path().string() + "' && echo y >.file.swp && mv .file.swp new/deeper/file.txt");
  ASSERT_TRUE(reached(*run, "watching", 4));
  EXPECT_EQ(events(*run, "changed").at(2)["paths"], Json({"new/deeper/file.txt"}));
  sh("rm -r '" + (project_ / "new").string() + "'");
  ASSERT_TRUE(reached(*run, "watching", 5));
  EXPECT_EQ(leave(*run).code, 0);
}

TEST_F(Watch, ManyChangesAtOnceAreOne) {
  project_.pipeline("test: {script: 'true'}");
  for (int i = 0; i < 200; ++i) project_.file("dir" + std::to_string(i % 20) + "/f" + std::to_string(i), "one");
  project_.commit();
  project_.git("checkout -q -b other");
  for (int i = 0; i < 200; ++i) project_.file("dir" + std::to_string(i % 20) + "/f" + std::to_string(i), "other");
  project_.commit();
  auto run = start();
  ASSERT_TRUE(reached(*run, "watching", 1));
  project_.git("checkout -q main");
  ASSERT_TRUE(reached(*run, "watching", 2));
  EXPECT_TRUE(stays(*run, 2));
  EXPECT_EQ(events(*run, "changed").at(0)["paths"].size(), 200U);
  EXPECT_EQ(leave(*run).code, 0);
}

TEST_F(Watch, TheFileIsReadAnewAndAnInvalidOneIsWaitedOut) {
  project_.pipeline("test: {script: echo first}");
  auto run = start();
  ASSERT_TRUE(reached(*run, "watching", 1));
  project_.pipeline("test: {scrip: echo second}");
  ASSERT_TRUE(reached(*run, "watching", 2));
  EXPECT_THAT(run->err(), AllOf(HasSubstr("pipeline.yml:1:"), HasSubstr("did you mean")));
  project_.pipeline("test: {script: echo third}");
  ASSERT_TRUE(reached(*run, "watching", 3));
  const Result result = read_result(leave(*run));
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.count("run_started"), 2U);
  EXPECT_THAT(result.out, HasSubstr("\"text\":\"third\""));
}

TEST_F(Watch, AnInvalidFileAtTheBeginningIsWaitedOutToo) {
  project_.pipeline("test: {scrip: echo}");
  auto run = start();
  ASSERT_TRUE(reached(*run, "watching", 1));
  EXPECT_EQ(leave(*run).code, 2);
}

TEST_F(Watch, ThePipelineFileCountsThoughGitIgnoresIt) {
  project_.file(".gitignore", "pipeline.yml\n").pipeline("test: {script: echo first}").commit();
  auto run = start();
  ASSERT_TRUE(reached(*run, "watching", 1));
  project_.pipeline("test: {script: echo second}");
  ASSERT_TRUE(reached(*run, "watching", 2));
  EXPECT_THAT(run->out(), HasSubstr("\"text\":\"second\""));
  EXPECT_EQ(leave(*run).code, 0);
}

TEST_F(Watch, WhatItWritesItselfIsNoChange) {
  project_.pipeline("test: {script: [echo x >out.txt], artifacts: {paths: [out.txt]}}");
  Options options;
  options.output = project_ / "log.json";
  Arguments words{"exec", "--watch", "--executor", "shell", "--output", "json", "--artifacts", "kept"};
  options.directory = project_.path();
  auto run = project_.start(words, options);
  const auto started = [&] { return run_program({"grep", "-c", "run_started", (project_ / "log.json").string()}).out; };
  ASSERT_TRUE(eventually([&] { return project_.has("kept/test/out.txt"); }));
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  EXPECT_EQ(started(), "1\n");
  project_.file("source.txt", "x");
  EXPECT_TRUE(eventually([&] { return started() == "2\n"; }));
  EXPECT_THAT(leave(*run).code, testing::AnyOf(0, 130));
}

TEST_F(Watch, LeavesWithTheLastRunsExitCode) {
  project_.pipeline("test: {script: exit 3}");
  auto run = start();
  ASSERT_TRUE(reached(*run, "watching", 1));
  const Ended end = leave(*run);
  EXPECT_EQ(end.code, 1);
  EXPECT_THAT(end.err, Not(HasSubstr("cancelling")));
}

TEST_F(Watch, CtrlCCancelsTheRunInFlightAndLeaves) {
  project_.pipeline("test: {script: [echo waiting, sleep 600]}");
  auto run = start();
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  const Result result = read_result(leave(*run));
  EXPECT_EQ(result.code, 130) << result;
  EXPECT_EQ(result.run_outcome(), "cancelled");
}

TEST_F(Watch, DoesNotGoWithRefOrDryRun) {
  project_.pipeline("test: {script: 'true'}").commit();
  EXPECT_EQ(project_.run({"exec", "--watch", "--ref", "HEAD"}).code, 2);
  EXPECT_EQ(project_.run({"exec", "--watch", "--dry-run"}).code, 2);
  EXPECT_EQ(project_.run({"exec", "--watch", "nojob"}).code, 2);
  EXPECT_THAT(project_.run({"exec", "--help"}).out, HasSubstr("runner exec --watch"));
}

// ---- workflow:auto_cancel:on_new_commit and interruptible

constexpr const char* waits_in_a = R"yaml(
a:
  interruptible: true
  script:
    - echo "a $(cat source.txt)"
    - while [ "$(cat source.txt)" = one ] && [ ! -e "$GATE/a" ]; do sleep 0.05; done
)yaml";

TEST_F(Watch, OnNewCommitConservativeReplacesARunWhoseJobsAreInterruptible) {
  project_.file("source.txt", "one").pipeline(waits_in_a);
  auto run = start();
  ASSERT_TRUE(run->wait_for("\"text\":\"a one\""));
  project_.file("source.txt", "two");
  ASSERT_TRUE(reached(*run, "watching", 1));
  const Result result = read_result(leave(*run));
  EXPECT_EQ(result.code, 0) << result;
  const std::vector<Json> ends = events(*run, "run_finished");
  ASSERT_EQ(ends.size(), 2U);
  EXPECT_EQ(ends[0]["outcome"], "cancelled");
  EXPECT_EQ(ends[0]["message"], "a newer run takes its place");
  EXPECT_EQ(ends[1]["outcome"], "passed");
}

TEST_F(Watch, OnNewCommitConservativeLetsARunFinishWhoseJobIsNotInterruptible) {
  project_.file("source.txt", "one").pipeline(std::string(waits_in_a) + "b: {script: [echo deploying]}\n");
  auto run = start();
  ASSERT_TRUE(run->wait_for("\"text\":\"deploying\""));
  ASSERT_TRUE(run->wait_for("\"text\":\"a one\""));
  project_.file("source.txt", "two");
  EXPECT_TRUE(stays(*run, 1));
  open("a");
  ASSERT_TRUE(reached(*run, "watching", 1));
  const std::vector<Json> ends = events(*run, "run_finished");
  ASSERT_EQ(ends.size(), 2U);
  EXPECT_EQ(ends[0]["outcome"], "passed");
  EXPECT_THAT(run->out(), HasSubstr("\"text\":\"a two\""));
  EXPECT_EQ(leave(*run).code, 0);
}

TEST_F(Watch, OnNewCommitInterruptibleCancelsSuchJobsAlone) {
  project_.file("source.txt", "one")
      .pipeline("workflow: {auto_cancel: {on_new_commit: interruptible}}\n" + std::string(waits_in_a) +
                "b: {script: [echo begun, 'while [ ! -e \"$GATE/b\" ]; do sleep 0.05; done', echo deployed]}\n" +
                "c: {stage: deploy, interruptible: true, script: echo c}\n");
  auto run = start();
  ASSERT_TRUE(run->wait_for("\"text\":\"begun\""));
  ASSERT_TRUE(run->wait_for("\"text\":\"a one\""));
  project_.file("source.txt", "two");
  ASSERT_TRUE(reached(*run, "job_finished", 2));  // a, which ran, and c, which waited
  open("b");
  ASSERT_TRUE(reached(*run, "watching", 1));
  std::map<std::string, std::string> first;
  for (const Json& end : events(*run, "job_finished")) {
    if (end["run"] == 1) first[end["job"]] = end["outcome"];
  }
  EXPECT_EQ(first, (std::map<std::string, std::string>{{"a", "cancelled"}, {"b", "passed"}, {"c", "cancelled"}}));
  EXPECT_EQ(events(*run, "run_finished").at(0)["outcome"], "cancelled");
  EXPECT_EQ(events(*run, "run_finished").at(1)["outcome"], "passed");
  EXPECT_EQ(leave(*run).code, 0);
}

TEST_F(Watch, OnNewCommitNoneCancelsNothing) {
  project_.file("source.txt", "one")
      .pipeline("workflow: {auto_cancel: {on_new_commit: none}}\n" + std::string(waits_in_a));
  auto run = start();
  ASSERT_TRUE(run->wait_for("\"text\":\"a one\""));
  project_.file("source.txt", "two");
  EXPECT_TRUE(stays(*run, 1));
  open("a");
  ASSERT_TRUE(reached(*run, "watching", 1));
  EXPECT_EQ(events(*run, "run_finished").at(0)["outcome"], "passed");
  EXPECT_EQ(events(*run, "run_started").size(), 2U);
  EXPECT_EQ(leave(*run).code, 0);
}

TEST_F(Watch, AJobOfAChildPipelineHoldsTheRunToo) {
  project_.file("source.txt", "one")
      .file("child.yml", "b: {script: [echo begun, 'while [ ! -e \"$GATE/b\" ]; do sleep 0.05; done']}\n")
      .pipeline("start: {trigger: {include: child.yml, strategy: depend, forward: {pipeline_variables: true}}}\n");
  auto run = start();
  ASSERT_TRUE(run->wait_for("\"text\":\"begun\""));
  project_.file("source.txt", "two");
  EXPECT_TRUE(stays(*run, 2));  // the run and its child
  open("b");
  ASSERT_TRUE(reached(*run, "watching", 1));
  EXPECT_EQ(events(*run, "run_finished").at(0)["outcome"], "passed");
  EXPECT_EQ(leave(*run).code, 0);
}

TEST_F(Watch, InDocker) {
  project_.file("source.txt", "one")
      .pipeline(
          "a: {image: busybox, interruptible: true, script: [echo \"a $(cat source.txt)\", '[ \"$(cat source.txt)\" = "
          "two ] "
          "|| sleep 600']}");
  auto run = project_.start_docker({"--watch"});
  ASSERT_TRUE(run->wait_for("\"text\":\"a one\""));
  project_.file("source.txt", "two");
  ASSERT_TRUE(reached(*run, "watching", 1));
  EXPECT_EQ(events(*run, "run_finished").at(0)["outcome"], "cancelled");
  EXPECT_EQ(events(*run, "run_finished").at(1)["outcome"], "passed");
  EXPECT_EQ(leave(*run).code, 0);
}

// The limit is one of a user namespace: here it is two watched directories.
TEST_F(Watch, WithoutEnoughWatchesItSaysWhatToDoAndLooksForItself) {
  project_.file("a/x", "").file("b/x", "").file("c/x", "").pipeline("test: {script: 'true'}");
  Options options;
  options.before = {"unshare", "-Ur", "sh", "-c", "echo 2 >/proc/sys/user/max_inotify_watches && exec \"$@\"", "sh"};
  auto run = project_.start_exec({"--watch"}, options);
  ASSERT_TRUE(reached(*run, "watching", 1));
  EXPECT_THAT(run->err(), AllOf(HasSubstr("fs.inotify.max_user_watches"), HasSubstr("sudo sysctl"),
                                HasSubstr("looked at every second")));
  project_.file("c/y", "new");
  ASSERT_TRUE(reached(*run, "watching", 2));
  EXPECT_EQ(leave(*run).code, 0);
}

TEST_F(Watch, OnATerminalItSaysWhatItDoes) {
  project_.pipeline("test: {script: 'true'}");
  auto run = project_.start({"exec", "--watch", "--executor", "shell", "--output", "plain"});
  ASSERT_TRUE(run->wait_for("watching " + project_.path().string()));
  project_.file("source.txt", "x");
  ASSERT_TRUE(run->wait_for("changed: source.txt"));
  ASSERT_TRUE(run->wait_for("run 2 passed"));
  EXPECT_TRUE(eventually([&] {
    const std::string text = run->err();
    return text.find("watching") != text.rfind("watching");
  }));
  EXPECT_EQ(leave(*run).code, 0);
}

}  // namespace
}  // namespace e2e
