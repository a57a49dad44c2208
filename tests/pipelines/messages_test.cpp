// What is said of mistakes that no other test makes, by place, text and hint (docs/language.md).
#include <gtest/gtest.h>

#include <ostream>
#include <string>

#include "tests/pipelines/fake_includes.h"

namespace pipelines {
namespace {

struct Mistake {
  const char* name;
  const char* text;
  const char* said;  // Composed::said
};

constexpr Mistake mistakes[] = {
    {"OpenBrace", "a: {script: x\nb: {script: y}\n",
     "pipeline.yml:2:2: `{` is not closed here | write `}` or `,`; quote a value that contains `{`, `}`, `,` or `: "
     "`\n"},
    {"ListItem", "a:\n  script:\n  - x\n  y\n",
     R"(pipeline.yml:4:3: unknown keyword "y" in job "a")"
     "\n"},
    {"TwoTags", "a: !!str !!str x\n", "pipeline.yml:1:10: two tags stand on one value | keep one\n"},
    {"TwoAnchors", "a: &x &y z\n", "pipeline.yml:1:7: two anchors (`&name`) stand on one value | keep one\n"},
    {"AliasWithTag", "a: &x 1\nb: !!str *x\n",
     "pipeline.yml:2:10: this line does not fit the mapping it stands in | check its indentation, and that the key "
     "ends with `:` and a space\n"},
    {"DocumentInQuotes",
     R"(a: "x)"
     "\n"
     R"(--- y")"
     "\n",
     "pipeline.yml:2:1: a quoted string is not closed before `---` or `...` | close the quotes\n"},
    {"ListInALine", "a: - x\n",
     "pipeline.yml:1:4: a list item (`- `) cannot stand here | put the list on lines of its own, below its key\n"},
    {"KeyCannotStand", "a: x\n b: y\n",
     "pipeline.yml:2:3: a `: ` cannot stand here | quote a value that contains `: `, or check the indentation of this "
     "line\n"},
    {"StarAlone", "a: * x\n", "pipeline.yml:1:5: `*` names no anchor | quote a value that begins with `*`\n"},
    {"AmpersandAlone", "a: & x\n", "pipeline.yml:1:5: `&` names no anchor | quote a value that begins with `&`\n"},
    {"AliasCharacter", "a: &x 1\nb: *x{\n",
     "pipeline.yml:2:6: this character cannot be part of an alias (`*name`) | quote a value that begins with `*`\n"},
    {"AnchorCharacter", "a: &x{ 1\n",
     "pipeline.yml:1:6: this character cannot be part of an anchor (`&name`) | quote a value that begins with `&`\n"},
    {"BlockZero", "a: |0\n  x\n", "pipeline.yml:1:6: a block's indentation cannot be 0 | write a digit from 1 to 9\n"},
    {"BlockText", "a: | x\n  y\n",
     "pipeline.yml:1:6: nothing but a comment may follow `|` or `>` on its line | begin the text on the next line\n"},
    {"TagIncomplete", "a: !<x y\n", "pipeline.yml:1:7: a tag is not complete | quote a value that begins with `!`\n"},
    {"TagHandle", "a: !x! y\n", "pipeline.yml:1:7: a tag is not complete | quote a value that begins with `!`\n"},
    {"HexEscape",
     R"(a: "\xZZ")"
     "\n",
     R"(pipeline.yml:1:5: this escape needs hexadecimal digits | \xNN takes two, \uNNNN four; single quotes keep a backslash as it is)"
     "\n"},
    {"InputOptions", "spec: {inputs: {a: {options: [[x]]}}}\n---\nj: {script: x}\n",
     R"(pipeline.yml:1:17: the input "a" of pipeline.yml has no value | give it one: `include:inputs`, or `--input NAME=VALUE` for the file itself)"
     "\n"
     R"(pipeline.yml:1:31: `spec:inputs:a:options` must be strings or numbers, not a list)"
     "\n"},
    {"InputNotMapping", "spec: {inputs: {a: x}}\n---\nj: {script: x}\n",
     R"(pipeline.yml:1:17: the input "a" of pipeline.yml has no value | give it one: `include:inputs`, or `--input NAME=VALUE` for the file itself)"
     "\n"
     R"(pipeline.yml:1:20: `spec:inputs:a` must be a mapping, or empty, not a string)"
     "\n"},
    {"InputCondition",
     "spec: {inputs: {a: {}, b: {rules: [{if: '$[[ inputs.a ]] ==', options: [x]}]}}}\n---\nj: {script: x}\n",
     R"(pipeline.yml:1:17: the input "a" of pipeline.yml has no value | give it one: `include:inputs`, or `--input NAME=VALUE` for the file itself)"
     "\n"
     R"(pipeline.yml:1:41: `spec:inputs:rules:if` is no condition: the expression ends where a value is expected)"
     "\n"},
    {"InputRegexNumber", "spec: {inputs: {a: {type: number, regex: x}}}\n---\nj: {script: x}\n",
     R"(pipeline.yml:1:17: the input "a" of pipeline.yml has no value | give it one: `include:inputs`, or `--input NAME=VALUE` for the file itself)"
     "\n"},
    {"InputUnknown", "spec: {inputs: {a: {default: x}}}\n---\nj: {script: '$[[ inputs.b ]]'}\n",
     R"(pipeline.yml:3:13: there is no input "b" | define it in the header, below `spec: { inputs: … }`)"
     "\n"},
    {"InputNamesNothing", "spec: {inputs: {a: {default: x}}}\n---\nj: {script: '$[[ foo ]]'}\n",
     "pipeline.yml:3:13: `$[[ foo ]]` names nothing | write `$[[ inputs.NAME ]]`\n"},
    {"ComponentValue", "spec: {component: [name], inputs: {}}\n---\nj: {script: 'x $[[ component.name ]]'}\n",
     "pipeline.yml:3:13: `component.name` has no value: this file is not included as a component\n"},
    {"IncludeEmpty", "include: ''\nj: {script: x}\n",
     "pipeline.yml:1:10: `include` names no file | for example `include: ci/build.yml`\n"},
    {"IncludeNul",
     R"(include: "a\0b.yml")"
     "\n"
     R"(j: {script: x})"
     "\n",
     "pipeline.yml:1:10: a path cannot hold a NUL\n"},
    {"EmptyName", "'': {script: x}\n", "pipeline.yml:1:1: a job's name cannot be empty | name the job\n"},
    {"UpstreamScript", "a: {script: x, needs: [{pipeline: other/project}]}\n",
     "pipeline.yml:1:24: `needs` names a pipeline without a `job` | name the `job` whose artifacts are wanted; only a "
     "job without `script` can take over how a whole pipeline ended\npipeline.yml:1:25: warning: `needs` of other "
     "projects are left out | how that pipeline ended only GitLab's server knows; the job passes\n"},
    {"UpstreamTwice", "a: {needs: [{pipeline: a/b}, {pipeline: c/d}]}\n",
     "pipeline.yml:1:14: warning: `needs` of other projects are left out | how that pipeline ended only "
     "GitLab's server knows; the job passes\npipeline.yml:1:30: `needs` can name only one pipeline as a whole\n"},
    {"UpstreamImage", "a: {image: x, needs: {pipeline: a/b}}\n",
     R"(pipeline.yml:1:5: job "a" has `needs:pipeline` and `image`, which exclude each other | a job that takes over how another pipeline ended runs no script of its own)"
     "\n"
     R"(pipeline.yml:1:23: warning: `needs` of other projects are left out | how that pipeline ended only GitLab's server knows; the job passes)"
     "\n"},
    {"TriggerNeeds", "a: {trigger: a/b, needs: [{project: c/d, job: e, ref: f}]}\n",
     "pipeline.yml:1:27: `needs` of a job with `trigger` can name jobs of this pipeline only\npipeline.yml:1:28: "
     "warning: `needs` of other projects are left out | they are on GitLab's server; the job "
     "runs without them\n"},
    {"TriggerExitCodes", "a: {trigger: a/b, allow_failure: {exit_codes: 3}}\n",
     R"(pipeline.yml:1:19: job "a" has no exit code: it runs another pipeline | write `allow_failure: true`)"
     "\n"},
    {"TriggerParallel", "a: {trigger: a/b, parallel: 2}\n",
     R"(pipeline.yml:1:29: `parallel` of job "a", which runs another pipeline, can only be a `matrix` | for example `parallel: { matrix: [{ PART: [one, two] }] }`)"
     "\n"},
    {"StopsNoEnvironment", "a: {script: x, environment: {name: e, on_stop: b}}\nb: {script: x}\n",
     R"(pipeline.yml:1:48: `environment:on_stop` of job "a" names "b", which has no `environment` | give it `environment: { name: e, action: stop }`)"
     "\n"},
    {"StopsOther",
     "a: {script: x, environment: {name: e, on_stop: b}}\nb: {script: x, environment: {name: f, action: stop}}\n",
     R"(pipeline.yml:1:48: `environment:on_stop` of job "a" names "b", which is of another environment | name it "e" in both jobs)"
     "\n"},
    {"StopsNot", "a: {script: x, environment: {name: e, on_stop: b}}\nb: {script: x, environment: e}\n",
     R"(pipeline.yml:1:48: `environment:on_stop` of job "a" names "b", which does not stop it | add `action: stop` to its `environment`)"
     "\n"},
    {"EnvironmentName", "a: {script: x, environment: 'production:staging'}\n",
     "pipeline.yml:1:29: `environment` may have letters, digits, spaces and -_/${}. only, and no slash at its ends\n"},
    {"EnvironmentNameSlash", "a: {script: x, environment: {name: /e}}\n",
     "pipeline.yml:1:36: `environment:name` may have letters, digits, spaces and -_/${}. only, and no slash at its "
     "ends\n"},
    {"AutoStopIn", "a: {script: x, environment: {name: e, auto_stop_in: soon}}\n",
     R"(pipeline.yml:1:53: `environment:auto_stop_in` is no duration: "soon" | for example `3h 30m`, `2 weeks` or `90 seconds`)"
     "\n"},
    {"Tier", "a: {script: x, environment: {name: e, deployment_tier: prod}}\n",
     R"(pipeline.yml:1:56: `environment:deployment_tier` must be production, staging, testing, development or other, not "prod")"
     "\n"},
    {"WorkflowLeftOut",
     "workflow: {rules: [{if: $A, start_in: 1 day, allow_failure: true, needs: [x]}]}\na: {script: x}\n",
     "pipeline.yml:1:29: warning: `workflow:rules:start_in` is left out | it says something of a job "
     "only\npipeline.yml:1:46: warning: `workflow:rules:allow_failure` is left out | it says something of a job "
     "only\npipeline.yml:1:67: warning: `workflow:rules:needs` is left out | it says something of a job only\n"},
    {"Reports", "a: {script: x, artifacts: {reports: [x]}}\n",
     "pipeline.yml:1:37: `artifacts:reports` must be a mapping of report kinds to paths, not a list | for example "
     "`reports: { junit: report.xml }`\n"},
    {"MatrixValue", "a: {script: x, parallel: {matrix: [{A: {b: c}}]}}\n",
     "pipeline.yml:1:40: `parallel:matrix:A` must be a value or a list of values, not a mapping\n"},
    {"OnlyVariables", "a: {script: x, only: {variables: $A}}\n",
     R"(pipeline.yml:1:34: `only:variables` must be a list of expressions, not a string | for example `variables: [$RELEASE == "yes"]`)"
     "\n"},
    {"ReleaseLinks", "a: {script: x, release: {tag_name: v, description: d, assets: {links: {name: x}}}}\n",
     "pipeline.yml:1:71: `release:assets:links` must be a list of mappings with `name` and `url`, not a mapping\n"},
    {"NestedNeeds", "a: {script: x}\nb: {script: x, needs: [[a, [{job: c}]]]}\n",
     R"(pipeline.yml:2:35: job "b" needs "c", which is not defined)"
     "\n"},
    {"ExistsNumber", "a: {script: x, rules: [{exists: 1}]}\n",
     "pipeline.yml:1:33: `rules:exists` must be a list of paths or a mapping, not a number\n"},
    {"RuleChangesText", "a: {script: x, rules: [{changes: a}]}\n",
     "pipeline.yml:1:34: `rules:changes` must be a list of paths or a mapping, not a string\n"},
    {"ExtendsNotItself", "check: {extends: .check, script: x}\n",
     R"(pipeline.yml:1:18: "check" extends ".check", which is not defined)"
     "\n"},
};

