#include "pipelines/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "pipelines/job_variables.h"

namespace pipelines {
namespace {

using namespace std::chrono_literals;
using Names = std::vector<std::string>;

Expression when_true(std::string_view text) { return std::get<Expression>(Expression::compile(text)); }

Variable variable(std::string name, std::string value) {
  Variable result;
  result.name = std::move(name);
  result.value = std::move(value);
  return result;
}

Rule rule_if(std::string_view condition, std::optional<When> when = std::nullopt) {
  Rule rule;
  rule.condition = when_true(condition);
  rule.when = when;
  return rule;
}

Job job(std::string name, std::string stage = "test") {
  Job result;
  result.name = std::move(name);
  result.stage = std::move(stage);
  result.script.main = {"true"};
  return result;
}

std::vector<Need> needs(const Names& names) {
  std::vector<Need> result;
  for (const std::string& name : names) result.push_back({name, true, false, {0, 7, 3}});
  return result;
}

struct World {
  Pipeline pipeline;
  Trigger trigger;
  Facts facts;
  Plan plan;

  World() { pipeline.stages = {".pre", "build", "test", "deploy", ".post"}; }

  Job& add(Job each) {
    pipeline.jobs.push_back(std::move(each));
    return pipeline.jobs.back();
  }
  void set(std::string_view name, std::string value, Precedence precedence = Precedence::predefined) {
    trigger.variables.set(name, std::move(value), precedence);
  }
  const Plan& make() { return plan = make_plan(pipeline, trigger, facts); }

