// Pipelines of several files end to end: every command reads them the same way, and a run remembers what it read.
#include <gmock/gmock.h>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* main_file = R"(
spec: {inputs: {who: {default: world}}}
---
include:
  - local: ci/*.yml
    inputs: {who: $[[ inputs.who ]]}
  - local: only-branches.yml
    rules: [{if: $CI_COMMIT_BRANCH == "main"}]
greet: {extends: .greeting}
both: {script: [!reference [.greeting, script], echo more]}
)";
constexpr const char* included = R"(
spec: {inputs: {who: }}
---
.greeting: {script: [echo hello $[[ inputs.who ]]]}
)";

Project& prepare(Project& project) {
  return project.pipeline(main_file)
      .file("ci/greeting.yml", included)
      .file("only-branches.yml", "main-only: {script: echo main}\n")
      .commit();
}

TEST(Compose, EveryCommandReadsTheSameFiles) {
  Project project;
  prepare(project);
  const Result run = project.exec();
  EXPECT_EQ(run.code, 0) << run;
  EXPECT_EQ(run.printed("greet"), "hello world\n");
  EXPECT_EQ(run.printed("both"), "hello world\nmore\n");
  EXPECT_TRUE(run.finished_at_all("main-only"));
  EXPECT_FALSE(project.exec({"--branch", "other"}).finished_at_all("main-only"));
  EXPECT_EQ(project.exec({"--input", "who=you"}).printed("greet"), "hello you\n");

  const Result lint = project.run({"lint"});
  EXPECT_EQ(lint.code, 0) << lint;
  EXPECT_THAT(lint.out, HasSubstr("3 jobs"));
  EXPECT_THAT(project.run({"plan"}).out, HasSubstr("main-only"));

  const Result wrong = project.run({"lint", "--input", "hwo=x"});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("pipeline.yml has no input \"hwo\""));
}

TEST(Compose, PreviewPrintsWhatExecRuns) {
  Project project;
  prepare(project);
  const Result yaml = project.run({"preview"});
  EXPECT_EQ(yaml.code, 0) << yaml;
  EXPECT_THAT(yaml.out, HasSubstr("greet:\n  script:\n    - echo hello world\n"));
  project.file("all.yml", yaml.out);
  EXPECT_EQ(project.exec({"all.yml"}).printed("both"), "hello world\nmore\n");
  const Result again = project.run({"preview", "--output", "json"});
  EXPECT_EQ(Json::parse(again.out)["both"]["script"][1], "echo more");
  EXPECT_EQ(project.run({"preview", "--output", "xml"}).code, 2);
}

TEST(Compose, RefTakesTheCommitsFiles) {
  Project project;
  prepare(project);
  project.file("ci/greeting.yml", "spec: {inputs: {who: }}\n---\n.greeting: {script: [echo changed]}\n");
  EXPECT_EQ(project.exec().printed("greet"), "changed\n");
  EXPECT_EQ(project.exec({"--ref", "HEAD"}).printed("greet"), "hello world\n");
}

TEST(Compose, MistakesStandInTheFileThatHasThem) {
  Project project;
  prepare(project).file("ci/greeting.yml", ".greeting: {scirpt: [echo]}\nodd: {scirpt: x}\n");
  const Result result = project.run({"lint"});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("pipeline.yml:6:14: error: ci/greeting.yml has no input \"who\""));
  project.pipeline("include: ci/greeting.yml\n");
  EXPECT_THAT(project.run({"lint"}).err,
              HasSubstr("ci/greeting.yml:2:7: error: unknown keyword \"scirpt\" in job \"odd\"\n"
                        "    2 | odd: {scirpt: x}\n"));
}

TEST(Compose, WhatIsRefused) {
  Project project;
  project.file("a.yml", "include: http://169.254.169.254/latest/meta-data\n")
      .pipeline("include: a.yml\njob: {script: x}\n");
  EXPECT_THAT(project.run({"lint"}).err,
              AllOf(HasSubstr("a.yml:1:10: error: 169.254.169.254 is refused"), HasSubstr("(pipeline.yml -> a.yml)")));
  project.pipeline("include: /etc/passwd\njob: {script: x}\n");
  EXPECT_THAT(project.run({"lint"}).err, HasSubstr("only .yml and .yaml files can"));
  project.pipeline("include: {project: group/other, file: a.yml}\njob: {script: x}\n");
  EXPECT_THAT(project.run({"lint"}).err, HasSubstr("below [include.projects] in the configuration"));
}

TEST(Compose, OtherProjectsOfTheConfiguration) {
  Project other;
  other.file("t/job.yml", "include: t/more.yml\njob: {script: echo job}\n")
      .file("t/more.yml", "more: {script: echo more}\n")
      .file("templates/unit.yml", "spec: {component: [name]}\n---\n$[[ component.name ]]: {script: echo unit}\n")
      .commit();
  other.git("tag 1.0.0");
  Project project;
  project.configuration("[include.projects]\n\"group/other\" = \"" + other.path().string() + "\"\n");
  project.pipeline(
      "include:\n  - {project: group/other, file: t/job.yml}\n"
      "  - component: example.com/group/other/unit@1\n");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("more"), "more\n");
  EXPECT_EQ(result.printed("unit"), "unit\n");
}

// The included file and the inputs are no more what they were.
TEST(Compose, AResumedRunGoesOnWithWhatItRead) {
  Project project;
  project
      .pipeline(
          "spec: {inputs: {n: {type: number}}}\n---\ninclude: a.yml\n"
          "last: {stage: deploy, script: echo n is $[[ inputs.n ]]}\n")
      .file("a.yml",
            "wait: {stage: build, script: [echo waiting, 'while [ ! -e \"$GATE\" ]; do sleep 0.05; done', "
            "echo old], artifacts: {paths: [a.yml]}}\n");
  const std::filesystem::path gate = project.home() / "gate";
  auto run = project.start_exec({"--input", "n=5", "--variable", "GATE=" + gate.string()});
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  run->kill();
  run->wait();
  project.file("a.yml", "wait: {script: echo new}\n");
  sh("touch '" + gate.string() + "'");
  const Result resumed = project.run({"resume", "--output", "json"});
  EXPECT_EQ(resumed.code, 0) << resumed;
  EXPECT_THAT(resumed.log("wait"), AllOf(HasSubstr("old\n"), Not(HasSubstr("new"))));
  EXPECT_EQ(resumed.printed("last"), "n is 5\n");
}

}  // namespace
}  // namespace e2e
