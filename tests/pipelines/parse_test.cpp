// Every keyword of the language, read into a Pipeline. What is said about wrong ones: golden_test.cpp.
#include "pipelines/parse.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace pipelines {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using Strings = std::vector<std::string>;

// A pipeline without a mistake; anything said about it fails the test.
Pipeline read(std::string_view text) {
  const Parsed parsed = parse(text, "pipeline.yml");
  EXPECT_EQ(render(parsed.diagnostics, parsed.sources, false), "");
  return parsed.pipeline;
}

// The first job of a file that has only this body, one keyword a line.
Job job(const std::string& body) {
  std::string text = "job:\n";
  if (body.find("script:") != 0 && body.find("\nscript:") == std::string::npos) {
    text += "  script: make\n";
  }
  std::size_t begin = 0;
  while (begin < body.size()) {
    const std::size_t end = std::min(body.find('\n', begin), body.size());
    text += "  " + body.substr(begin, end - begin) + "\n";
    begin = end + 1;
  }
  Pipeline pipeline = read(text);
  EXPECT_EQ(pipeline.jobs.size(), 1U);
  return pipeline.jobs.empty() ? Job() : pipeline.jobs[0];
}

std::string messages(std::string_view text) {
  std::string all;
  for (const Diagnostic& d : parse(text, "f").diagnostics) {
    all += (d.severity == Severity::error ? "error: " : "warning: ") + d.message + "\n";
  }
  return all;
}

// --- the file --------------------------------------------------------------------------------------------------------

TEST(Parse, JobsKeepTheFilesOrderAndHiddenOnesAreLeftOut) {
  const Pipeline pipeline = read("b: {script: x}\n.hidden: {script: x}\na: {script: x}\n");
  ASSERT_EQ(pipeline.jobs.size(), 2U);
  EXPECT_EQ(pipeline.jobs[0].name, "b");
  EXPECT_EQ(pipeline.jobs[1].name, "a");
  EXPECT_EQ(pipeline.jobs[1].mark, (Mark{0, 3, 1}));
}

TEST(Parse, HiddenJobsMayBeAnything) {
  read(".list: [a]\n.text: b\n.odd: {no_keyword: 1}\n.null:\njob: {script: x}\n");
}

TEST(Parse, AByteOrderMarkIsNoPartOfTheFile) {
  const Parsed parsed = parse("\xEF\xBB\xBFjob: {scipt: x}\n", "f");
  ASSERT_EQ(parsed.diagnostics.size(), 1U);
  EXPECT_EQ(parsed.diagnostics[0].mark, (Mark{0, 1, 7}));
  EXPECT_EQ(parsed.sources[0].text, "job: {scipt: x}\n");
}

TEST(Parse, APipelineMayBeJson) {
  std::string text = "{";
  for (int i = 0; i < 3000; ++i) {
    const std::string n = std::to_string(i);
    text += "\"job" + n + R"(": {"script": ["echo \"\\u001b[31m[[\"", "make"], "variables": {"A": "{"}}, )";
  }
  EXPECT_EQ(read(text + "\"last\": {\"script\": \"x\"}}").jobs.size(), 3001U);
}

TEST(Parse, AnEmptyOrHugeFileIsOneError) {
  EXPECT_EQ(messages(""), "error: the file is empty\n");
  EXPECT_EQ(messages(std::string(100 << 20, '#')), "error: the file is larger than 10 MB\n");
  EXPECT_TRUE(parse(std::string(100 << 20, '#'), "f").sources[0].text.empty()) << "a refused file is not copied";
}

TEST(Parse, StagesHaveGitLabsDefaults) {
  EXPECT_EQ(read("job: {script: x}\n").stages, (Strings{".pre", "build", "test", "deploy", ".post"}));
  EXPECT_EQ(read("stages:\njob: {script: x}\n").stages, (Strings{".pre", "build", "test", "deploy", ".post"}));
}

TEST(Parse, StagesAreFlattenedAndUniqueAndHaveTheirEdges) {
  EXPECT_EQ(read("stages: [.post, a, [b, [c]], a, .pre]\njob: {stage: c, script: x}\n").stages,
            (Strings{".pre", "a", "b", "c", ".post"}));
}