  JobIndex index(std::string_view name) const {
    for (JobIndex i = 0; i < pipeline.jobs.size(); ++i) {
      if (pipeline.jobs[i].name == name) return i;
    }
    ADD_FAILURE() << "no job " << name;
    return 0;
  }
  const PlannedJob& operator[](std::string_view name) const { return plan.jobs[index(name)]; }
  std::string reason(std::string_view name) const { return plan.reason(pipeline, index(name)); }
  Names included() const {
    Names names;
    for (const PlannedJob& each : plan.jobs) {
      if (each.included) names.push_back(pipeline.jobs[each.job].name);
    }
    return names;
  }
  Names artifacts_from(std::string_view name) const {
    Names names;
    for (const JobIndex from : plan.artifacts_from(index(name))) names.push_back(pipeline.jobs[from].name);
    return names;
  }
  Names needed_by(std::string_view name) const {
    Names names;
    for (const PlannedNeed& need : (*this)[name].needs) names.push_back(pipeline.jobs[need.job].name);
    return names;
  }
  std::string value(std::string_view job_name, std::string_view name) const {
    const VariableSet set = plan.variables(pipeline, index(job_name));
    const VariableSet::Entry* entry = set.find(name);
    return entry ? entry->value : "(none)";
  }
};

TEST(Plan, JobsWithoutRulesAreIn) {
  World world;
  world.add(job("compile", "build"));
  world.add(job("unit"));
  world.make();
  EXPECT_EQ(world.included(), (Names{"compile", "unit"}));
  EXPECT_EQ(world["compile"].stage, 1U);
  EXPECT_EQ(world["unit"].stage, 2U);
  EXPECT_FALSE(world["unit"].dag);
  EXPECT_EQ(world.reason("unit"), "has no rules");
  EXPECT_TRUE(world.plan.diagnostics.empty());
  EXPECT_TRUE(world.plan.empty_reason.empty());
}

TEST(Plan, TheFirstMatchingRuleWins) {
  World world;
  world.set("CI_COMMIT_BRANCH", "main");
  Rule always;
  always.when = When::always;
  world.add(job("a")).rules = {rule_if("$CI_COMMIT_BRANCH == \"dev\""), rule_if("$CI_COMMIT_BRANCH == \"main\""),
                               always};
  world.add(job("b")).rules = {rule_if("$CI_COMMIT_BRANCH == \"dev\"")};
  world.add(job("c")).rules = {rule_if("$CI_COMMIT_BRANCH", When::never), always};
  world.add(job("d")).rules = {always};
  world.add(job("e")).rules = std::vector<Rule>{};
  Job& f = world.add(job("f"));
  f.when = When::on_failure;
  f.rules = {rule_if("$CI_COMMIT_BRANCH")};
  world.make();
  EXPECT_EQ(world.included(), (Names{"a", "d", "f"}));
  EXPECT_EQ(world.reason("a"), "rule 2: $CI_COMMIT_BRANCH (\"main\") == \"main\"");
  EXPECT_EQ(world.reason("b"), "no rule matched");
  EXPECT_EQ(world.reason("c"), "rule 1: $CI_COMMIT_BRANCH (\"main\"), when: never");
  EXPECT_EQ(world.reason("d"), "rule 1: always matches");
  EXPECT_EQ(world.reason("e"), "no rule matched");
  EXPECT_EQ(world["a"].when, When::on_success);
  EXPECT_EQ(world["d"].when, When::always);
  EXPECT_EQ(world["f"].when, When::on_failure);  // a rule without `when` keeps the job's
}

TEST(Plan, ARuleNeedsAllOfIfChangesAndExists) {
  for (int mask = 0; mask < 8; ++mask) {
    World world;
    world.set("A", (mask & 1) != 0 ? "yes" : "");
    world.facts.changed_paths = [&](std::string_view) { return Names{(mask & 2) != 0 ? "src/deep/a.c" : "doc/a"}; };
    world.facts.source_paths = [&] { return Names{"zzz", (mask & 4) != 0 ? "Dockerfile" : "Makefile"}; };
    Rule rule = rule_if("$A");
    rule.changes = Names{"other/*", "src/**/*"};
    rule.exists = Names{"nothing", "Docker*"};
    world.add(job("a")).rules = {rule};
    world.make();
    EXPECT_EQ(world["a"].included, mask == 7) << mask;
    if (mask == 7) {
      EXPECT_EQ(world.reason("a"), "rule 1: $A (\"yes\") and changes in other/*, src/**/* and exists nothing, Docker*");
    }
  }
}

TEST(Plan, ChangesAreTrueWhereThereIsNothingToCompareWith) {
  World world;
  Rule rule;
  rule.changes = Names{"x"};
  world.add(job("a")).rules = {rule};
  world.make();
  EXPECT_TRUE(world["a"].included);
  world.facts.changed_paths = [](std::string_view) { return std::nullopt; };
  world.make();
  EXPECT_TRUE(world["a"].included);
  world.facts.changed_paths = [](std::string_view) { return Names{}; };
  world.make();
  EXPECT_FALSE(world["a"].included);
}

TEST(Plan, PatternsAndComparisonsExpandVariablesAndFactsAreAskedOnce) {
  World world;
  world.set("DIR", "src");
  world.set("BASE", "main");
  Names asked;
  int listed = 0;
  world.facts.changed_paths = [&](std::string_view base) -> std::optional<Names> {
    asked.emplace_back(base);
    return Names{base == "main" ? "src/a" : "lib/b"};
  };
  world.facts.source_paths = [&] {
    ++listed;
    return Names{"src/main.c", "doc/x/y.md"};
  };
  Rule own, compared, file, dir, glob_dir, no_dir;
  own.changes = Names{"$DIR/*"};
  compared.changes = Names{"${DIR}/*"};
  compared.compare_to = "refs/$BASE";
  file.exists = Names{"$DIR/main.c"};
  dir.exists = Names{"doc/x/"};
  glob_dir.exists = Names{"*oc/"};
  no_dir.exists = Names{"doc"};
  compared.compare_to = "$BASE";
  for (int i = 0; i < 3; ++i) {
    const std::string n = std::to_string(i);
    world.add(job("own" + n)).rules = {own};
    world.add(job("compared" + n)).rules = {compared};
    world.add(job("file" + n)).rules = {file};
    world.add(job("dir" + n)).rules = {dir};
    world.add(job("glob_dir" + n)).rules = {glob_dir};
    world.add(job("no_dir" + n)).rules = {no_dir};
  }
  world.make();
  EXPECT_EQ(asked, (Names{"", "main"}));
  EXPECT_EQ(listed, 1);
  for (const std::string n : {"0", "1", "2"}) {
    EXPECT_FALSE(world["own" + n].included);
    EXPECT_TRUE(world["compared" + n].included);
    EXPECT_TRUE(world["file" + n].included);
    EXPECT_TRUE(world["dir" + n].included);
    EXPECT_TRUE(world["glob_dir" + n].included);
    EXPECT_FALSE(world["no_dir" + n].included);
  }
}

TEST(Plan, ChangesSeeWhatValuesReferTo) {
  World world;
  world.set("TOP", "src");
  world.set("BASE", "main");
  Names asked;
  world.facts.changed_paths = [&](std::string_view base) -> std::optional<Names> {
    asked.emplace_back(base);
    return Names{"src/a"};
  };
  world.facts.source_paths = [] { return Names{"src/a"}; };
  const auto add = [&](const std::string& name, const Rule& rule) {
    Job& made = world.add(job(name));
    Variable dir, target;
    dir.name = "DIR", dir.value = "$TOP";
    target.name = "TARGET", target.value = "${BASE}";
    made.variables = {dir, target};
    made.rules = {rule};
  };
  Rule changes, compared, exists, unknown;
  changes.changes = Names{"$DIR/*"};
  compared.changes = Names{"$DIR/*"};
  compared.compare_to = "$TARGET";
  exists.exists = Names{"$DIR/a"};  // these see the values as they were written
  unknown.changes = Names{"$NOWHERE/*", "src/$NOWHERE"};
  add("changes", changes);
  add("compared", compared);
  add("exists", exists);
  add("unknown", unknown);
  world.make();
  EXPECT_EQ(world.included(), (Names{"changes", "compared"}));
  EXPECT_EQ(asked, (Names{"", "main"}));
}

TEST(Plan, CompareToThatNamesNothingIsAnError) {
  World world;
  world.facts.bad_ref = [](std::string_view ref) -> std::optional<BadRef> {
    if (ref == "main") return std::nullopt;
    return BadRef{"there is no commit " + std::string(ref), "name another"};
  };
  world.facts.changed_paths = [](std::string_view) { return Names{"src/a"}; };
  Rule good, bad, unreached;
  good.changes = bad.changes = unreached.changes = Names{"src/*"};
  good.compare_to = "main";
  bad.compare_to = "nope";
  bad.compare_to_mark = {0, 7, 9};
  unreached = bad;
  unreached.condition = rule_if("$NOT_SET").condition;
  world.add(job("good")).rules = {good};
  world.add(job("bad")).rules = {bad};
  world.add(job("like it")).rules = {bad};
  world.add(job("unreached")).rules = {unreached};
  world.make();
  ASSERT_EQ(world.plan.diagnostics.size(), 1U);
  const Diagnostic& said = world.plan.diagnostics[0];
  EXPECT_EQ(said.severity, Severity::error);
  EXPECT_EQ(said.message, "`compare_to`: there is no commit nope");
  EXPECT_EQ(said.hint, "name another");
  EXPECT_EQ(said.mark.line, 7U);
  EXPECT_TRUE(world["good"].included);
}

TEST(Plan, ManualIsOptionalForAJobAndBlocksForARule) {
  World world;
  world.add(job("job")).when = When::manual;
  world.add(job("rule")).rules = {rule_if("null == null", When::manual)};
  Job& both = world.add(job("both"));
  both.when = When::manual;
  both.rules = {rule_if("null == null")};
  Job& off = world.add(job("off"));
  off.when = When::manual;
  off.allow_failure = AllowFailure{false, {}};
  Rule optional = rule_if("null == null", When::manual);
  optional.allow_failure = AllowFailure{true, {}};
  world.add(job("optional")).rules = {optional};
  Job& codes = world.add(job("codes"));
  codes.allow_failure = AllowFailure{false, {42}};
  codes.rules = {rule_if("null == null")};
  Job& turned = world.add(job("turned"));
  turned.when = When::manual;
  turned.rules = {rule_if("null == null", When::on_success)};
  Job& twice = world.add(job("twice"));
  twice.when = When::manual;
  twice.rules = {rule_if("null == null", When::manual)};
  world.make();
  EXPECT_TRUE(world["job"].allow_failure.any);
  EXPECT_FALSE(world["rule"].allow_failure.any);
  EXPECT_TRUE(world["both"].allow_failure.any);
  EXPECT_FALSE(world["off"].allow_failure.any);
  EXPECT_TRUE(world["optional"].allow_failure.any);
  EXPECT_EQ(world["codes"].allow_failure.exit_codes, std::vector<int>{42});
  EXPECT_TRUE(world["turned"].allow_failure.any);  // lib/gitlab/ci/config/entry/job.rb, ignored?: the job's own `when`
  EXPECT_TRUE(world["twice"].allow_failure.any);
  EXPECT_EQ(world["both"].when, When::manual);
}

TEST(Plan, DelayComesFromTheRuleOrTheJob) {
  World world;
  Job& a = world.add(job("a"));
  a.when = When::delayed;
  a.start_in = 5min;
  Rule rule = rule_if("null == null", When::delayed);
  rule.start_in = 7s;
  world.add(job("b")).rules = {rule};
  Job& c = world.add(job("c"));
  c.when = When::delayed;
  c.start_in = 5min;
  c.rules = {rule_if("null == null", When::on_success)};
  world.make();
  EXPECT_EQ(world["a"].start_in, std::optional<std::chrono::seconds>(5min));
  EXPECT_EQ(world["b"].start_in, std::optional<std::chrono::seconds>(7s));
  EXPECT_FALSE(world["c"].start_in);
}

TEST(Plan, LayersOfVariables) {
  World world;
  for (const std::string name : {"V1", "V2", "V3", "V4", "V5", "V6"}) world.set(name, "predefined");
  world.set("V5", "project", Precedence::project);
  world.set("V6", "pipeline", Precedence::pipeline);
  for (const std::string name : {"V2", "V3", "V4", "V5", "V6"}) {
    world.pipeline.variables.push_back(variable(name, "global"));
  }
  Rule workflow = rule_if("$V2 == \"global\"");
  workflow.variables = {variable("V3", "workflow"), variable("V4", "workflow"), variable("NEW", "workflow")};
  world.pipeline.workflow.rules = {workflow};
  Job& a = world.add(job("a"));
  a.variables = {variable("V4", "job"), variable("V5", "job"), variable("V6", "job"), variable("V7", "job")};
  Rule rule = rule_if("$V4 == \"job\" && $V3 == \"workflow\" && $V5 == \"project\" && $V6 == \"pipeline\"");
  rule.variables = {variable("V6", "rule"), variable("V7", "rule")};
  a.rules = {rule};
  world.make();
  ASSERT_TRUE(world["a"].included);
  EXPECT_EQ(world.value("a", "V1"), "predefined");
  EXPECT_EQ(world.value("a", "V2"), "global");
  EXPECT_EQ(world.value("a", "V3"), "workflow");
  EXPECT_EQ(world.value("a", "NEW"), "workflow");
  EXPECT_EQ(world.value("a", "V4"), "job");
  EXPECT_EQ(world.value("a", "V5"), "project");
  EXPECT_EQ(world.value("a", "V6"), "pipeline");
  EXPECT_EQ(world.value("a", "V7"), "rule");
}

TEST(Plan, RulesSeeValuesAsWritten) {
  World world;
  world.pipeline.variables = {variable("A", "$B"), variable("B", "b")};
  world.add(job("a")).rules = {rule_if("$A == \"b\"")};
  world.add(job("b")).rules = {rule_if("$A == '$B'")};
  world.make();
  EXPECT_EQ(world.included(), Names{"b"});
}

TEST(Plan, InheritsOnlyTheGlobalVariablesItAsksFor) {
  World world;
  world.set("A", "predefined");
  world.set("P", "project", Precedence::project);
  world.pipeline.variables = {variable("A", "a"), variable("B", "b"), variable("P", "p")};
  Job& none = world.add(job("none"));
  none.inherit_all_variables = false;
  none.rules = {rule_if("$A == \"predefined\" && $B == null && $P == \"project\"")};
  Job& some = world.add(job("some"));
  some.inherit_all_variables = false;
  some.inherited_variables = {"B", "UNKNOWN"};
  some.rules = {rule_if("$A == \"predefined\" && $B == \"b\"")};
  world.make();
  EXPECT_EQ(world.included(), (Names{"none", "some"}));
  EXPECT_EQ(world.value("none", "A"), "predefined");
  EXPECT_EQ(world.value("none", "B"), "(none)");
  EXPECT_EQ(world.value("none", "P"), "project");
  EXPECT_EQ(world.value("some", "B"), "b");
}

TEST(Plan, WhatEachRuleSawWhereNoneMatched) {
  World world;
  world.facts.changed_paths = [](std::string_view) { return std::vector<std::string>{"README.md"}; };
  world.set("CI_COMMIT_BRANCH", "dev");
  world.trigger.variables.set("TOKEN", "hush hush", Precedence::pipeline, false, /*masked=*/true);
  Rule docs = rule_if("$CI_COMMIT_BRANCH == \"dev\"");
  docs.changes = Names{"docs/**/*"};
  Rule files;
  files.changes = Names{"*.c"};
  files.exists = Names{"Makefile", "x"};
  world.add(job("a")).rules = {rule_if("$CI_COMMIT_BRANCH == \"main\""), docs, files, rule_if("$TOKEN == \"x\"")};
  world.add(job("b"));
  world.make();
  EXPECT_EQ(world.plan.unmatched(world.pipeline, 0),
            (Names{"rule 1: $CI_COMMIT_BRANCH (\"dev\") == \"main\" is false",
                   "rule 2: $CI_COMMIT_BRANCH (\"dev\") == \"dev\" is true, but no changes in docs/**/*",
                   "rule 3: no changes in *.c, or there is no Makefile, x",
                   "rule 4: $TOKEN (\"[MASKED]\") == \"x\" is false"}));
  EXPECT_EQ(world.plan.unmatched(world.pipeline, 1), Names{});

  world.pipeline.workflow.rules = std::vector<Rule>{rule_if("$CI_COMMIT_TAG")};
  world.make();
  EXPECT_EQ(world.plan.unmatched(world.pipeline, 1), Names{"rule 1: $CI_COMMIT_TAG (null) is false"});
  world.pipeline.workflow.rules = std::vector<Rule>{rule_if("$CI_COMMIT_BRANCH", When::never)};
  world.make();
  EXPECT_EQ(world.plan.unmatched(world.pipeline, 1), Names{}) << "one did match";
}

TEST(Plan, PredefinedOnesOfEachJob) {
  World world;
  world.set("CI_COMMIT_REF_NAME", "Feature/X");
  world.set("CI_JOB_NAME", "stale");
  Job& a = world.add(job("Build: a/b", "build"));
  a.rules = {
      rule_if("$CI_JOB_NAME == \"Build: a/b\" && $CI_JOB_STAGE == \"build\" && "
              "$CI_ENVIRONMENT_NAME == \"review/Feature/X\" && $CI_NODE_TOTAL == \"1\"")};
  a.environment = Environment{"review/$CI_COMMIT_REF_NAME", "https://$CI_ENVIRONMENT_SLUG.test", "", "", ""};
  Job& b = world.add(job("b"));
  b.environment = Environment{"production", "", "", "stop", "staging"};
  world.add(job("c"));
  world.make();
  ASSERT_TRUE(world["Build: a/b"].included);
  EXPECT_EQ(world.value("Build: a/b", "CI_JOB_NAME"), "Build: a/b");
  EXPECT_EQ(world.value("Build: a/b", "CI_JOB_NAME_SLUG"), "build--a-b");
  EXPECT_EQ(world.value("Build: a/b", "CI_JOB_STAGE"), "build");
  EXPECT_EQ(world.value("Build: a/b", "CI_NODE_TOTAL"), "1");
  EXPECT_EQ(world.value("Build: a/b", "CI_ENVIRONMENT_NAME"), "review/Feature/X");
  EXPECT_EQ(world.value("Build: a/b", "CI_ENVIRONMENT_SLUG"), environment_slug("review/Feature/X"));
  EXPECT_EQ(world.value("Build: a/b", "CI_ENVIRONMENT_ACTION"), "start");
  EXPECT_EQ(world.value("Build: a/b", "CI_ENVIRONMENT_TIER"), "development");
  const VariableSet expanded = world.plan.variables(world.pipeline, 0).expanded();
  EXPECT_EQ(expanded.find("CI_ENVIRONMENT_URL")->value, "https://" + environment_slug("review/Feature/X") + ".test");
  EXPECT_EQ(world.value("b", "CI_ENVIRONMENT_SLUG"), "production");
  EXPECT_EQ(world.value("b", "CI_ENVIRONMENT_ACTION"), "stop");
  EXPECT_EQ(world.value("b", "CI_ENVIRONMENT_TIER"), "staging");
  EXPECT_EQ(world.value("b", "CI_ENVIRONMENT_URL"), "(none)");
  EXPECT_EQ(world.value("c", "CI_ENVIRONMENT_NAME"), "(none)");
}

// GitLab's spec/lib/gitlab/slug/environment_spec.rb.
TEST(EnvironmentSlug, IsGitLabs) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"staging-12345678901234567", "staging-123456789-q517sa"},
      {"9-staging-123456789012345", "env-9-staging-123-q517sa"},
      {"staging-1234567890123456", "staging-1234567890123456"},
      {"staging-1234567890123456-", "staging-123456789-q517sa"},
      {"production", "production"},
      {"PRODUCTION", "production-q517sa"},
      {"review/1-foo", "review-1-foo-q517sa"},
      {"1-foo", "env-1-foo-q517sa"},
      {"1/foo", "env-1-foo-q517sa"},
      {"foo-", "foo"},
      {"foo--bar", "foo-bar-q517sa"},
      {"foo**bar", "foo-bar-q517sa"},
      {"*-foo", "env-foo-q517sa"},
      {"staging-12345678-", "staging-12345678"},
      {"staging-12345678-01234567", "staging-12345678-q517sa"},
      {"", "env-q517sa"},
  };
  for (const auto& [name, expected] : cases) {
    const std::string slug = environment_slug(name);
    EXPECT_LE(slug.size(), 24U);
    const std::size_t hash = expected.find("q517sa");  // the spec stubs the hash
    EXPECT_EQ(slug.substr(0, hash), expected.substr(0, hash)) << name;
    EXPECT_EQ(slug.size(), expected.size()) << name;
  }
  EXPECT_EQ(environment_slug("PRODUCTION").substr(11), "vl4voz");
}

