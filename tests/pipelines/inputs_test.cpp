// `spec:inputs`, from docs.gitlab.com/ee/ci/inputs and /ee/ci/yaml/#spec.
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "pipelines/input_blocks.h"
#include "tests/pipelines/fake_includes.h"

namespace pipelines {
namespace {

using Strings = std::vector<std::string>;

class Spec : public testing::Test {
 protected:
  Pipeline read(std::string_view text) {
    EXPECT_EQ(fake.said(text), "");
    return fake.parse(text).pipeline;
  }
  // The one line of the script of a job that is included with these inputs.
  std::string line(const std::string& inputs, const std::string& script, const std::string& given = "{}") {
    fake.includes.files = {{"a.yml", "spec:\n  inputs: " + inputs + "\n---\njob:\n  script:\n    - " + script + "\n"}};
    const Pipeline pipeline = read("include: {local: a.yml, inputs: " + given + "}\n");
    return pipeline.jobs.empty() || pipeline.jobs[0].script.main.empty() ? "" : pipeline.jobs[0].script.main[0];
  }
  std::string wrong(const std::string& inputs, const std::string& body, const std::string& given = "{}") {
    fake.includes.files = {{"a.yml", "spec:\n  inputs: " + inputs + "\n---\n" + body + "\n"}};
    return fake.said("include: {local: a.yml, inputs: " + given + "}\nx: {script: x}\n");
  }