TEST(Parse, GlobalVariables) {
  const Variables variables =
      read(
          "variables:\n  A: text\n  B: {value: x, description: d, options: [x, y], expand: false, masked: true}\n"
          "  C: 12\n  D:\n  E: ''\njob: {script: x}\n")
          .variables;
  ASSERT_EQ(variables.size(), 5U);
  EXPECT_EQ(variables[0].name, "A");
  EXPECT_EQ(variables[0].value, "text");
  EXPECT_TRUE(variables[0].expand);
  EXPECT_FALSE(variables[0].masked);
  EXPECT_EQ(variables[0].mark, (Mark{0, 2, 3}));
  EXPECT_EQ(variables[1].value, "x");
  EXPECT_EQ(variables[1].description, "d");
  EXPECT_EQ(variables[1].options, (Strings{"x", "y"}));
  EXPECT_FALSE(variables[1].expand);
  EXPECT_TRUE(variables[1].masked);
  EXPECT_EQ(variables[2].value, "12");
  EXPECT_EQ(variables[3].value, "");
  EXPECT_EQ(variables[4].value, "");
}

TEST(Parse, VariablesAreWhatRubyMakesOfThem) {
  const Parsed parsed = parse("variables: {A: 012345, B: yes, C: 1.10, D: '1.10'}\njob: {script: x}\n", "f");
  const Variables& variables = parsed.pipeline.variables;
  ASSERT_EQ(variables.size(), 4U);
  EXPECT_EQ(variables[0].value, "5349");
  EXPECT_EQ(variables[1].value, "true");
  EXPECT_EQ(variables[2].value, "1.1");
  EXPECT_EQ(variables[3].value, "1.10");
  EXPECT_EQ(parsed.diagnostics.size(), 3U) << "each change is a warning";
  EXPECT_FALSE(has_errors(parsed.diagnostics));
}

TEST(Parse, Workflow) {
  const Workflow workflow = read(
                                "workflow:\n  name: $A of $B\n  rules:\n    - if: $A\n      when: never\n    - when: "
                                "always\n      variables: {B: c}\n"
                                "    - changes: [a]\n    - exists: [b]\njob: {script: x}\n")
                                .workflow;
  EXPECT_EQ(workflow.name, "$A of $B");
  ASSERT_TRUE(workflow.rules);
  ASSERT_EQ(workflow.rules->size(), 4U);
  EXPECT_EQ(workflow.rules->at(0).condition->text(), "$A");
  EXPECT_EQ(workflow.rules->at(0).when, When::never);
  EXPECT_EQ(workflow.rules->at(1).variables.at(0).value, "c");
  EXPECT_EQ(messages("workflow: {rules: [{if: $A, when: manual}]}\njob: {script: x}\n"),
            "error: `workflow:rules:when` must be always or never, not \"manual\"\n");
}

// --- default and inherit ---------------------------------------------------------------------------------------------

TEST(Default, FillsWhatAJobDoesNotSay) {
  const Pipeline pipeline = read(
      "default:\n  image: alpine\n  before_script: [a]\n  after_script: [b]\n  services: [db]\n  tags: [t]\n  retry: "
      "2\n"
      "  timeout: 1h\n  interruptible: true\n  artifacts: {paths: [p]}\n"
      "none: {script: x}\n"
      "all: {script: x, image: debian, before_script: [], after_script: [], services: [], tags: [], retry: 0, timeout: "
      "2h, "
      "interruptible: false, artifacts: {untracked: true}}\n");
  const Job& none = pipeline.jobs.at(0);
  EXPECT_EQ(none.image->name, "alpine");
  EXPECT_EQ(none.script.before, Strings{"a"});
  EXPECT_EQ(none.script.after, Strings{"b"});
  EXPECT_EQ(none.services.at(0).image.name, "db");
  EXPECT_EQ(none.tags, Strings{"t"});
  EXPECT_EQ(none.retry.max, 2);
  EXPECT_EQ(none.timeout, hours(1));
  EXPECT_EQ(none.interruptible, true);
  EXPECT_EQ(none.artifacts.paths, Strings{"p"});
  const Job& all = pipeline.jobs.at(1);
  EXPECT_EQ(all.image->name, "debian");
  EXPECT_TRUE(all.script.before.empty());
  EXPECT_TRUE(all.script.after.empty());
  EXPECT_TRUE(all.services.empty());
  EXPECT_TRUE(all.tags.empty());
  EXPECT_EQ(all.retry.max, 0);
  EXPECT_EQ(all.timeout, hours(2));
  EXPECT_EQ(all.interruptible, false);
  EXPECT_TRUE(all.artifacts.paths.empty()) << "a job's own value replaces the default wholly";
}