TEST(EnvironmentTier, IsGuessedFromTheName) {
  const std::map<std::string, std::string> cases = {
      {"Production", "production"},  {"prd", "production"},       {"live", "production"},
      {"staging", "staging"},        {"stg", "staging"},          {"Demo", "staging"},
      {"test", "testing"},           {"QA", "testing"},           {"accept", "testing"},
      {"dev", "development"},        {"review/x", "development"}, {"trunk", "development"},
      {"pre-production", "staging"}, {"customer", "other"}};
  for (const auto& [name, tier] : cases) EXPECT_EQ(environment_tier(name), tier) << name;
}

TEST(JobVariables, GroupNameIsTheNameWithoutWhatParallelAdds) {
  World world;
  const std::map<std::string, std::string> cases = {{"test", "test"},
                                                    {"test 1/3", "test"},
                                                    {"test: [a, b]", "test"},
                                                    {"test: [a, b] 1/3", "test"},
                                                    {"rspec:unit 0 20", "rspec:unit"},
                                                    {"v1.2", "v1.2"},
                                                    {"1/2", "1/2"}};
  for (const auto& [name, group] : cases) world.add(job(name));
  world.make();
  for (const auto& [name, group] : cases) EXPECT_EQ(world.value(name, "CI_JOB_GROUP_NAME"), group) << name;
}

