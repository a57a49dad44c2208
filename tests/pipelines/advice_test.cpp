#include "pipelines/advice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "pipelines/contradiction.h"
#include "pipelines/parse.h"

namespace pipelines {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// `LINE: message` of every warning.
std::vector<std::string> advice(std::string_view text) {
  const Parsed parsed = parse(text, "pipeline.yml");
  EXPECT_FALSE(has_errors(parsed.diagnostics)) << render(parsed.diagnostics, parsed.sources, false);
  std::vector<std::string> lines;
  for (const Diagnostic& diagnostic : advise(parsed.pipeline)) {
    EXPECT_EQ(diagnostic.severity, Severity::warning);
    lines.push_back(std::to_string(diagnostic.mark.line) + ": " + diagnostic.message);
  }
  return lines;
}

std::vector<std::string> of_rules(const std::string& rules) { return advice("a:\n  script: make\n  rules:\n" + rules); }

TEST(Advice, ARuleAfterOneThatAlwaysMatches) {
  EXPECT_THAT(of_rules("    - if: $A\n    - when: always\n    - if: $B\n    - if: $C\n"),
              ElementsAre("6: this rule is never reached: an earlier one always matches"));
  EXPECT_THAT(of_rules("    - if: '\"x\" == \"x\"'\n    - if: $B\n"), ElementsAre(HasSubstr("5: this rule is never")));
  EXPECT_THAT(of_rules("    - if: $A\n    - when: always\n"), IsEmpty());
  EXPECT_THAT(advice("workflow:\n  rules:\n    - when: always\n    - if: $A\n      when: never\na: {script: make}\n"),
              ElementsAre("4: this rule is never reached: an earlier one always matches"));
}

TEST(Advice, ARuleWhoseConditionAnEarlierOneCovers) {
  const std::string message = "this rule is never reached: an earlier one matches wherever it does";
  EXPECT_THAT(of_rules("    - if: $A\n      when: never\n    - if: $A\n    - if: $B\n"), ElementsAre("6: " + message));
  EXPECT_THAT(of_rules("    - if: '$A == \"x\"'\n    - if: '$B && \"x\" == $A'\n"), ElementsAre("5: " + message));
  EXPECT_THAT(of_rules("    - if: $B && $A\n    - if: $A\n"), IsEmpty());
  EXPECT_THAT(of_rules("    - if: $A\n      changes: [a]\n    - if: $A\n"), IsEmpty());
  EXPECT_THAT(of_rules("    - if: $A || $B\n    - if: $A\n"), IsEmpty()) << "true, but not looked into";
}

TEST(Advice, AConditionThatIsNeverTrue) {
  const auto why = [](std::string_view text) {
    const auto compiled = Expression::compile(text);
    return why_never_true(std::get<Expression>(compiled)).value_or("");
  };
  EXPECT_EQ(why("$A == \"a\" && $A == \"b\""), "$A cannot be \"a\" and \"b\" at once");
  EXPECT_EQ(why("$A == \"a\" && $B && ($A != \"a\")"), "$A cannot be \"a\" and not be it");
  EXPECT_EQ(why("!$A && $A == \"a\""), "$A cannot be \"a\" and empty");
  EXPECT_EQ(why("$A && !$A"), "");  // an empty one passes &&
  EXPECT_EQ(why("$A && !true"), "a part of it is always false");
  EXPECT_EQ(why("$A && $A == null"), "$A cannot be null and have a value");
  EXPECT_EQ(why("$A && $A == \"\""), "") << "an empty text passes &&, as in GitLab";
  EXPECT_EQ(why("$A == \"a\" && $A =~ /^b/"), "where $A is \"a\", it does not match the regular expression");
  EXPECT_EQ(why("$A == \"a\" && $A !~ /^a/"), "where $A is \"a\", it matches the regular expression");
  EXPECT_EQ(why("\"a\" == \"b\" && $A"), "a part of it is always false");
  EXPECT_EQ(why("null"), "a part of it is always false");
  EXPECT_EQ(why("$CI_COMMIT_BRANCH && $CI_COMMIT_TAG"), "the pipeline of a tag has no $CI_COMMIT_BRANCH");
  EXPECT_EQ(why("$CI_COMMIT_BRANCH == \"main\" && $CI_PIPELINE_SOURCE == \"merge_request_event\""),
            "the pipeline of a merge request ($CI_PIPELINE_SOURCE \"merge_request_event\") has no $CI_COMMIT_BRANCH");
  EXPECT_EQ(why("$CI_MERGE_REQUEST_IID && $CI_COMMIT_TAG =~ /^v/"),
            "the pipeline of a merge request ($CI_MERGE_REQUEST_IID) has no $CI_COMMIT_TAG");
  EXPECT_EQ(why("$CI_MERGE_REQUEST_IID && $CI_PIPELINE_SOURCE == \"push\""),
            "$CI_MERGE_REQUEST_IID is not there where $CI_PIPELINE_SOURCE is \"push\"");
  EXPECT_EQ(why("$A == \"x\" && ($B == \"1\" && $B == \"2\" || null)"), "$B cannot be \"1\" and \"2\" at once");
  for (const char* fine : {"$A", "$A == \"a\" || $A == \"b\"", "$A == null || $A == \"\"", "$A != \"a\" && $A != \"b\"",
                           "$A != null && $A == \"\"", "$CI_COMMIT_BRANCH || $CI_COMMIT_TAG",
                           "$CI_COMMIT_TAG == null && $CI_COMMIT_BRANCH", "$CI_COMMIT_BRANCH =~ /.*/ && $CI_COMMIT_TAG",
                           "$A == $B && $A == \"x\"", "$A =~ /^x/ && $A !~ /^y/",
                           "$CI_MERGE_REQUEST_IID && $CI_PIPELINE_SOURCE == \"parent_pipeline\""}) {
    EXPECT_EQ(why(fine), "") << fine;
  }
  EXPECT_THAT(of_rules("    - if: $A && $A == null\n    - if: $B\n"),
              ElementsAre("4: this rule never matches: $A cannot be null and have a value"));
}

TEST(Advice, AComparisonWithASourceThatThereIsNot) {
  EXPECT_THAT(
      of_rules("    - if: '$CI_PIPELINE_SOURCE == \"merge_request\"'\n    - if: '\"tag\" != $CI_PIPELINE_SOURCE'\n"),
      ElementsAre("4: $CI_PIPELINE_SOURCE is never \"merge_request\"", "5: $CI_PIPELINE_SOURCE is never \"tag\""));
  EXPECT_THAT(of_rules("    - if: '$CI_PIPELINE_SOURCE == \"schedule\" || $CI_PIPELINE_SOURCE == \"pre_push\"'\n"),
              IsEmpty());
}

TEST(Advice, AVariableThatOnlyTheRunningJobHas) {
  EXPECT_THAT(of_rules("    - if: $CI_JOB_ID || $CI_PROJECT_DIR == \"x\"\n"),
              ElementsAre("4: $CI_JOB_ID is null here: only the running job knows it",
                          "4: $CI_PROJECT_DIR is null here: only the running job knows it"));
}

TEST(Advice, PatternsThatMatchLessThanTheySeemTo) {
  EXPECT_THAT(of_rules("    - changes: [src/**, ./a, docs/, 'lib/**/*', Makefile]\n    - exists: [docs/, 'x/**']\n"),
              ElementsAre("4: `changes`: \"src/**\" matches only what is directly in that folder",
                          "4: `changes`: \"./a\" matches nothing: paths do not begin with ./",
                          "4: `changes`: \"docs/\" matches nothing: git knows files, not folders",
                          "5: `exists`: \"x/**\" matches only what is directly in that folder"));
}

TEST(Advice, AWhenThatEveryRuleReplaces) {
  EXPECT_THAT(advice("a:\n  script: make\n  when: manual\n  rules: [{if: $A, when: always}, {when: never}]\n"),
              ElementsAre("1: `when: manual` of job \"a\" is never used: each of its rules has a `when`"));
  EXPECT_THAT(advice("a:\n  script: make\n  when: manual\n  rules: [{if: $A}, {when: never}]\n"), IsEmpty());
}

TEST(Advice, OnFailureWhereNothingCanFail) {
  const std::string message = "job \"tidy\" never runs on a failure: nothing before it can fail";
  EXPECT_THAT(advice("tidy: {stage: build, script: make, when: on_failure}\nb: {script: make}\n"),
              ElementsAre("1: " + message));
  EXPECT_THAT(advice("tidy: {script: make, when: on_failure}\nb: {stage: build, script: make}\n"), IsEmpty());
  EXPECT_THAT(advice("tidy: {script: make, when: on_failure}\nb: {stage: build, script: make, allow_failure: true}\n"),
              ElementsAre("1: " + message));
  EXPECT_THAT(
      advice(
          "tidy: {script: make, when: on_failure}\nb: {stage: build, script: make, allow_failure: {exit_codes: 3}}\n"),
      IsEmpty());
  EXPECT_THAT(advice("b: {stage: build, script: make}\ntidy: {script: make, when: on_failure, needs: []}\n"),
              ElementsAre("2: " + message));
  EXPECT_THAT(advice("b: {stage: build, script: make}\ntidy: {script: make, when: on_failure, needs: [b]}\n"),
              IsEmpty());
  EXPECT_THAT(advice("tidy:\n  stage: build\n  script: make\n  rules:\n    - when: on_failure\n"),
              ElementsAre("5: " + message));
  EXPECT_THAT(advice("b: {stage: build, script: make, allow_failure: true, rules: [{if: $A, allow_failure: false}]}\n"
                     "tidy: {script: make, when: on_failure}\n"),
              IsEmpty());
}

TEST(Advice, NeedsOnAManualJob) {
  EXPECT_THAT(advice("a: {script: make, when: manual}\nb: {script: make, needs: [a]}\n"),
              ElementsAre("2: job \"b\" needs \"a\", which runs only when somebody starts it"));
  EXPECT_THAT(advice("a: {script: make, when: manual, allow_failure: false}\nb: {script: make, needs: [a]}\n"),
              IsEmpty())
      << "a gate";
  EXPECT_THAT(advice("a: {script: make, when: manual}\nb: {script: make, when: manual, needs: [a]}\n"), IsEmpty());
}

TEST(Advice, DependenciesOnAJobWithoutArtifacts) {
  EXPECT_THAT(advice("a: {stage: build, script: make}\nb: {script: make, dependencies: [a]}\n"),
              ElementsAre("2: `dependencies` of job \"b\" names \"a\", which leaves no artifacts"));
  EXPECT_THAT(advice("a: {stage: build, script: make, artifacts: {reports: {dotenv: x}}}\n"
                     "b: {script: make, dependencies: [a]}\n"),
              IsEmpty());
}

TEST(Advice, ArtifactsThatAreLaidOverACache) {
  const std::string build = "b: {stage: build, script: make, artifacts: {paths: [dist/]}}\n";
  const std::string message = "2: the artifacts of \"b\" are laid over the cache of \"t\": both have ";
  EXPECT_THAT(advice(build + "t: {script: make, cache: {paths: [dist]}}\n"), ElementsAre(message + "dist"));
  EXPECT_THAT(advice(build + "t: {script: make, needs: [b], cache: [{paths: [x, ./dist/**/*]}]}\n"),
              ElementsAre(message + "./dist/**/*"));
  EXPECT_THAT(advice(build + "t: {script: make, cache: {paths: [dist/x, node_modules]}}\n"), IsEmpty());
  EXPECT_THAT(advice(build + "t: {script: make, dependencies: [], cache: {paths: [dist]}}\n"), IsEmpty());
  EXPECT_THAT(advice(build + "t: {script: make, needs: [{job: b, artifacts: false}], cache: {paths: [dist]}}\n"),
              IsEmpty());
  EXPECT_THAT(advice(build + "t: {stage: build, script: make, cache: {paths: [dist]}}\n"), IsEmpty());
}

TEST(Advice, SecretsInPlainText) {
  // In pieces, so that no scanner of this repository takes them for real ones.
  const std::string token = "glpat-" + std::string("aB3dE6gH9jK2mN5pQ8sT");
  const std::string key = "AKIA" + std::string("Z7QXW3RTY5PLM2KD");
  EXPECT_THAT(advice("variables:\n  WHATEVER: " + token + "\na: {script: 'deploy --key " + key + "'}\n"),
              ElementsAre("2: variable WHATEVER has what looks like a GitLab token in plain text",
                          "3: a command of job \"a\" has what looks like an AWS access key in plain text"));
  EXPECT_THAT(
      advice("a:\n  script: make\n  variables:\n    DB_PASSWORD: s3cr3t-Word\n    API_KEY: {value: abcdef123456}\n"
             "  services: [{name: db, variables: {ROOT_PASSWORD: Xy12345678}}]\n"),
      ElementsAre("4: variable DB_PASSWORD has what seems to be a secret in plain text",
                  "5: variable API_KEY has what seems to be a secret in plain text",
                  "6: variable ROOT_PASSWORD has what seems to be a secret in plain text"));
  EXPECT_THAT(advice("a: {script: make}\nvariables: {DB_PASS: s3cr3t-Word}\n"),
              ElementsAre("2: variable DB_PASS has what seems to be a secret in plain text"));
  const std::string jwt = "eyJhbGciOiJIUzI1NiJ9." + std::string("eyJzdWIiOiIxMjM0NTYifQ") + ".aB3dE6gH9jK2mN5pQ8sTxyz0";
  EXPECT_THAT(advice("a: {script: 'curl -H " + jwt + "'}\n"),
              ElementsAre("1: a command of job \"a\" has what looks like a JSON Web Token in plain text"));
  for (const char* harmless :
       {"POSTGRES_PASSWORD: postgres", "BYPASS: aB3dE6gH9", "TOKEN: $CI_JOB_TOKEN", "SECRET: ''",
        "TOKEN_FILE: aB3dE6gH9jK2mN5pQ8sT", "CACHE_KEY: abcdef123456", "PASSWORD: 'true'", "PASSWORD: 12345678",
        "DB_PASSWORD: a1", "VAULT_TOKEN: /run/secrets/token1A", "KEY: password123"}) {
    EXPECT_THAT(advice("a: {script: make}\nvariables:\n  " + std::string(harmless) + "\n"), IsEmpty()) << harmless;
  }
  EXPECT_THAT(advice("a: {script: aws --key AKIAIOSFODNN7EXAMPLE}\n"), IsEmpty()) << "Amazon's own example";
}

// At the command itself: a script may be long, and may come from a template.
TEST(Advice, SecretsInCommandsAreShownWhereTheyStand) {
  const std::string token = "glpat-" + std::string("aB3dE6gH9jK2mN5pQ8sT");
  EXPECT_THAT(advice("a:\n  before_script:\n    - echo\n    - login " + token +
                     "\n  script:\n    - - echo\n      - echo " + token + "\n  after_script: logout " + token + "\n"),
              ElementsAre("4: a command of job \"a\" has what looks like a GitLab token in plain text",
                          "7: a command of job \"a\" has what looks like a GitLab token in plain text",
                          "8: a command of job \"a\" has what looks like a GitLab token in plain text"));
}

TEST(Advice, PasswordsInAddresses) {
  const std::string open = "https://user:" + std::string("pass@");
  EXPECT_THAT(
      advice("variables:\n  URL: " + open + "host/x\na: {script: 'git clone " + open + "host.example.com/x'}\n"),
      ElementsAre("2: variable URL has what looks like a password in an address in plain text",
                  "3: a command of job \"a\" has what looks like a password in an address in plain text"));
  for (const char* harmless : {"https://user:$PASSWORD@host", "https://user:${PASSWORD}@host", "https://user@host",
                               "https://host:8080/a@b", "https://user:***@host", "https://user:<password>@host",
                               "https://host/a:b@c", "https://user:%PASSWORD%@host"}) {
    EXPECT_THAT(advice("a: {script: make}\nvariables:\n  URL: '" + std::string(harmless) + "'\n"), IsEmpty())
        << harmless;
  }
}

}  // namespace
}  // namespace pipelines