TEST(Default, NullIsNotAValue) {
  EXPECT_EQ(read("default: {image: alpine}\njob: {script: x, image: }\n").jobs.at(0).image->name, "alpine");
}

TEST(Default, TheDeprecatedGlobalsMeanTheSame) {
  const Job job =
      read("image: alpine\nservices: [db]\nbefore_script: [a]\nafter_script: b\njob: {script: x}\n").jobs.at(0);
  EXPECT_EQ(job.image->name, "alpine");
  EXPECT_EQ(job.services.at(0).image.name, "db");
  EXPECT_EQ(job.script.before, Strings{"a"});
  EXPECT_EQ(job.script.after, Strings{"b"});
}

TEST(Default, IsCheckedThoughNoJobTakesIt) {
  EXPECT_EQ(messages("default: {retry: 7}\njob: {script: x, retry: 1}\n"), "error: `retry` must be 0, 1 or 2\n");
}

TEST(Default, AMistakeIsSaidOnceForAllJobs) {
  EXPECT_EQ(messages("default: {retry: 7}\na: {script: x}\nb: {script: x}\n"), "error: `retry` must be 0, 1 or 2\n");
}

TEST(Inherit, ChoosesDefaults) {
  const Pipeline pipeline = read(
      "default: {image: alpine, tags: [t]}\n"
      "a: {script: x, inherit: {default: false}}\nb: {script: x, inherit: {default: [tags]}}\n"
      "c: {script: x, inherit: {default: true}}\nd: {script: x, inherit: {default: []}}\n");
  EXPECT_FALSE(pipeline.jobs.at(0).image);
  EXPECT_TRUE(pipeline.jobs.at(0).tags.empty());
  EXPECT_FALSE(pipeline.jobs.at(1).image);
  EXPECT_EQ(pipeline.jobs.at(1).tags, Strings{"t"});
  EXPECT_TRUE(pipeline.jobs.at(2).image);
  EXPECT_FALSE(pipeline.jobs.at(3).image);
}

TEST(Inherit, ChoosesVariables) {
  EXPECT_TRUE(job("").inherit_all_variables);
  EXPECT_FALSE(job("inherit: {variables: false}").inherit_all_variables);
  EXPECT_TRUE(job("inherit: {variables: false}").inherited_variables.empty());
  EXPECT_FALSE(job("inherit: {variables: [A, B]}").inherit_all_variables);
  EXPECT_EQ(job("inherit: {variables: [A, B]}").inherited_variables, (Strings{"A", "B"}));
}

// --- a job's keywords ------------------------------------------------------------------------------------------------

TEST(Keyword, Script) {
  EXPECT_EQ(job("script: make").script.main, Strings{"make"});
  EXPECT_EQ(job("script: [a, b]").script.main, (Strings{"a", "b"}));
  EXPECT_EQ(job("script: [a, [b, [c]], d]").script.main, (Strings{"a", "b", "c", "d"}));
  EXPECT_EQ(job("script:\n  - |\n    one\n    two").script.main, Strings{"one\ntwo\n"});
  EXPECT_EQ(job("before_script: a").script.before, Strings{"a"});
  EXPECT_EQ(job("after_script: [a, [b]]").script.after, (Strings{"a", "b"}));
}

TEST(Keyword, ScriptNestsTenLevels) {
  EXPECT_EQ(job("script: [[[[[[[[[[a]]]]]]]]]]").script.main, Strings{"a"});
  EXPECT_EQ(messages("job: {script: [[[[[[[[[[[a]]]]]]]]]]]}\n"),
            "error: `script` is nested too deeply: at most 10 lists in each other\n");
}