TEST(JobVariables, ManualIsOfTheJobOrOfItsRule) {
  World world;
  world.add(job("own")).when = When::manual;
  Rule rule = rule_if("$CI_JOB_MANUAL == null");
  rule.when = When::manual;
  world.add(job("by-rule")).rules = {rule};
  world.add(job("plain"));
  world.make();
  EXPECT_EQ(world.value("own", "CI_JOB_MANUAL"), "true");
  EXPECT_EQ(world.value("by-rule", "CI_JOB_MANUAL"), "true");
  EXPECT_EQ(world.value("plain", "CI_JOB_MANUAL"), "(none)");
}

TEST(JobVariables, OfTheProjectForSingleEnvironments) {
  World world;
  const auto scoped = [&](const std::string& scope, const std::string& value) {
    world.trigger.scoped.push_back({scope, "KEY", {value, Precedence::project, false, false, false}});
  };
  world.set("KEY", "everywhere", Precedence::project);
  world.set("FORCED", "by hand", Precedence::pipeline);
  scoped("review/*", "review");
  scoped("review/main", "review of main");
  world.trigger.scoped.push_back({"*/*", "FORCED", {"scoped", Precedence::project, false, false, false}});
  world.trigger.scoped.push_back({"production", "ONLY", {"there", Precedence::project, false, false, false}});
  const auto add = [&](const std::string& name, const std::string& environment) {
    Job& each = world.add(job(name));
    each.variables = {variable("KEY", "the job's"), variable("NAME", "review/main")};
    each.rules = {rule_if("$KEY =~ /review/", When::manual), rule_if("$ONLY == \"there\"", When::always), Rule{}};
    if (!environment.empty()) each.environment = Environment{environment, "", "", "", ""};
  };
  add("none", "");
  add("branch", "review/x");
  add("main", "$NAME");
  add("production", "production");
  world.make();
  EXPECT_EQ(world.value("none", "KEY"), "everywhere") << "stronger than the job's";
  EXPECT_EQ(world.value("branch", "KEY"), "review");
  EXPECT_EQ(world.value("main", "KEY"), "review of main");
  EXPECT_EQ(world.value("main", "FORCED"), "by hand");
  EXPECT_EQ(world.value("production", "KEY"), "everywhere");
  EXPECT_EQ(world["none"].rule, 2U);
  EXPECT_EQ(world["branch"].rule, 0U) << "rules see them too";
  EXPECT_EQ(world["production"].rule, 1U);
}

