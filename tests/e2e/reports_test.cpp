// `coverage`, reports at the end of a run, `release` and `pages`, by the program.
#include <gmock/gmock.h>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

using testing::HasSubstr;
using testing::Not;

Json report(const Result& result, const std::string& kind) {
  for (const Json& event : result.events) {
    if (event.value("event", "") == "report" && event.value("kind", "") == kind) return event;
  }
  return {};
}

constexpr const char* reporting = R"(
test:
  image: busybox
  coverage: '/Lines: (\d+\.\d+)%/'
  script:
    - echo "Lines:" "12.50%"; echo "Lines:" "87.25%"
    - echo '<testsuite><testcase classname="a" name="b"><failure/></testcase><testcase name="c"/></testsuite>' >junit.xml
    - echo '<coverage lines-covered="3" lines-valid="4"/>' >cov.xml
    - echo '[{"severity":"major"}]' >quality.json
    - echo '{"vulnerabilities":[{"severity":"High"}]}' >sast.json
    - echo '{"runs":[{"results":[{"level":"error"}]}]}' >x.sarif
  artifacts:
    reports:
      junit: junit.xml
      coverage_report: {coverage_format: cobertura, path: cov.xml}
      codequality: quality.json
      sast: sast.json
      sarif: x.sarif
)";

TEST(Reports, AreSummarised) {
  for (const bool docker : {false, true}) {
    Project project;
    project.pipeline(reporting);
    const Result result = docker ? project.docker() : project.exec();
    EXPECT_EQ(result.code, 0) << result;
    EXPECT_EQ(result.finished("test").value("coverage", 0.0), 87.25);
    EXPECT_EQ(report(result, "junit").value("tests", 0), 2);
    EXPECT_EQ(report(result, "junit").value("failures", 0), 1);
    EXPECT_EQ(report(result, "junit").value("failed", Json()), Json({"a.b"}));
    EXPECT_EQ(report(result, "coverage_report").value("line_rate", 0.0), 75.0);
    EXPECT_EQ(report(result, "codequality").value("major", 0), 1);
    EXPECT_EQ(report(result, "sast").value("high", 0), 1);
    EXPECT_EQ(report(result, "sarif").value("error", 0), 1);
    const Json run = project.runs().at(0);
    EXPECT_EQ(run.at("coverage"), Json({{"test", 87.25}}));
    EXPECT_EQ(run.at("reports").size(), 5U);
    EXPECT_EQ(run.at("reports").at(0).at("job"), "test");
  }
}

TEST(Reports, StandInTheClosingReport) {
  Project project;
  project.pipeline(reporting);
  const Ended ended = project.run({"exec", "--executor", "shell", "--output", "plain"});
  EXPECT_THAT(ended.out, HasSubstr("test: coverage         87.25 %\n"));
  EXPECT_THAT(ended.out, HasSubstr("test: junit            2 tests, 1 failed: a.b\n"));
  EXPECT_THAT(ended.out, HasSubstr("test: coverage_report  75.0 % of lines\n"));
  EXPECT_THAT(ended.out, HasSubstr("test: codequality      1 finding: 1 major\n"));
  EXPECT_THAT(ended.out, HasSubstr("test: sast             1 finding: 1 high\n"));
}

TEST(Reports, ThatCannotBeReadFailNoJob) {
  Project project;
  project.pipeline("test: {script: ['echo nonsense >j.xml'], artifacts: {reports: {junit: j.xml}}}\n");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.warnings("test"), testing::ElementsAre(HasSubstr("junit report j.xml cannot be read")));
}

TEST(Reports, NamesDoNotTellSecrets) {
  Project project;
  project.pipeline(
      "test: {script: ['echo \"<testsuite><testcase name=\\\"$S\\\"><failure/></testcase></testsuite>\" >j.xml'], "
      "artifacts: {reports: {junit: j.xml}}}\n");
  const Result result = project.exec({"--secret", "S=very-secret-value"});
  EXPECT_EQ(report(result, "junit").value("failed", Json()), Json({"[MASKED]"})) << result;
  EXPECT_THAT(result.out, Not(HasSubstr("very-secret-value")));
}

TEST(Reports, ADotenvThatIsTooLargeFailsTheJob) {
  Project project;
  project.pipeline(
      "test: {script: ['(printf A=; head -c 6000 /dev/zero | tr \"\\0\" x) >e'], "
      "artifacts: {reports: {dotenv: e}}}\n");
  const Result result = project.exec();
  EXPECT_EQ(result.reason("test"), "artifacts_failed") << result;
  EXPECT_THAT(result.message("test"), HasSubstr("must be smaller than 5 KiB"));
}