TEST(Keyword, Stage) {
  EXPECT_EQ(job("").stage, "test");
  EXPECT_EQ(job("").stage_mark.line, 0U);
  EXPECT_EQ(job("stage: build").stage, "build");
  EXPECT_EQ(job("stage: build").stage_mark, (Mark{0, 3, 10}));
}

TEST(Keyword, Image) {
  EXPECT_FALSE(job("").image);
  EXPECT_EQ(job("image: alpine:$VERSION").image->name, "alpine:$VERSION");
  EXPECT_EQ(job("image: alpine").image->mark, (Mark{0, 3, 10}));
  const Image image = *job("image: {name: a, entrypoint: [''], pull_policy: [always, if-not-present], docker: "
                           "{platform: arm64, user: '1'}}")
                           .image;
  EXPECT_EQ(image.name, "a");
  EXPECT_EQ(image.entrypoint, Strings{""});
  EXPECT_EQ(image.pull_policy, (std::vector{PullPolicy::always, PullPolicy::if_not_present}));
  EXPECT_EQ(image.platform, "arm64");
  EXPECT_EQ(image.user, "1");
  EXPECT_EQ(job("image: {name: a, pull_policy: never}").image->pull_policy, std::vector{PullPolicy::never});
  EXPECT_EQ(job("image: {name: a, entrypoint: []}").image->entrypoint, Strings{});
  EXPECT_EQ(job("image: {name: a}").image->entrypoint, std::nullopt);
}

TEST(Keyword, Services) {
  const std::vector<Service> services = job("services:\n  - postgres:16\n  - {name: redis, alias: 'cache, store  kv', "
                                            "command: [serve], entrypoint: [sh], "
                                            "variables: {A: b}, pull_policy: never, docker: {user: u}}")
                                            .services;
  ASSERT_EQ(services.size(), 2U);
  EXPECT_EQ(services[0].image.name, "postgres:16");
  EXPECT_TRUE(services[0].aliases.empty());
  EXPECT_EQ(services[0].command, std::nullopt);
  EXPECT_EQ(services[1].image.name, "redis");
  EXPECT_EQ(services[1].aliases, (Strings{"cache", "store", "kv"}));
  EXPECT_EQ(services[1].command, Strings{"serve"});
  EXPECT_EQ(services[1].image.entrypoint, Strings{"sh"});
  EXPECT_EQ(services[1].image.pull_policy, std::vector{PullPolicy::never});
  EXPECT_EQ(services[1].image.user, "u");
  EXPECT_EQ(services[1].variables.at(0).name, "A");
}

TEST(Keyword, Variables) {
  const Variables variables = job("variables: {A: b, C: {value: d, expand: false, masked: true}}").variables;
  ASSERT_EQ(variables.size(), 2U);
  EXPECT_EQ(variables[0].value, "b");
  EXPECT_EQ(variables[1].value, "d");
  EXPECT_FALSE(variables[1].expand);
  EXPECT_TRUE(variables[1].masked);
}

TEST(Keyword, Needs) {
  EXPECT_FALSE(job("").needs);
  EXPECT_TRUE(job("needs: []").needs->empty());
  const Pipeline pipeline = read(
      "a: {script: x}\nb: {script: x}\nc: {script: x, needs: [a, {job: b, artifacts: false, optional: true}]}\n"
      "d: {script: x, needs: {job: a}}\n");
  const std::vector<Need>& needs = *pipeline.jobs.at(2).needs;
  ASSERT_EQ(needs.size(), 2U);
  EXPECT_EQ(needs[0].job, "a");
  EXPECT_TRUE(needs[0].artifacts);
  EXPECT_FALSE(needs[0].optional);
  EXPECT_EQ(needs[0].mark, (Mark{0, 3, 24}));
  EXPECT_EQ(needs[1].job, "b");
  EXPECT_FALSE(needs[1].artifacts);
  EXPECT_TRUE(needs[1].optional);
  EXPECT_EQ(needs[1].mark, (Mark{0, 3, 33}));
  EXPECT_EQ(pipeline.jobs.at(3).needs->at(0).job, "a");
}

