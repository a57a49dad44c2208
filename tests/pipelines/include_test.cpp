// `include`, from docs.gitlab.com/ee/ci/yaml/#include and /ee/ci/yaml/includes.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "pipelines/include_path.h"
#include "tests/pipelines/fake_includes.h"

namespace pipelines {
namespace {

using Strings = std::vector<std::string>;

class Include : public testing::Test {
 protected:
  Pipeline read(std::string_view text) {
    EXPECT_EQ(fake.said(text), "");
    return fake.parse(text).pipeline;
  }
  static Strings names(const Pipeline& pipeline) {
    Strings all;
    for (const Job& job : pipeline.jobs) {
      all.push_back(job.name);
    }
    return all;
  }

  Composed fake;
};

TEST_F(Include, LocalAsTextMappingAndList) {
  fake.includes.files = {{"a.yml", "a: {script: a}\n"}, {"ci/b.yaml", "b: {script: b}\n"}};
  EXPECT_EQ(names(read("include: a.yml\nmain: {script: x}\n")), (Strings{"a", "main"}));
  EXPECT_EQ(names(read("include: /a.yml\n")), Strings{"a"});
  EXPECT_EQ(names(read("include: {local: a.yml}\n")), Strings{"a"});
  EXPECT_EQ(names(read("include: [a.yml, {local: /ci/b.yaml}]\n")), (Strings{"a", "b"}));
}

TEST_F(Include, LocalPatterns) {
  fake.includes.files = {{"ci/a.yml", "a: {script: a}\n"},
                         {"ci/b.yml", "b: {script: b}\n"},
                         {"ci/deep/c.yml", "c: {script: c}\n"},
                         {"ci/notes.md", "no"}};
  EXPECT_EQ(names(read("include: ci/*.yml\n")), (Strings{"a", "b"}));
  EXPECT_EQ(names(read("include: ci/**.yml\n")), (Strings{"a", "b", "c"}));
  EXPECT_EQ(names(read("include: {local: 'ci/**/*.yml'}\n")), Strings{"c"});
  EXPECT_EQ(fake.said("include: none/*.yml\nx: {script: x}\n"),
            "pipeline.yml:1:10: warning: no file of the project matches none/*.yml | "
            "`*` stops at a slash, `**` does not\n");
}

TEST_F(Include, IsMergedUnderTheFileWhereverItStands) {
  fake.includes.files = {
      {"a.yml", "default: {image: a, tags: [a]}\njob: {script: [a1, a2], variables: {X: a, Y: a}, stage: build}\n"},
      {"b.yml", "job: {variables: {Y: b, Z: b}}\n"}};
  const Pipeline pipeline = read(
      "job: {variables: {Z: main}, script: [main]}\n"
      "include: [a.yml, b.yml]\n"
      "default: {tags: [main]}\n");
  const Job& job = pipeline.jobs.at(0);
  EXPECT_EQ(job.stage, "build");
  EXPECT_EQ(job.script.main, Strings{"main"}) << "lists are replaced";
  std::string variables;
  for (const Variable& variable : job.variables) {
    variables += variable.name + "=" + variable.value + " ";
  }
  EXPECT_EQ(variables, "X=a Y=b Z=main ") << "a later file wins over an earlier one, the main file over all";
  EXPECT_EQ(job.image->name, "a");
  EXPECT_EQ(job.tags, Strings{"main"});
}

TEST_F(Include, NestedAndRelativeToTheContainingProject) {
  fake.includes.files = {{"a.yml", "include: b.yml\na: {script: a}\n"}, {"b.yml", "b: {script: b}\n"}};
  fake.includes.other = {{"x.yml", "include: {local: b.yml}\nx: {script: x}\n"}, {"b.yml", "other: {script: b}\n"}};
  EXPECT_EQ(names(read("include: a.yml\n")), (Strings{"b", "a"}));
  EXPECT_EQ(names(read("include: {project: group/other, file: /x.yml}\n")), (Strings{"other", "x"}));
}

TEST_F(Include, ProjectWithFilesAndRef) {
  fake.includes.other = {{"x.yml", "x: {script: x}\n"}, {"y.yml", "y: {script: y}\n"}};
  EXPECT_EQ(names(read("include:\n  - project: group/other\n    ref: v1\n    file: [/x.yml, 'y.yml']\n")),
            (Strings{"x", "y"}));
  EXPECT_EQ(fake.includes.asked.back(), (IncludeRequest{IncludeKind::project, "y.yml", "group/other", "v1", {}, {}}));
  EXPECT_EQ(fake.said("include: {project: group/other}\nx: {script: x}\n"),
            "pipeline.yml:1:10: `include:project` needs `file` | for example `file: /templates/build.yml`\n");
}

TEST_F(Include, RemoteTemplateAndComponent) {
  fake.includes.elsewhere = {{"https://example.com/r.yml", "r: {script: r}\n"},
                             {"Bash.gitlab-ci.yml", "t: {script: t}\n"},
                             {"example.com/group/deploy@1", "c: {script: c}\n"}};
  EXPECT_EQ(names(read("include: https://example.com/r.yml\n")), Strings{"r"});
  EXPECT_EQ(names(read("include: {remote: 'https://example.com/r.yml', integrity: sha256-x, cache: 1 day}\n")),
            Strings{"r"});
  EXPECT_EQ(
      fake.includes.asked.back(),
      (IncludeRequest{IncludeKind::remote, "https://example.com/r.yml", {}, {}, "sha256-x", std::chrono::hours(24)}));
  EXPECT_EQ(names(read("include: {template: Bash.gitlab-ci.yml}\n")), Strings{"t"});
  EXPECT_EQ(names(read("include: {component: example.com/group/deploy@1}\n")), Strings{"c"});
}

TEST_F(Include, VariablesInPlaces) {
  fake.variables.set("DIR", "ci", Precedence::predefined);
  fake.variables.set("NESTED", "$DIR/a", Precedence::project);
  fake.includes.files = {{"ci/a.yml", "a: {script: a}\n"}};
  EXPECT_EQ(names(read("include: $DIR/a.yml\n")), Strings{"a"});
  EXPECT_EQ(names(read("variables: {DIR: wrong}\ninclude: {local: '${NESTED}.yml'}\n")), Strings{"a"})
      << "the file's own variables are not known yet";
}

TEST_F(Include, Rules) {
  fake.variables.set("ON", "yes", Precedence::pipeline);
  fake.includes.files = {{"a.yml", "a: {script: a}\n"}, {"Dockerfile", ""}};
  const std::string head = "x: {script: x}\ninclude:\n  - local: a.yml\n    rules:\n      - ";
  EXPECT_EQ(names(read(head + "if: $ON == 'yes'\n")), (Strings{"a", "x"}));
  EXPECT_EQ(names(read(head + "if: $ON == 'no'\n")), Strings{"x"});
  EXPECT_EQ(names(read(head + "if: $ON\n        when: never\n")), Strings{"x"});
  EXPECT_EQ(names(read(head + "if: $ON\n        when: always\n")), (Strings{"a", "x"}));
  EXPECT_EQ(names(read(head + "exists: [Dockerfile]\n")), (Strings{"a", "x"}));
  EXPECT_EQ(names(read(head + "exists: [none]\n")), Strings{"x"});
  EXPECT_EQ(names(read(head + "changes: [src/*]\n")), (Strings{"a", "x"})) << "there is nothing to compare with";
  EXPECT_EQ(fake.said(head + "allow_failure: true\n"),
            "pipeline.yml:5:9: unknown keyword \"allow_failure\" in `include:rules` | "
            "known here: if, changes, exists and when\n");
}

TEST_F(Include, ExtendsAndReferencesReachAcrossFiles) {
  fake.includes.files = {{"a.yml", ".base: {script: [base], image: a}\n"}};
  const Pipeline pipeline = read("include: a.yml\none: {extends: .base}\ntwo: {script: !reference [.base, script]}\n");
  EXPECT_EQ(pipeline.jobs.at(0).image->name, "a");
  EXPECT_EQ(pipeline.jobs.at(1).script.main, Strings{"base"});
}

TEST_F(Include, MistakesStandInTheirFile) {
  fake.includes.files = {{"a.yml", "a:\n  scirpt: a\n"}, {"b.yml", "b: [\n"}, {"c.yml", "- x\n"}};
  EXPECT_EQ(fake.said("include: [a.yml, b.yml, c.yml]\n"),
            "a.yml:2:3: unknown keyword \"scirpt\" in job \"a\" | did you mean \"script\"?\n"
            "b.yml:2:1: `[` is not closed here | write `]` or `,`; quote a value that contains `[`, `]` or `,`\n"
            "c.yml:1:1: an included file must be a mapping of keywords and jobs, not a list\n");
}

TEST_F(Include, WhatIsMissingElsewhereIsSaidOnce) {
  EXPECT_EQ(fake.said("include: gone.yml\njob: {extends: .there, stage: there, needs: [there], script: x}\n"),
            "pipeline.yml:1:10: there is no gone.yml in the project\n");
}

TEST_F(Include, AJobMayHaveItsScriptInAFileThatCannotBeHad) {
  EXPECT_EQ(fake.said("include: gone.yml\npackage: {needs: []}\n"),
            fake.said("include: gone.yml\npackage: {needs: [], script: x}\n"));
}

TEST_F(Include, PathsThatAreRefused) {
  const std::string job = "\nx: {script: x}\n";
  EXPECT_EQ(fake.said("include: /etc/passwd" + job),
            "pipeline.yml:1:10: /etc/passwd cannot be included: only .yml and .yaml files can | "
            "paths begin at the project's top\n");
  EXPECT_EQ(fake.said("include: ../secret.yml" + job),
            "pipeline.yml:1:10: ../secret.yml leads out of the project | "
            "paths begin at the project's top, wherever the file stands that includes them\n");
  EXPECT_EQ(fake.said("include: file:///etc/x.yml" + job),
            "pipeline.yml:1:10: file:///etc/x.yml cannot be included | "
            "a path in the project, or `remote` with an address that begins with https://\n");
  fake.includes.files = {{"a.yml", "include: {local: a/../../b.yml}\na: {script: x}\n"}};
  EXPECT_EQ(fake.said("include: a.yml" + job),
            "a.yml:1:10: a/../../b.yml leads out of the project (pipeline.yml -> a.yml) | "
            "paths begin at the project's top, wherever the file stands that includes them\n");
  EXPECT_TRUE(std::ranges::none_of(fake.includes.asked, [](const IncludeRequest& r) { return r.location != "a.yml"; }));
}

TEST_F(Include, SecretsInAddressesAreMasked) {
  fake.variables.set("TOKEN", "hidden-value", Precedence::pipeline, false, true);
  fake.includes.elsewhere = {{"https://example.com/a.yml?t=hidden-value", "j: {scirpt: x}\n"}};
  EXPECT_EQ(fake.said("include: 'https://example.com/a.yml?t=$TOKEN'\n"),
            "https://example.com/a.yml?t=[MASKED]:1:5: unknown keyword \"scirpt\" in job \"j\" | "
            "did you mean \"script\"?\n");
  EXPECT_EQ(fake.said("include: ['$TOKEN.yml', $TOKEN.yml]\nj: {script: x}\n"),
            "pipeline.yml:1:11: there is no [MASKED].yml in the project\n"
            "pipeline.yml:1:25: there is no [MASKED].yml in the project\n");
  EXPECT_EQ(std::ranges::count(fake.includes.asked, "hidden-value.yml", &IncludeRequest::location), 1)
      << "what is not there is asked for once";
}

TEST_F(Include, CirclesAreNamedInFull) {
  fake.includes.files = {
      {"a.yml", "include: b.yml\n"}, {"b.yml", "include: a.yml\n"}, {"self.yml", "include: self.yml\n"}};
  EXPECT_EQ(
      fake.said("include: a.yml\nx: {script: x}\n"),
      "a.yml:1:10: `include` goes in a circle: a.yml -> b.yml -> a.yml | take one of the files out of the circle\n");
  EXPECT_EQ(fake.said("include: self.yml\nx: {script: x}\n"),
            "self.yml:1:10: `include` goes in a circle: self.yml -> self.yml | "
            "take one of the files out of the circle\n");
  EXPECT_EQ(fake.said("include: /pipeline.yml\nx: {script: x}\n"),
            "pipeline.yml:1:10: `include` goes in a circle: pipeline.yml -> pipeline.yml | "
            "take one of the files out of the circle\n");
}

TEST_F(Include, AtMostOneHundredAndFiftyFiles) {
  std::string list = "include:\n";
  for (int i = 0; i < 150; ++i) {
    list += "  - a.yml\n";
  }
  fake.includes.files = {{"a.yml", "a: {script: a}\n"}};
  EXPECT_EQ(fake.said(list), "");
  EXPECT_EQ(fake.includes.asked.size(), 1U) << "the same file is read once";
  EXPECT_EQ(fake.said(list + "  - a.yml\n  - a.yml\n"),
            "pipeline.yml:152:5: the pipeline includes too many files | at most 150 are read\n");
}

TEST_F(Include, ABombIsRefusedAtOnce) {
  for (int i = 0; i < 100; ++i) {
    const std::string next = "'f" + std::to_string(i + 1) + ".yml'";
    fake.includes.files["f" + std::to_string(i) + ".yml"] = "include: [" + next + ", " + next + "]\n";
  }
  fake.includes.files["f100.yml"] = "a: {script: a}\n";
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_NE(fake.said("include: f0.yml\n").find("includes too many files"), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

TEST_F(Include, WhatItCannotBe) {
  const std::string job = "\nx: {script: x}\n";
  EXPECT_EQ(fake.said("include: 5" + job),
            "pipeline.yml:1:10: `include` must be a path, an address or a mapping, not a number | "
            "for example `include: ci/build.yml`\n");
  EXPECT_EQ(
      fake.said("include: {rules: [{if: $A}]}" + job),
      "pipeline.yml:1:10: `include` does not say what to include | write one of `local`, `remote`, `project` with "
      "`file`, `template` and `component` in each item\n");
  EXPECT_EQ(fake.said("include: {local: a.yml, remote: b}" + job),
            "pipeline.yml:1:10: `include` names two kinds of files in one item | write one of `local`, `remote`, "
            "`project` with `file`, `template` and `component` in each item\n");
  EXPECT_EQ(fake.said("include: {loacl: a.yml}" + job),
            "pipeline.yml:1:11: unknown keyword \"loacl\" in `include` | did you mean \"local\"?\n");
  EXPECT_EQ(fake.said("include: {artifact: a.yml, job: x}" + job),
            "pipeline.yml:1:10: `include:artifact` is for child pipelines | only `trigger:include` takes files out of "
            "artifacts\n");
}

TEST_F(Include, ComposedTextIsTheSamePipeline) {
  fake.includes.files = {{"a.yml", ".base: {script: [base], variables: {N: 012, S: '012', T: yes}}\n"}};
  const Parsed parsed = fake.parse("include: a.yml\njob: {extends: .base, after_script: !reference [.base, script]}\n");
  const Parsed again = parse(parsed.composed, "again.yml");
  EXPECT_EQ(render(again.diagnostics, again.sources, false), render(parsed.diagnostics, parsed.sources, false).empty()
                                                                 ? ""
                                                                 : render(again.diagnostics, again.sources, false));
  ASSERT_EQ(again.pipeline.jobs.size(), 1U);
  EXPECT_EQ(again.pipeline.jobs[0].script.after, Strings{"base"});
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(again.pipeline.jobs[0].variables[i].value, parsed.pipeline.jobs[0].variables[i].value);
  }
  EXPECT_EQ(fake.parse("job: {script: x}\n").composed, "") << "a file that stands alone is recorded as it is";
}

TEST(IncludePattern, StopsAtSlashesUnlessDoubled) {
  EXPECT_TRUE(include_pattern_matches("a/*.yml", "a/b.yml"));
  EXPECT_FALSE(include_pattern_matches("a/*.yml", "a/b/c.yml"));
  EXPECT_TRUE(include_pattern_matches("a/**.yml", "a/b/c.yml"));
  EXPECT_TRUE(include_pattern_matches("**", ""));
  EXPECT_FALSE(include_pattern_matches("a?.yml", "ab.yml")) << "only stars are special";
  EXPECT_FALSE(include_pattern_matches("a.yml", "axyml"));
}

}  // namespace
}  // namespace pipelines