// ---- release

constexpr const char* releasing = R"(
job:
  image: busybox
  script: ['echo "What is new" >notes.md']
  release:
    tag_name: v$CI_JOB_NAME
    name: Release of $CI_JOB_NAME
    description: notes.md
    tag_message: $MESSAGE
    assets: {links: [{name: page, url: 'https://example.org/$CI_JOB_NAME'}]}
)";

TEST(Release, IsATagAndNotes) {
  for (const bool docker : {false, true}) {
    Project project;
    project.pipeline(releasing).commit();
    const Result result = docker ? project.docker() : project.exec();
    EXPECT_EQ(result.code, 0) << result;
    EXPECT_EQ(project.git("rev-parse vjob"), project.git("rev-parse HEAD")) << "lightweight";
    EXPECT_THAT(result.log("job"), HasSubstr("Release Release of job: tag vjob made at "));
    const Json notes = Json::parse(sh("sqlite3 '" + project.database().string() + "' 'SELECT json FROM releases'"));
    EXPECT_EQ(notes.at("description"), "What is new\n");
    EXPECT_EQ(notes.at("sha"), project.git("rev-parse HEAD"));
    EXPECT_EQ(notes.at("links").at(0).at("url"), "https://example.org/job");
    EXPECT_THAT(result.warnings("job"), testing::IsEmpty());
  }
}

TEST(Release, AMessageMakesTheTagAnnotated) {
  Project project;
  project.pipeline(std::string("variables: {MESSAGE: Finally}\n") + releasing).commit();
  EXPECT_EQ(project.exec().code, 0);
  EXPECT_EQ(project.git("cat-file -t vjob"), "tag");
  EXPECT_EQ(project.git("tag -l --format='%(contents)' vjob"), "Finally");
}

TEST(Release, OnlyWhenTheScriptPassed) {
  Project project;
  project.pipeline("job: {script: ['false'], release: {tag_name: v1, description: some text}}\n").commit();
  EXPECT_EQ(project.exec().code, 1);
  EXPECT_EQ(project.git("tag -l"), "");
}

TEST(Release, OfATagThatExists) {
  Project project;
  project.pipeline("job: {script: ['true'], release: {tag_name: v1, description: some text}}\n").commit();
  project.git("tag v1");
  project.file("more", "x").commit();
  const std::string tagged = project.git("rev-parse v1");
  const Result first = project.exec();
  EXPECT_EQ(first.code, 0) << first;
  EXPECT_THAT(first.log("job"), HasSubstr("tag v1 exists already and is left as it is"));
  EXPECT_EQ(project.git("rev-parse v1"), tagged);
  // A second release of it is what GitLab refuses.
  const Result second = project.exec();
  EXPECT_EQ(second.code, 1) << second;
  EXPECT_EQ(second.message("job"), "release: v1 exists already, made by run 1; `git tag -d v1` takes it back");
  project.git("tag -d v1");
  EXPECT_EQ(project.exec().code, 0);
}

TEST(Release, WhatGitRefusesFailsTheJob) {
  Project project;
  project.pipeline("job: {script: ['true'], release: {tag_name: 'a b', description: some text}}\n").commit();
  const Result bad = project.exec();
  EXPECT_EQ(bad.code, 1) << bad;
  EXPECT_THAT(bad.message("job"), HasSubstr("\"a b\" cannot be a tag's name"));
  project.pipeline("job: {script: ['true'], release: {tag_name: v1, ref: nowhere, description: some text}}\n");
  EXPECT_EQ(project.exec().code, 1);
}

TEST(Release, WithoutARepository) {
  Project project;
  project.pipeline("job: {script: ['true'], release: {tag_name: v1, description: some text}}\n");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.warnings("job"), testing::ElementsAre(HasSubstr("there is no git repository to tag")));
}

// ---- pages

TEST(Pages, TheFolderIsKept) {
  Project project;
  project.pipeline(
      "pages: {script: ['mkdir public; echo hi >public/index.html']}\n"
      "site: {script: ['mkdir out; echo ho >out/index.html'], pages: {publish: $D}, variables: {D: out}}\n");
  EXPECT_EQ(project.exec().code, 0);
  EXPECT_THAT(project.run({"artifacts", "pages"}).out, HasSubstr("public/index.html"));
  EXPECT_THAT(project.run({"artifacts", "site"}).out, HasSubstr("out/index.html"));
}

}  // namespace
}  // namespace e2e