TEST(Keyword, Dependencies) {
  EXPECT_FALSE(job("").dependencies);
  EXPECT_TRUE(job("dependencies: []").dependencies->empty());
  EXPECT_EQ(read("a: {script: x, stage: build}\nb: {script: x, dependencies: [a]}\n").jobs.at(1).dependencies,
            Strings{"a"});
}

TEST(Keyword, Artifacts) {
  EXPECT_FALSE(job("").artifacts.any_paths());
  const Artifacts artifacts =
      job("artifacts:\n  name: $CI_JOB_NAME\n  paths: [out/, '*.log']\n  exclude: [out/tmp]\n  untracked: true\n"
          "  when: always\n  expire_in: 1 week\n  access: all")
          .artifacts;
  EXPECT_EQ(artifacts.name, "$CI_JOB_NAME");
  EXPECT_EQ(artifacts.paths, (Strings{"out/", "*.log"}));
  EXPECT_EQ(artifacts.exclude, Strings{"out/tmp"});
  EXPECT_TRUE(artifacts.untracked);
  EXPECT_EQ(artifacts.when, ArtifactsWhen::always);
  EXPECT_EQ(artifacts.expire_in, hours(24 * 7));
  EXPECT_EQ(artifacts.mark, (Mark{0, 4, 5}));
  EXPECT_EQ(job("artifacts: {when: on_failure, expire_in: never}").artifacts.expire_in, std::nullopt);
  EXPECT_EQ(job("artifacts: {when: on_failure, expire_in: 3600}").artifacts.expire_in, hours(1));
}

TEST(Keyword, ArtifactPathsAreNotJudged) {
  EXPECT_EQ(job("artifacts: {paths: [../secret, /etc/passwd]}").artifacts.paths, (Strings{"../secret", "/etc/passwd"}));
}

TEST(Keyword, Reports) {
  const std::vector<Report> reports =
      job("artifacts:\n  reports:\n    dotenv: build.env\n    junit: [a.xml, b.xml]\n    sast: gl.json\n"
          "    coverage_report: {coverage_format: cobertura, path: c.xml}")
          .artifacts.reports;
  ASSERT_EQ(reports.size(), 4U);
  EXPECT_EQ(reports[0].kind, "dotenv");
  EXPECT_EQ(reports[0].paths, Strings{"build.env"});
  EXPECT_EQ(reports[1].paths, (Strings{"a.xml", "b.xml"}));
  EXPECT_EQ(reports[3].kind, "coverage_report");
  EXPECT_EQ(reports[3].paths, Strings{"c.xml"});
}

TEST(Keyword, Rules) {
  EXPECT_FALSE(job("").rules);
  const Pipeline pipeline = read(
      "a: {script: x}\nb:\n  script: x\n  rules:\n"
      "    - if: $A == \"b\"\n      when: manual\n      allow_failure: true\n      variables: {C: d}\n      needs: "
      "[a]\n"
      "      interruptible: false\n"
      "    - changes: [src/**/*]\n"
      "    - changes: {paths: [a, b], compare_to: main}\n"
      "    - - exists: [Dockerfile]\n      - [{exists: {paths: [x]}}]\n"
      "    - when: delayed\n      start_in: 10 minutes\n");
  const std::vector<Rule>& rules = *pipeline.jobs.at(1).rules;
  ASSERT_EQ(rules.size(), 6U) << "lists in lists are flattened";
  EXPECT_EQ(rules[0].condition->text(), "$A == \"b\"");
  EXPECT_EQ(rules[0].when, When::manual);
  EXPECT_TRUE(rules[0].allow_failure->any);
  EXPECT_EQ(rules[0].variables.at(0).name, "C");
  EXPECT_EQ(rules[0].needs->at(0).job, "a");
  EXPECT_EQ(rules[0].interruptible, false);
  EXPECT_EQ(rules[0].mark, (Mark{0, 5, 7}));
  EXPECT_EQ(rules[0].changes, std::nullopt);
  EXPECT_EQ(rules[1].changes, Strings{"src/**/*"});
  EXPECT_EQ(rules[1].when, std::nullopt);
  EXPECT_EQ(rules[2].changes, (Strings{"a", "b"}));
  EXPECT_EQ(rules[2].compare_to, "main");
  EXPECT_EQ(rules[3].exists, Strings{"Dockerfile"});
  EXPECT_EQ(rules[4].exists, Strings{"x"});
  EXPECT_EQ(rules[5].start_in, minutes(10));
}

