// A job's `inputs` (docs.gitlab.com/ci/jobs/job_inputs) and `run` (docs.gitlab.com/ci/steps), as they are read.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/pipelines/fake_includes.h"

namespace pipelines {
namespace {

using Strings = std::vector<std::string>;

class JobInputsTest : public testing::Test {
 protected:
  // With `runner exec FILE JOB --input NAME=VALUE`.
  Parsed parse(std::string_view text) {
    Context context = fake.context();
    context.jobs = jobs;
    return pipelines::parse(text, "pipeline.yml", context);
  }
  std::string said(std::string_view text) {
    std::string all;
    for (const Diagnostic& d : parse(text).diagnostics) {
      all += std::to_string(d.mark.line) + ":" + std::to_string(d.mark.column) + ": " + d.message +
             (d.hint.empty() ? "" : " | " + d.hint) + "\n";
    }
    return all;
  }
  Job job(std::string_view text) {
    const Parsed parsed = parse(text);
    EXPECT_FALSE(has_errors(parsed.diagnostics)) << render(parsed.diagnostics, parsed.sources, false);
    return parsed.pipeline.jobs.empty() ? Job{} : parsed.pipeline.jobs.front();
  }

  Composed fake;
  Strings jobs;
};

constexpr const char* deploy =
    "deploy:\n  inputs:\n    target: {default: staging, options: [staging, production]}\n"
    "    replicas: {type: number, default: 3}\n    debug: {type: boolean, default: false}\n"
    "    tags: {type: array, default: [smoke, full]}\n    id: {default: '', regex: '^[a-z]*$', description: d}\n"
    "  script:\n    - echo \"${{ job.inputs.target }} ${{ job.inputs.replicas }} ${{ job.inputs.debug }}\"\n"
    "    - ${{ job.inputs.debug && \"set -x\" || \"true\" }}\n    - echo '${{ job.inputs.tags }}'\n";

TEST_F(JobInputsTest, Defaults) {
  EXPECT_EQ(job(deploy).script.main, (Strings{"echo \"staging 3 false\"", "true", "echo '[\"smoke\",\"full\"]'"}));
}

TEST_F(JobInputsTest, ValuesOfANamedJob) {
  jobs = {"deploy"};
  fake.inputs = {{"target", "production"}, {"replicas", "10"}, {"debug", "true"}, {"tags", "[\"a\", 1]"}};
  EXPECT_EQ(job(deploy).script.main, (Strings{"echo \"production 10 true\"", "set -x", "echo '[\"a\",1]'"}));
  EXPECT_EQ(parse(deploy).job_inputs.size(), 4U) << "to be recorded with the run";
  jobs = {"other"};
  EXPECT_NE(said(std::string(deploy) + "other: {script: x}\n").find("has an input \"target\""), std::string::npos);
}

TEST_F(JobInputsTest, ValuesAreChecked) {
  jobs = {"deploy"};
  fake.inputs = {{"target", "qa"}};
  EXPECT_EQ(said(deploy), "0:0: the input \"target\" cannot be \"qa\" | it can be staging or production\n");
  fake.inputs = {{"replicas", "many"}};
  EXPECT_EQ(said(deploy), "0:0: the input \"replicas\" must be a number, not a string\n");
  fake.inputs = {{"tags", "a,b"}};
  EXPECT_EQ(said(deploy), "0:0: the input \"tags\" must be a list, not a string\n");
  fake.inputs = {{"id", "A"}};
  EXPECT_EQ(said(deploy), "0:0: the input \"id\" does not match its `regex` | it must match ^[a-z]*$\n");
  fake.inputs = {{"targt", "x"}};
  EXPECT_EQ(said(deploy),
            "0:0: neither the file nor a job that is named has an input \"targt\" | did you mean \"target\"?\n");
}

TEST_F(JobInputsTest, TheFilesInputsAndTheJobs) {
  jobs = {"a"};
  fake.inputs = {{"n", "1"}, {"m", "2"}};
  EXPECT_EQ(job("spec: {inputs: {n: }}\n---\na: {inputs: {m: {default: x}}, script: "
                "'echo $[[ inputs.n ]] ${{ job.inputs.m }}'}\n")
                .script.main,
            Strings{"echo 1 2"});
}

TEST_F(JobInputsTest, GoIntoTheKeywordsThatTakeThem) {
  const Job made = job(
      "default: {before_script: ['echo ${{ job.inputs.v }}']}\n"
      "j:\n  inputs: {v: {default: x}, paths: {type: array, default: [out, log]}}\n"
      "  image: ${{ job.inputs.v == \"x\" && \"alpine:1\" || \"alpine:2\" }}\n"
      "  services: ['db:${{ job.inputs.v }}']\n  cache: {key: 'k-${{ job.inputs.v }}', paths: [c]}\n"
      "  artifacts: {name: 'n-${{ job.inputs.v }}', paths: '${{ job.inputs.paths }}'}\n"
      "  variables: {V: '${{ job.inputs.v }}'}\n  script: make\n  after_script: ['echo \\${{ ${{job.inputs.v}}']\n");
  EXPECT_EQ(made.image->name, "alpine:1");
  EXPECT_EQ(made.services.at(0).image.name, "db:x");
  EXPECT_EQ(made.caches.at(0).key.text, "k-x");
  EXPECT_EQ(made.artifacts.name, "n-x");
  EXPECT_EQ(made.artifacts.paths, (Strings{"out", "log"}));
  EXPECT_EQ(made.script.before, Strings{"echo x"});
  EXPECT_EQ(made.script.after, Strings{"echo ${{ x"});
  EXPECT_EQ(made.variables.at(0).value, "${{ job.inputs.v }}") << "not one of them";
}

TEST_F(JobInputsTest, AJobWithoutInputsIsLeftAsItIs) {
  EXPECT_EQ(job("j: {script: 'echo ${{ job.inputs.x }}'}\n").script.main, Strings{"echo ${{ job.inputs.x }}"});
}

TEST_F(JobInputsTest, WhatIsWrong) {
  EXPECT_EQ(said("j: {script: x, inputs: {a: }}\n"),
            "1:25: `inputs:a` must have a default value | the job may run where nobody can give one\n");
  EXPECT_EQ(said("j: {script: x, inputs: {a: {type: number}}}\n"),
            "1:25: `inputs:a` must have a default value | the job may run where nobody can give one\n");
  EXPECT_EQ(said("j: {script: x, inputs: {a: {default: 1, type: boolean}}}\n"),
            "1:38: the default of the input \"a\" must be true or false, not a number\n");
  EXPECT_EQ(said("j: {script: x, inputs: {a: {default: 1, rules: []}}}\n").substr(0, 32),
            "1:41: unknown keyword \"rules\" in");
  EXPECT_EQ(said("j:\n  inputs: {target: {default: x}}\n  script: [\"echo ${{ job.inputs.targt }}\"]\n"),
            "3:33: `job.inputs` has no \"targt\" | it has target\n");
  EXPECT_EQ(said("j: {script: x, inputs: [a]}\n"), "1:24: `inputs` must be a mapping of names, not a list\n");
}

TEST_F(JobInputsTest, OfAParallelJobByAnInstancesName) {
  jobs = {"t 2/2"};
  fake.inputs = {{"a", "given"}};
  const Parsed parsed = parse("t: {parallel: 2, inputs: {a: {default: x}}, script: 'echo ${{ job.inputs.a }}'}\n");
  EXPECT_EQ(parsed.pipeline.jobs.at(1).script.main, Strings{"echo given"});
}

TEST_F(JobInputsTest, StepsOfRun) {
  const Job made =
      job("default: {before_script: [not here], after_script: [nor here]}\n"
          "j:\n  run:\n    - name: one\n      script: make\n      env: {USER: Fred}\n    - {name: two_2, script: "
          "'a\n\n b'}\n");
  ASSERT_EQ(made.steps.size(), 2U);
  EXPECT_EQ(made.steps[0].name, "one");
  EXPECT_EQ(made.steps[0].env.at(0), (std::pair<std::string, std::string>("USER", "Fred")));
  EXPECT_EQ(made.steps[1].script, "a\nb");
  EXPECT_TRUE(made.script.before.empty());
  EXPECT_TRUE(made.script.after.empty());
}

TEST_F(JobInputsTest, WhatIsWrongWithRun) {
  const auto steps = [&](const std::string& text) { return said("j: {run: " + text + "}\n"); };
  EXPECT_EQ(steps("[{name: 1x, script: x}]"),
            "1:18: `run:name` may have letters, digits and underscores only, and no digit in front\n");
  EXPECT_EQ(steps("[{script: x}]"),
            "1:11: `run` has a step without `name` | for example `- { name: build, script: make }`\n");
  EXPECT_EQ(steps("[{name: a}]"), "1:11: `run` has no `script` in the step \"a\"\n");
  EXPECT_EQ(steps("[{name: a, script: [x]}]"), "1:29: `run:script` must be a string, not a list\n");
  EXPECT_EQ(steps("[{name: a, script: x, env: {A: 1}}]"),
            "1:41: `run:env:A` must be a string, not a number | quote it: \"1\"\n");
  EXPECT_EQ(steps("[]"), "1:10: `run` is empty | for example `run: [{ name: build, script: make }]`\n");
  EXPECT_EQ(steps("[{name: a, step: ./x}]"),
            "1:27: `run:step` names a function of the project: that needs GitLab's step runner, which is not here | "
            "only steps with `script` are carried out: write the commands out\n");
  EXPECT_NE(steps("[{name: a, func: host/x@v1}]").find("a function from a repository"), std::string::npos);
  EXPECT_NE(steps("[{name: a, step: {oci: {registry: r, repository: p, tag: t}}}]").find("from a registry"),
            std::string::npos);
  EXPECT_NE(steps("[{name: a, action: x/y@v1}]").find("names a GitHub action"), std::string::npos);
  EXPECT_EQ(steps("[{name: a, script: 'echo ${{ vars.X'}]"),
            "1:35: `${{` is not closed | add }}; write \\${{ for the text itself\n");
  EXPECT_EQ(said("j: {run: [{name: a, script: x}], script: y, before_script: z}\n"),
            "1:34: job \"j\" has `run` and `script`, which exclude each other | make a step of it\n"
            "1:45: job \"j\" has `run` and `before_script`, which exclude each other | make a step of it\n");
}

}  // namespace
}  // namespace pipelines