TEST(JobVariables, ScopesOfEnvironments) {
  for (const auto& [scope, name] : std::vector<std::pair<std::string, std::string>>{
           {"*", "a"}, {"*", ""}, {"a", "a"}, {"a*", "a"}, {"a*c", "abc"}, {"*b*", "abc"}, {"a*b*a", "abba"}}) {
    EXPECT_TRUE(scope_matches(scope, name)) << scope << " " << name;
  }
  for (const auto& [scope, name] : std::vector<std::pair<std::string, std::string>>{
           {"a", "ab"}, {"a", ""}, {"a*", "ba"}, {"a*a", "a"}, {"*b", "ba"}, {"a*b*a", "aba "}}) {
    EXPECT_FALSE(scope_matches(scope, name)) << scope << " " << name;
  }
}

// job_variable() answers what the whole set would, for any mixture of layers.
TEST(JobVariables, OneAtATimeAgreesWithTheWholeSet) {
  std::mt19937 random(5);
  const Names names = {"A",
                       "B",
                       "C",
                       "CI_JOB_NAME",
                       "CI_NODE_TOTAL",
                       "CI_JOB_STAGE",
                       "CI_JOB_NAME_SLUG",
                       "CI_JOB_GROUP_NAME",
                       "CI_JOB_MANUAL"};
  for (int round = 0; round < 3'000; ++round) {
    VariableSet trigger, shared;
    Job each = job("the job");
    for (const std::string& name : names) {
      if (random() % 2 == 0) {
        trigger.set(name, "t", random() % 2 == 0 ? Precedence::predefined : Precedence::project);
      }
    }
    shared = trigger;
    for (const std::string& name : names) {
      if (random() % 2 == 0) shared.set(name, "g", Precedence::global);
      if (random() % 3 == 0) each.variables.push_back(variable(name, "j"));
      if (random() % 2 == 0) each.inherited_variables.push_back(name);
    }
    each.inherit_all_variables = random() % 2 == 0;
    if (random() % 2 == 0) each.when = When::manual;
    if (random() % 4 == 0) each.environment = Environment{"env $A", "", "", "", ""};
    const VariableSet whole = job_variables({trigger, shared}, each, nullptr);
    for (const std::string& name : {std::string("CI_ENVIRONMENT_NAME"), std::string("X")}) {
      const auto one = job_variable({trigger, shared}, each, name);
      ASSERT_EQ(one.has_value(), whole.find(name) != nullptr);
    }
    for (const std::string& name : names) {
      const auto one = job_variable({trigger, shared}, each, name);
      const VariableSet::Entry* entry = whole.find(name);
      ASSERT_EQ(one.has_value(), entry != nullptr) << name;
      ASSERT_EQ(one ? one->value : "", entry ? entry->value : "") << name;
    }
  }
}