TEST(Keyword, RuleConditionsPointIntoTheScalar) {
  const Parsed parsed = parse("job:\n  script: x\n  rules:\n    - if: '$A == ='\n", "f");
  ASSERT_EQ(parsed.diagnostics.size(), 1U);
  EXPECT_EQ(parsed.diagnostics[0].mark, (Mark{0, 4, 18}));
}

TEST(Keyword, When) {
  EXPECT_EQ(job("").when, When::on_success);
  EXPECT_EQ(job("when: on_success").when, When::on_success);
  EXPECT_EQ(job("when: on_failure").when, When::on_failure);
  EXPECT_EQ(job("when: always").when, When::always);
  EXPECT_EQ(job("when: manual").when, When::manual);
  const Job delayed = job("when: delayed\nstart_in: 30 minutes");
  EXPECT_EQ(delayed.when, When::delayed);
  EXPECT_EQ(delayed.start_in, minutes(30));
}

TEST(Keyword, AllowFailure) {
  EXPECT_FALSE(job("").allow_failure);
  EXPECT_TRUE(job("allow_failure: true").allow_failure->any);
  EXPECT_FALSE(job("allow_failure: false").allow_failure->any);
  EXPECT_EQ(job("allow_failure: {exit_codes: 137}").allow_failure->exit_codes, std::vector{137});
  EXPECT_EQ(job("allow_failure: {exit_codes: [1, 255]}").allow_failure->exit_codes, (std::vector{1, 255}));
  EXPECT_FALSE(job("allow_failure: {exit_codes: [1]}").allow_failure->any);
}

TEST(Keyword, Timeout) {
  EXPECT_FALSE(job("").timeout);
  EXPECT_EQ(job("timeout: 3h 30m").timeout, minutes(210));
  EXPECT_EQ(job("timeout: 90").timeout, seconds(90));
}

TEST(Keyword, Retry) {
  EXPECT_EQ(job("").retry.max, 0);
  EXPECT_EQ(job("retry: 2").retry.max, 2);
  const Retry retry = job("retry: {max: 1, when: [script_failure, runner_system_failure], exit_codes: [3, 4]}").retry;
  EXPECT_EQ(retry.max, 1);
  EXPECT_EQ(retry.when, (Strings{"script_failure", "runner_system_failure"}));
  EXPECT_EQ(retry.exit_codes, (std::vector{3, 4}));
  EXPECT_EQ(job("retry: {max: 1, when: always}").retry.when, Strings{"always"});
  EXPECT_EQ(job("retry: {max: 1, exit_codes: 7}").retry.exit_codes, std::vector{7});
}

TEST(Keyword, TheSmallOnes) {
  EXPECT_EQ(job("interruptible: true").interruptible, true);
  EXPECT_EQ(job("tags: [docker, $TAG]").tags, (Strings{"docker", "$TAG"}));
  EXPECT_EQ(job("resource_group: prod").resource_group, "prod");
  EXPECT_EQ(job("coverage: '/Total: \\d+%/'").coverage, "Total: \\d+%");
  EXPECT_EQ(job("coverage: '/a\\/b/i'").coverage, "(?i)a\\/b");
}

TEST(Keyword, Environment) {
  EXPECT_FALSE(job("").environment);
  EXPECT_EQ(job("environment: prod").environment->name, "prod");
  const Pipeline pipeline = read(
      "a: {script: x, environment: {name: e/$B, url: 'http://e', on_stop: b, action: start, deployment_tier: staging, "
      "auto_stop_in: 1 day}}\nb: {script: x, environment: {name: e/$B, action: stop}}\n");
  const Environment& environment = *pipeline.jobs.at(0).environment;
  EXPECT_EQ(environment.name, "e/$B");
  EXPECT_EQ(environment.url, "http://e");
  EXPECT_EQ(environment.on_stop, "b");
  EXPECT_EQ(environment.action, "start");
  EXPECT_EQ(environment.tier, "staging");
}