void PrintTo(const Mistake& mistake, std::ostream* stream) { *stream << mistake.name; }

class Messages : public testing::TestWithParam<Mistake> {};

TEST_P(Messages, SayThePlaceWhatAndHowToMendIt) { EXPECT_EQ(Composed().said(GetParam().text), GetParam().said); }

INSTANTIATE_TEST_SUITE_P(Of, Messages, testing::ValuesIn(mistakes),
                         [](const testing::TestParamInfo<Mistake>& of) { return std::string(of.param.name); });

TEST(Messages, SayHowLongSomethingMayBe) {
  Composed fake;
  EXPECT_EQ(fake.said("workflow: {name: '" + std::string(256, 'x') + "'}\na: {script: x}\n"),
            "pipeline.yml:1:18: `workflow:name` can have at most 255 characters\n");
  EXPECT_EQ(fake.said("a: {script: x, artifacts: {paths: [p], expose_as: '" + std::string(101, 'x') + "'}}\n"),
            "pipeline.yml:1:51: `artifacts:expose_as` can have at most 100 characters\n");
  EXPECT_EQ(fake.said("spec: {inputs: {a: {default: x}}}\n---\nj: {script: '$[[ inputs." + std::string(1100, 'x') +
                      " ]]'}\n"),
            "pipeline.yml:3:13: a `$[[ … ]]` block is too long | at most 1024 bytes\n");
}

}  // namespace
}  // namespace pipelines