TEST(Plan, MaskedValuesAreNotExplained) {
  World world;
  world.trigger.variables.set("TOKEN", "hunter22", Precedence::project, true, true);
  world.add(job("a")).rules = {rule_if("$TOKEN =~ /hunter/")};
  world.make();
  EXPECT_TRUE(world["a"].included);
  EXPECT_EQ(world.reason("a"), "rule 1: $TOKEN (\"[MASKED]\") =~ /hunter/");
}

TEST(Plan, WorkflowRulesDecideOverTheRun) {
  World world;
  world.set("CI_PIPELINE_SOURCE", "push");
  world.add(job("a"));
  world.pipeline.workflow.rules = {rule_if("$CI_PIPELINE_SOURCE == \"web\"")};
  world.make();
  EXPECT_TRUE(world.included().empty());
  EXPECT_EQ(world.plan.empty_reason, "workflow:rules keep the pipeline from running: no rule matched");
  EXPECT_EQ(world.reason("a"), world.plan.empty_reason);
  world.pipeline.workflow.rules = {rule_if("$CI_PIPELINE_SOURCE == \"push\"", When::never)};
  world.make();
  EXPECT_EQ(world.plan.empty_reason,
            "workflow:rules keep the pipeline from running: rule 1: $CI_PIPELINE_SOURCE (\"push\") == \"push\", when: "
            "never");
  world.pipeline.workflow.rules = {rule_if("$CI_PIPELINE_SOURCE == \"push\"", When::always)};
  world.make();
  EXPECT_EQ(world.included(), Names{"a"});
}

TEST(Plan, OnlyPreAndPostDoNotRunAlone) {
  World world;
  world.add(job("setup", ".pre"));
  world.add(job("report", ".post"));
  world.add(job("unit")).rules = {rule_if("$NEVER")};
  world.make();
  EXPECT_TRUE(world.included().empty());
  EXPECT_EQ(world.plan.empty_reason, "only jobs in .pre and .post are left, which do not run alone");
  EXPECT_EQ(world.reason("setup"), "no job is left but in .pre and .post");
  EXPECT_EQ(world.reason("unit"), "no rule matched");
  world.trigger.only = {"setup"};
  world.make();
  EXPECT_EQ(world.included(), Names{"setup"});
}