// --- no cascades -----------------------------------------------------------------------------------------------------

TEST(Cascade, AMistakeInATemplateIsSaidOnce) {
  std::string text = ".base: {script: x, imge: a}\n";
  for (int i = 0; i < 100; ++i) {
    text += "job" + std::to_string(i) + ": {extends: .base}\n";
  }
  EXPECT_EQ(messages(text), "error: unknown keyword \"imge\" in \".base\"\n");
}

TEST(Cascade, AMisspeltScriptIsNotAlsoMissing) {
  EXPECT_EQ(messages("job: {scirpt: x}\n"), "error: unknown keyword \"scirpt\" in job \"job\"\n");
}

TEST(Cascade, AMisspeltStageIsNotAlsoMissing) {
  EXPECT_EQ(messages("stages: [a]\njob: {script: x, stge: a}\n"), "error: unknown keyword \"stge\" in job \"job\"\n");
}

TEST(Cascade, ABrokenExtendsIsNotAlsoAMissingScript) {
  EXPECT_EQ(messages("job: {extends: .nowhere}\nother: {script: x, needs: [job]}\n"),
            "error: \"job\" extends \".nowhere\", which is not defined\n");
}

TEST(Cascade, WrongStagesAreNotAlsoUndefined) {
  EXPECT_EQ(messages("stages: a\njob: {script: x, stage: a}\n"),
            "error: `stages` must be a list of names, not a string\n");
}

TEST(Cascade, WithAnIncludeNothingIsUndefined) {
  EXPECT_EQ(messages("include: a.yml\njob: {script: x, stage: s, needs: [n], extends: .e, dependencies: [d]}\n"),
            "error: `include` needs a project to look in, and there is none here\n");
}

TEST(Cascade, AJobThatIsNoMappingIsDefinedAllTheSame) {
  EXPECT_EQ(messages("a: make\nb: {script: x, needs: [a]}\n"), "error: job \"a\" must be a mapping, not a string\n");
}

// --- size ------------------------------------------------------------------------------------------------------------

TEST(Size, MistakesOfManyJobsAreBoundedAndQuick) {
  std::string text;
  for (int i = 0; i < 5000; ++i) {
    const std::string n = std::to_string(i);
    text += "j" + n + ": {script: x, stage: s" + n + ", needs: [k" + n + "], extends: .e" + n + ", kw" + n + ": 1}\n";
  }
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(parse(text, "f").diagnostics.size(), 1001U);
  // Generous: sanitizers and a busy machine. Were each mistake compared with each job, it would take minutes.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(20));
}

TEST(Size, WhatJobsTakeFromEachOtherIsBounded) {
  std::string text = ".a: {script: '" + std::string(100'000, 'x') + "'}\n";
  for (int i = 0; i < 5000; ++i) {
    text += "j" + std::to_string(i) + ": {extends: .a}\n";
  }
  EXPECT_EQ(messages(text),
            "error: the jobs of this file take far too much from each other by `extends`, `default` and `parallel`\n");
}

TEST(Size, AChainOfExtendsAsLongAsTheFile) {
  std::string text = ".a0: {script: x}\n";
  for (int i = 1; i < 20'000; ++i) {
    text += ".a" + std::to_string(i) + ": {extends: .a" + std::to_string(i - 1) + "}\n";
  }
  EXPECT_EQ(messages(text + "job: {extends: .a19999}\n"), "error: `extends` of \".a12\" goes through 12 levels\n");
}

TEST(Size, ACircleAsLongAsTheFile) {
  std::string text;
  for (int i = 0; i < 20'000; ++i) {
    text += "j" + std::to_string(i) + ": {script: x, needs: [j" + std::to_string((i + 1) % 20'000) + "]}\n";
  }
  const std::vector<Diagnostic> found = parse(text, "f").diagnostics;
  ASSERT_EQ(found.size(), 1U);
  EXPECT_TRUE(found[0].message.starts_with("jobs need each other in a circle: j0 -> j1 -> ")) << found[0].message;
  EXPECT_TRUE(found[0].message.ends_with(" -> j99 -> (19900 more) -> j0")) << found[0].message;
}

}  // namespace
}  // namespace pipelines