  Composed fake;
};

TEST_F(Spec, InputsOfAnIncludedFile) {
  fake.includes.files = {
      {"scan.yml",
       "spec:\n  inputs:\n    job-prefix:\n      description: \"a prefix\"\n    job-stage:\n      default: test\n"
       "    environment:\n      options: ['test', 'staging', 'production']\n    concurrency:\n      type: number\n"
       "      default: 1\n    version:\n      type: string\n      regex: ^v\\d\\.\\d+(\\.\\d+)$\n"
       "    export_results:\n      type: boolean\n      default: true\n---\n"
       "\"$[[ inputs.job-prefix ]]scan-website\":\n  stage: $[[ inputs.job-stage ]]\n  script:\n"
       "    - echo \"scanning website -e $[[ inputs.environment ]] -c $[[ inputs.concurrency ]] -v $[[ inputs.version "
       "]]\"\n"
       "    - if $[[ inputs.export_results ]]; then echo \"export results\"; fi\n"}};
  const Pipeline pipeline = read(
      "include:\n  - local: 'scan.yml'\n    inputs:\n      job-prefix: 'some-service-'\n      environment: 'staging'\n"
      "      concurrency: 2\n      version: 'v1.3.2'\n      export_results: false\n");
  const Job& job = pipeline.jobs.at(0);
  EXPECT_EQ(job.name, "some-service-scan-website");
  EXPECT_EQ(job.stage, "test");
  EXPECT_EQ(job.script.main, (Strings{"echo \"scanning website -e staging -c 2 -v v1.3.2\"",
                                      "if false; then echo \"export results\"; fi"}));
}

TEST_F(Spec, TheSameFileTwice) {
  fake.includes.files = {{"a.yml", "spec: {inputs: {n: }}\n---\njob-$[[ inputs.n ]]: {script: $[[ inputs.n ]]}\n"}};
  const Pipeline pipeline = read("include: [{local: a.yml, inputs: {n: one}}, {local: a.yml, inputs: {n: two}}]\n");
  EXPECT_EQ(pipeline.jobs.at(0).name, "job-one");
  EXPECT_EQ(pipeline.jobs.at(1).script.main, Strings{"two"});
}

TEST_F(Spec, OfTheMainFileItself) {
  fake.inputs = {{"n", "3"}, {"list", "[a, b]"}, {"flag", "true"}};
  const Pipeline pipeline = read(
      "spec:\n  inputs:\n    n: {type: number}\n    list: {type: array}\n    flag: {type: boolean}\n"
      "    s: {default: text}\n---\n"
      "job:\n  retry: 2\n  allow_failure: $[[ inputs.flag ]]\n  tags: $[[ inputs.list ]]\n"
      "  script: echo $[[ inputs.n ]] $[[ inputs.s ]]\n");
  EXPECT_EQ(pipeline.jobs.at(0).tags, (Strings{"a", "b"}));
  EXPECT_EQ(pipeline.jobs.at(0).script.main, Strings{"echo 3 text"});
  EXPECT_TRUE(pipeline.jobs.at(0).allow_failure->any);
}

TEST_F(Spec, AValueThatStandsAloneKeepsItsType) {
  fake.includes.files = {
      {"a.yml",
       "spec:\n  inputs:\n    rules-config:\n      type: array\n      default:\n        - if: $A\n          when: "
       "manual\n"
       "        - if: $B\n    retry: {type: number, default: 2}\n    fail: {type: boolean, default: true}\n"
       "    text: {default: 'true'}\n---\n"
       "job:\n  rules: $[[ inputs.rules-config ]]\n  retry: $[[ inputs.retry ]]\n  script: ls\n"
       "other:\n  allow_failure: $[[ inputs.fail ]]\n  interruptible: $[[ inputs.text ]]\n"
       "  script: ['$[[ inputs.fail ]]']\n  needs: []\n"}};
  const Pipeline pipeline = read("include: a.yml\n");
  EXPECT_EQ(pipeline.jobs.at(0).rules->size(), 2U);
  EXPECT_EQ(pipeline.jobs.at(0).retry.max, 2);
  EXPECT_EQ(pipeline.jobs.at(1).interruptible, true) << "unquoted, as GitLab writes it into the text";
  EXPECT_EQ(pipeline.jobs.at(1).script.main, Strings{"true"}) << "quoted: a string";
}

TEST_F(Spec, ListsBecomeJsonInTexts) {
  EXPECT_EQ(line("{l: {type: array}}", "\"echo '$[[ inputs.l ]]'\"", "{l: [1, {a: b}]}"), "echo '[1,{\"a\":\"b\"}]'");
  // Within quotes also where it stands alone (lib/gitlab/ci/config/interpolation/text_template.rb, to_json).
  EXPECT_EQ(line("{l: {type: array}}", "'$[[ inputs.l ]]'", "{l: [a, b]}"), "[\"a\",\"b\"]");
  EXPECT_EQ(line("{l: {type: array}}", "$[[ inputs.l ]]", "{l: [only]}"), "only");
}

TEST_F(Spec, EveryBadBlockOfATextIsTold) {
  const std::string said =
      wrong("{a: {default: x}}",
            "k: {script: 'echo $[[ inputs.zz ]] $[[ inputs.a ]] $[[ inputs.a | nofn ]] $[[ foo.bar ]] $[[ '}");
  EXPECT_NE(said.find("there is no input \"zz\""), std::string::npos) << said;
  EXPECT_NE(said.find("there is no function `nofn`"), std::string::npos) << said;
  EXPECT_NE(said.find("`$[[ foo.bar ]]` names nothing"), std::string::npos) << said;
}

// 10 MB of them may stand in one text.
TEST_F(Spec, ManyBlocksInOneTextTakeNoTime) {
  std::string blocks;
  for (int i = 0; i < 200'000; ++i) blocks += "$[[ inputs.a ]]";
  fake.includes.files = {{"a.yml", "spec: {inputs: {a: {default: x}}}\n---\nj: {script: '" + blocks + "'}\n"}};
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(read("include: a.yml\n").jobs.at(0).script.main.at(0), std::string(200'000, 'x'));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(8));
}

TEST(BlockFinder, IsLinearWhateverTheText) {
  const std::vector<std::string> pieces = {"$[[ a ]]",
                                           "$[[",
                                           "$[[\n",
                                           "$[[ $[[ ]",
                                           "\xEF\xA3\xB0",
                                           "$\xEF\xA3\xB0",
                                           "$[[\n\xEF\xA3\xB0",
                                           "$[[ \xEF\xA3\xB0 a \xDF\xBF"};
  for (const std::string& piece : pieces) {
    for (const char* end : {"", "]]", "\n]]", "\xDF\xBF"}) {
      std::string text;
      while (text.size() < 3'000'000) text += piece;
      text += end;
      const auto begin = std::chrono::steady_clock::now();
      BlockFinder blocks(text);
      while (blocks.next()) {
      }
      EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5)) << piece << end;
    }
  }
}

TEST(BlockFinder, FindsEachOnItsLine) {
  const auto found = [](std::string_view text) {
    std::string all;
    BlockFinder blocks(text);
    while (const auto block = blocks.next()) all += "<" + block->content + ">";
    return all;
  };
  EXPECT_EQ(found("a $[[ b ]] c $[[d]]$[[ ]]$[[]]"), "<b><d>");
  EXPECT_EQ(found("$[[ open\n$[[ b ]]"), "<b>");
  EXPECT_EQ(found("$[[ open $[[ b ]]"), "<open $[[ b>");
  EXPECT_EQ(found("$[[ open"), "");
  EXPECT_EQ(found("$[[ open \xEF\xA3\xB0 b` c \xDF\xBF\n$[[ d ]]"), "<b, c><d>");
}

TEST_F(Spec, BlocksInFlowStyle) {
  fake.includes.files = {
      {"a.yml",
       "spec: {inputs: {s: {default: test}, t: {default: abcdef}}}\n---\n"
       "job: {stage: $[[ inputs.s ]], tags: [$[[ inputs.s ]], $[[ inputs.t | truncate(1,2) ]]], script: x}\n"}};
  const Pipeline pipeline = read("include: a.yml\n");
  EXPECT_EQ(pipeline.jobs.at(0).stage, "test");
  EXPECT_EQ(pipeline.jobs.at(0).tags, (Strings{"test", "bc"}));
}

TEST_F(Spec, AValueCannotChangeTheStructure) {
  EXPECT_EQ(line("{c: }", "$[[ inputs.c ]]", "{c: \"echo a: b # c\"}"), "echo a: b # c");
  EXPECT_EQ(line("{c: }", "run $[[ inputs.c ]]", "{c: \"x\\n- y\"}"), "run x\n- y");
}

TEST_F(Spec, AFileWithoutAHeaderIsLeftAsItIs) {
  fake.includes.files = {{"a.yml", "job: {script: 'echo $[[ inputs.x ]]'}\n"}};
  EXPECT_EQ(read("include: a.yml\n").jobs.at(0).script.main, Strings{"echo $[[ inputs.x ]]"});
  EXPECT_EQ(read("a: {script: 'echo $[[ inputs.x ]]'}\n").jobs.at(0).script.main, Strings{"echo $[[ inputs.x ]]"});
}

TEST_F(Spec, Functions) {
  fake.variables.set("MY_VAR", "my value", Precedence::project);
  fake.variables.set("NESTED", "$MY_VAR", Precedence::project);
  EXPECT_EQ(line("{t: {default: 'test $MY_VAR'}}", "echo $[[ inputs.t | expand_vars | truncate(5,8) ]]"),
            "echo my value");
  EXPECT_EQ(line("{t: {default: 'a $NESTED $UNKNOWN'}}", "$[[ inputs.t | expand_vars ]]"), "a $MY_VAR $UNKNOWN");
  EXPECT_EQ(line("{t: }", "n $[[ inputs.t | truncate(3,5) ]]", "{t: '0123456789'}"), "n 34567");
  EXPECT_EQ(line("{t: }", "$[[ inputs.t | truncate(1,2) ]]", "{t: 'äöü'}"), "öü");
  EXPECT_EQ(line("{t: }", "echo $[[ inputs.t | posix_escape ]]", "{t: \"a b'c\"}"), "echo a\\ b\\'c");
  fake.includes.files = {{"a.yml",
                          "spec: {inputs: {t: {default: 'a, b,,c'}}}\n---\n"
                          "job:\n  tags: $[[ inputs.t | split(',') ]]\n  script: x\n"}};
  EXPECT_EQ(read("include: a.yml\n").jobs.at(0).tags, (Strings{"a", "b", "c"}));
}

TEST_F(Spec, FunctionsThatAreWrong) {
  fake.variables.set("SECRET", "hidden-value", Precedence::pipeline, false, true);
  const std::string inputs = "{t: {default: $SECRET}, n: {type: number, default: 1}}";
  EXPECT_EQ(wrong(inputs, "j: {script: \"$[[ inputs.t | expand_vars ]]\"}"),
            "a.yml:4:13: `expand_vars` cannot expand a masked variable | "
            "it would stand in the pipeline for all to read\n");
  EXPECT_EQ(wrong(inputs, "j: {script: \"$[[ inputs.t | upcase ]]\"}"),
            "a.yml:4:13: there is no function `upcase` | there are expand_vars, truncate(OFFSET,LENGTH), posix_escape "
            "and split('SEPARATOR')\n");
  EXPECT_EQ(wrong(inputs, "j: {script: \"$[[ inputs.n | truncate(0,1) ]]\"}"),
            "a.yml:4:13: `truncate` takes a string, not a number\n");
  const std::string four = "truncate(0,1) | truncate(0,1) | truncate(0,1) | truncate(0,1)";
  EXPECT_EQ(wrong(inputs, "j: {script: \"$[[ inputs.t | " + four + " ]]\"}"),
            "a.yml:4:13: `$[[ inputs.t | " + four + " ]]` has too many functions | at most 3 are allowed\n");
}

TEST_F(Spec, MissingUnknownAndWrongValues) {
  EXPECT_EQ(
      wrong("{a: , b: {default: x}}", "j: {script: x}", "{c: 1}"),
      "pipeline.yml:1:34: a.yml has no input \"c\" | it has a and b\n"
      "a.yml:2:12: the input \"a\" of a.yml has no value | give it one: `include:inputs`, or `--input NAME=VALUE` "
      "for the file itself\n");
  EXPECT_EQ(wrong("{n: {type: number}, b: {type: boolean}, l: {type: array}, s: }", "j: {script: x}",
                  "{n: x, b: 3, l: x, s: [1]}"),
            "pipeline.yml:1:34: the input \"n\" must be a number, not a string\n"
            "pipeline.yml:1:40: the input \"b\" must be true or false, not a number\n"
            "pipeline.yml:1:46: the input \"l\" must be a list, not a string\n"
            "pipeline.yml:1:52: the input \"s\" must be a string, not a list\n");
  EXPECT_EQ(wrong("{n: {type: number, default: x}}", "j: {script: x}"),
            "a.yml:2:39: the default of the input \"n\" must be a number, not a string\n");
  fake.includes.files = {{"a.yml", "j: {script: x}\n"}};
  EXPECT_EQ(fake.said("include: {local: a.yml, inputs: {x: 1}}\n"),
            "pipeline.yml:1:34: a.yml has no input \"x\" | it has no header with `spec:inputs`\n");
  fake.inputs = {{"y", "1"}};
  EXPECT_EQ(fake.said("j: {script: x}\n"),
            "pipeline.yml:0:0: pipeline.yml has no input \"y\" | it has no header with `spec:inputs`\n");
}

TEST_F(Spec, Options) {
  EXPECT_EQ(line("{e: {options: [test, prod, 3]}}", "$[[ inputs.e ]] it", "{e: prod}"), "prod it");
  EXPECT_EQ(wrong("{e: {options: [test, prod]}}", "j: {script: x}", "{e: dev}"),
            "pipeline.yml:1:34: the input \"e\" cannot be \"dev\" | it can be test or prod\n");
  EXPECT_EQ(wrong("{e: {options: [test, prod], default: dev}}", "j: {script: x}"),
            "a.yml:2:48: the input \"e\" cannot be \"dev\" | it can be test or prod\n");
  EXPECT_EQ(wrong("{e: {type: boolean, options: [true], default: true}}", "j: {script: x}"),
            "a.yml:2:40: the input \"e\" cannot have `options`: it is true or false | only strings and numbers can\n");
  std::string many = "0";
  for (int i = 1; i <= 50; ++i) {
    many += ", " + std::to_string(i);
  }
  EXPECT_EQ(wrong("{e: {options: [" + many + "], default: 1}}", "j: {script: x}"),
            "a.yml:2:25: `spec:inputs:e:options` has 51 values; at most 50 are allowed\n");
}

TEST_F(Spec, Regex) {
  EXPECT_EQ(wrong("{v: {regex: '^v\\d+$'}}", "j: {script: x}", "{v: 1.0}"),
            "pipeline.yml:1:34: the input \"v\" does not match its `regex` | it must match ^v\\d+$\n");
  EXPECT_EQ(wrong("{v: {regex: '^v\\d+$', default: x}}", "j: {script: x}"),
            "a.yml:2:42: the default of the input \"v\" does not match its `regex` | it must match ^v\\d+$\n");
  EXPECT_EQ(wrong("{v: {regex: '(?!x)', default: x}}", "j: {script: x}"),
            "a.yml:2:23: `spec:inputs:v:regex` is no regular expression: invalid perl operator: (?! | "
            "RE2's syntax: no look-around, no back-references\n");
}

TEST_F(Spec, RulesGiveDefaultsAndOptions) {
  const std::string inputs =
      "{env: {options: [dev, prod], default: dev}, tier: {rules: [{if: '$[[ inputs.env ]] == \"dev\"', options: "
      "[small, "
      "medium], default: small}, {if: '$[[ inputs.env ]] == \"prod\"', options: [large, huge]}, {default: none}]}}";
  EXPECT_EQ(line(inputs, "echo $[[ inputs.tier ]]"), "echo small");
  EXPECT_EQ(line(inputs, "echo $[[ inputs.tier ]]", "{env: prod}"), "echo large") << "the first option";
  EXPECT_EQ(line(inputs, "echo $[[ inputs.tier ]]", "{env: prod, tier: huge}"), "echo huge");
  EXPECT_EQ(wrong(inputs, "j: {script: x}", "{env: dev, tier: huge}"),
            "pipeline.yml:1:44: the input \"tier\" cannot be \"huge\" | it can be small or medium\n");
  EXPECT_EQ(wrong("{a: {rules: [{default: x}], default: y}}", "j: {script: x}"),
            "a.yml:2:39: `spec:inputs:a:default` and its `rules` exclude each other | "
            "put it into the last rule, without `if`\n");
}

TEST_F(Spec, Component) {
  fake.includes.elsewhere = {{"example.com/group/deploy@1",
                              "spec:\n  component: [name, version]\n---\n"
                              "job: {script: 'echo $[[ component.name ]] $[[ component.version ]]'}\n"}};
  EXPECT_EQ(read("include: {component: example.com/group/deploy@1}\n").jobs.at(0).script.main,
            Strings{"echo deploy 1.2.3"});
  EXPECT_EQ(
      fake.said("spec: {component: [nmae]}\n---\nj: {script: \"$[[ component.name ]]\"}\n"),
      "pipeline.yml:1:20: `spec:component` has no \"nmae\" | there are name, sha, version and reference\n"
      "pipeline.yml:3:13: `component.name` is not asked for | write `spec: { component: [name] }` in the header\n");
}

TEST_F(Spec, Include) {
  fake.includes.files = {{"shared.yml", "inputs:\n  a: {default: shared}\n  b: {default: shared}\n"},
                         {"bad.yml", "inputs: {c: {default: x}}\njob: {script: x}\n"}};
  EXPECT_EQ(read("spec:\n  include: shared.yml\n  inputs: {b: {default: own}}\n---\n"
                 "j: {script: $[[ inputs.a ]] $[[ inputs.b ]]}\n")
                .jobs.at(0)
                .script.main,
            Strings{"shared own"});
  EXPECT_EQ(fake.said("spec:\n  include: bad.yml\n---\nj: {script: x}\n"),
            "bad.yml:2:1: unknown keyword \"job\" in bad.yml, which `spec:include` includes | known here: inputs\n");
}

TEST_F(Spec, HeadersThatAreWrong) {
  EXPECT_EQ(fake.said("spec: {inputs: {a: {tpye: string}}}\n---\nj: {script: x}\n"),
            "pipeline.yml:1:17: the input \"a\" of pipeline.yml has no value | give it one: `include:inputs`, or "
            "`--input NAME=VALUE` for the file itself\n"
            "pipeline.yml:1:21: unknown keyword \"tpye\" in `spec:inputs:a` | did you mean \"type\"?\n");
  EXPECT_EQ(fake.said("spec: {inputs: {a: {type: text, default: x}}}\n---\nj: {script: x}\n"),
            "pipeline.yml:1:27: `spec:inputs:a:type` must be string, number, boolean or array, not \"text\"\n");
  EXPECT_EQ(fake.said("spec: {input: {}}\nother: 1\n---\nj: {script: x}\n"),
            "pipeline.yml:1:8: unknown keyword \"input\" in `spec` | did you mean \"inputs\"?\n"
            "pipeline.yml:2:1: unknown keyword \"other\" in the header | known here: spec\n");
  EXPECT_EQ(fake.said("spec: {inputs: {}}\nj: {script: x}\n"),
            "pipeline.yml:1:7: `spec` must stand in a header of its own | end the header with a line `---`\n");
  EXPECT_EQ(fake.said("spec: {inputs: {stage: {default: x}}}\n---\nj: {script: $[[ inputs.stgae ]] $[[ inputs.x ]]}\n"),
            "pipeline.yml:3:13: there is no input \"stgae\" | did you mean \"stage\"?\n"
            "pipeline.yml:3:13: there is no input \"x\" | define it in the header, below `spec: { inputs: … }`\n");
  EXPECT_EQ(
      fake.said("spec:\n---\nj: {script: x}\n---\nk: {script: x}\n"),
      "pipeline.yml:4:1: a second YAML document begins here | a pipeline file is one document, after a header with "
      "`spec` if it has one; remove the `---`\n");
}

TEST_F(Spec, HugeGrowthIsRefused) {
  std::string body = "spec: {inputs: {a: {default: " + std::string(600'000, 'x') + "}}}\n---\nj:\n  script:\n";
  EXPECT_NE(fake.said(body + "    - $[[ inputs.a ]] $[[ inputs.a ]]\n").find("makes this text far too long"),
            std::string::npos);
  for (int i = 0; i < 100; ++i) {
    body += "    - " + std::to_string(i) + " $[[ inputs.a ]]\n";
  }
  EXPECT_NE(fake.said(body).find("make far too much of it"), std::string::npos);
}

TEST_F(Spec, MatrixBlocksAreForLater) {
  EXPECT_EQ(line("{a: {default: x}}", "$[[ matrix.X ]] $[[ inputs.a ]]"), "$[[ matrix.X ]] x");
}

}  // namespace
}  // namespace pipelines