TEST(Plan, SaysWhyNothingIsLeft) {
  World world;
  world.make();
  EXPECT_EQ(world.plan.empty_reason, "the pipeline has no jobs");
  world.add(job("a")).rules = {rule_if("$NEVER")};
  world.make();
  EXPECT_EQ(world.plan.empty_reason, "the rules of every job keep it out");
  world.add(job("b"));
  world.trigger.only = {"a"};
  world.make();
  EXPECT_EQ(world.plan.empty_reason, "job \"a\" is kept out by its rules (no rule matched)");
  EXPECT_EQ(world.reason("b"), "not asked for");
}

TEST(Plan, NeedsAreResolved) {
  World world;
  world.add(job("build", "build"));
  world.add(job("free")).needs = needs({});
  Job& unit = world.add(job("unit"));
  unit.needs = needs({"build", "free"});
  (*unit.needs)[1].artifacts = false;
  world.add(job("late", "deploy"));
  world.make();
  EXPECT_TRUE(world["free"].dag);
  EXPECT_TRUE(world["free"].needs.empty());
  EXPECT_EQ(world.needed_by("unit"), (Names{"build", "free"}));
  EXPECT_FALSE(world["unit"].needs[1].artifacts);
  EXPECT_FALSE(world["late"].dag);
}

TEST(Plan, ARulesNeedsReplaceTheJobs) {
  World world;
  world.add(job("a", "build"));
  world.add(job("b", "build"));
  Rule rule = rule_if("null == null");
  rule.needs = needs({"b"});
  Job& c = world.add(job("c"));
  c.needs = needs({"a"});
  c.rules = {rule};
  world.add(job("d")).rules = {rule};
  world.make();
  EXPECT_EQ(world.needed_by("c"), Names{"b"});
  EXPECT_TRUE(world["d"].dag);
}

TEST(Plan, ANeedThatRulesKeepOutIsAnError) {
  World world;
  world.add(job("build", "build")).rules = {rule_if("$NEVER")};
  world.pipeline.jobs[0].mark = {0, 2, 1};
  world.add(job("unit")).needs = needs({"build"});
  Job& optional = world.add(job("optional"));
  optional.needs = needs({"build"});
  (*optional.needs)[0].optional = true;
  world.add(job("out")).needs = needs({"build"});
  world.pipeline.jobs[3].rules = {rule_if("$NEVER")};
  world.make();
  ASSERT_EQ(world.plan.diagnostics.size(), 1U);
  const Diagnostic& error = world.plan.diagnostics[0];
  EXPECT_EQ(error.severity, Severity::error);
  EXPECT_EQ(error.message, "job \"unit\" needs \"build\", which its rules keep out (no rule matched)");
  EXPECT_EQ(error.hint, "let both have the same rules, or write `needs: [{job: build, optional: true}]`");
  EXPECT_EQ(error.mark, (Mark{0, 7, 3}));
  EXPECT_EQ(error.others, std::vector<Mark>{(Mark{0, 2, 1})});
  EXPECT_TRUE(world["optional"].dag);
  EXPECT_TRUE(world["optional"].needs.empty());
}

World asked_world() {
  World world;
  world.add(job("prepare", "build")).artifacts.paths = {"x"};
  world.add(job("compile", "build")).artifacts.paths = {"x"};
  world.add(job("unit")).needs = needs({"compile"});
  world.add(job("lint"));
  world.add(job("approve", "deploy")).when = When::manual;
  world.add(job("ship", "deploy")).needs = needs({"approve", "unit"});
  world.add(job("ruled", "deploy")).rules = {rule_if("$NEVER")};
  return world;
}

TEST(Plan, RunsOnlyWhatIsAskedFor) {
  World world = asked_world();
  world.trigger.only = {"unit", "lint", "approve"};
  world.make();
  EXPECT_EQ(world.included(), (Names{"unit", "lint", "approve"}));
  EXPECT_TRUE(world["unit"].dag);
  EXPECT_TRUE(world["unit"].needs.empty());
  EXPECT_TRUE(world.artifacts_from("unit").empty());
  EXPECT_TRUE(world.artifacts_from("lint").empty());
  EXPECT_EQ(world.reason("compile"), "not asked for");
  EXPECT_EQ(world.reason("ruled"), "no rule matched");
  EXPECT_EQ(world.plan.asked_for, (std::vector<JobIndex>{2, 3, 4}));
  EXPECT_TRUE(world.plan.diagnostics.empty());
}

TEST(Plan, WithWhatItNeeds) {
  World world = asked_world();
  world.trigger.with_needs = true;
  world.trigger.only = {"unit"};
  world.make();
  EXPECT_EQ(world.included(), (Names{"compile", "unit"}));
  EXPECT_EQ(world.needed_by("unit"), Names{"compile"});
  EXPECT_EQ(world.artifacts_from("unit"), Names{"compile"});

  world.trigger.only = {"ship"};  // what is named in `needs` was asked for, manual jobs too; what stages bring was not
  world.make();
  EXPECT_EQ(world.included(), (Names{"prepare", "compile", "unit", "lint", "approve", "ship"}));
  EXPECT_EQ(world.plan.asked_for, (std::vector<JobIndex>{1, 2, 4, 5}));

  world.trigger.only = {"lint"};  // without needs: all earlier stages
  world.make();
  EXPECT_EQ(world.included(), (Names{"prepare", "compile", "lint"}));
  EXPECT_EQ(world.plan.asked_for, std::vector<JobIndex>{3});
}

TEST(Plan, AskingDoesNotBypassRulesAndNamesMustExist) {
  World world = asked_world();
  world.trigger.only = {"ruled"};
  world.make();
  EXPECT_TRUE(world.included().empty());
  EXPECT_EQ(world.plan.empty_reason, "job \"ruled\" is kept out by its rules (no rule matched)");
  world.trigger.only = {"unti", "lint"};
  world.make();
  ASSERT_EQ(world.plan.diagnostics.size(), 1U);
  EXPECT_EQ(world.plan.diagnostics[0].message, "no job is called \"unti\"");
  EXPECT_EQ(world.plan.diagnostics[0].hint, "did you mean \"unit\"?");
  world = asked_world();
  world.pipeline.jobs[1].rules = {rule_if("$NEVER")};
  world.trigger.only = {"unit"};
  world.make();
  EXPECT_TRUE(world.plan.diagnostics.empty());
  world.trigger.with_needs = true;
  world.make();
  EXPECT_EQ(world.plan.diagnostics.size(), 1U);
}

TEST(Plan, ArtifactsComeFromEarlierStagesInOrder) {
  World world;
  world.add(job("late", "deploy")).artifacts.paths = {"x"};
  world.add(job("test1")).artifacts.untracked = true;
  world.add(job("build1", "build")).artifacts.paths = {"x"};
  world.add(job("build2", "build")).artifacts.reports = {{"dotenv", {"env"}}};
  world.add(job("build3", "build")).artifacts.reports = {{"junit", {"x"}}};
  world.add(job("build4", "build"));
  world.add(job("build5", "build")).artifacts.paths = {"x"};
  world.pipeline.jobs.back().rules = {rule_if("$NEVER")};
  world.add(job("some", "deploy")).dependencies = Names{"test1", "build2", "build4", "build5", "late"};
  world.add(job("none", "deploy")).dependencies = Names{};
  Job& dag = world.add(job("dag", "build"));
  dag.needs = needs({"test1", "build2", "build1", "build4"});
  (*dag.needs)[2].artifacts = false;
  Job& both = world.add(job("both", "deploy"));
  both.needs = needs({"build1", "build2"});
  both.dependencies = Names{"build2", "test1"};
  world.make();
  EXPECT_EQ(world.artifacts_from("late"), (Names{"build1", "build2", "test1"}));
  EXPECT_EQ(world.artifacts_from("test1"), (Names{"build1", "build2"}));
  EXPECT_TRUE(world.artifacts_from("build1").empty());
  EXPECT_EQ(world.artifacts_from("some"), (Names{"build2", "test1"}));
  EXPECT_TRUE(world.artifacts_from("none").empty());
  EXPECT_EQ(world.artifacts_from("dag"), (Names{"build2", "test1"}));
  EXPECT_EQ(world.artifacts_from("both"), Names{"build2"});
}

// Nothing in a plan grows with pairs of jobs.
TEST(Plan, TwentyThousandJobs) {
  World world;
  world.set("CI_COMMIT_BRANCH", "main");
  const Rule rule = rule_if("$CI_COMMIT_BRANCH == \"main\"");
  for (int i = 0; i < 20'000; ++i) {
    Job& each = world.add(job("job " + std::to_string(i), world.pipeline.stages[1 + static_cast<std::size_t>(i) % 3]));
    each.rules = {rule};
    each.artifacts.paths = {"x"};
    if (i % 10 == 9) each.needs = needs({"job " + std::to_string(i - 3)});
  }
  world.make();
  EXPECT_EQ(world.plan.included_count(), 20'000U);
  std::size_t edges = 0;
  for (const PlannedJob& each : world.plan.jobs) edges += each.needs.size();
  EXPECT_EQ(edges, 2'000U);
  EXPECT_EQ(world.plan.producers.size(), 20'000U);
}

TEST(PlanReason, HidesMaskedValuesInTheRuleItself) {
  World world;
  world.trigger.variables.set("TOKEN", "the-real-value", Precedence::pipeline, false, /*masked=*/true);
  Variable masked = variable("MINE", "another-value-of-mine");
  masked.masked = true;
  Job in = job("in");
  in.variables = {masked};
  in.rules = {{rule_if("$TOKEN == \"the-real-value\" && $MINE == 'another-value-of-mine'")}};
  world.add(in);
  Job out = job("out");
  out.rules = {{rule_if("$TOKEN != \"the-real-value\"")}};
  world.add(out);
  world.make();
  EXPECT_EQ(world.reason("in"), "rule 1: $TOKEN (\"[MASKED]\") == \"[MASKED]\" && $MINE (\"[MASKED]\") == '[MASKED]'");
  EXPECT_EQ(world.plan.unmatched(world.pipeline, world.index("out")),
            Names{"rule 1: $TOKEN (\"[MASKED]\") != \"[MASKED]\" is false"});
}

TEST(PlanReason, HidesMaskedValuesOfWorkflowRules) {
  World world;
  world.trigger.variables.set("TOKEN", "the-real-value", Precedence::pipeline, false, /*masked=*/true);
  world.pipeline.workflow.rules = {{rule_if("$TOKEN == \"the-real-value\"", When::never)}};
  world.add(job("a"));
  EXPECT_EQ(world.make().empty_reason.find("the-real-value"), std::string::npos) << world.plan.empty_reason;
}

}  // namespace
}  // namespace pipelines
