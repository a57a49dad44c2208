// Bad pipelines: exit 2, one clear message each that begins FILE:LINE:COLUMN:, in under a second.
#include <gmock/gmock.h>

#include <regex>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// Under sanitizers and on a machine that runs other tests beside it a second is not a second: the best of three.
constexpr double allowed_seconds = 1.0;

struct Bad {
  const char* name;
  std::string text;
  int line, column;                // 0: anywhere
  std::vector<std::string> words;  // that the message has
};

void PrintTo(const Bad& bad, std::ostream* stream) { *stream << bad.name; }

std::string alias_bomb() {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 10; ++i) {
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int k = 0; k < 9; ++k) text += (k ? ", *a" : "*a") + std::to_string(i - 1);
    text += "]\n";
  }
  return text + "test: {script: *a9}\n";
}

std::string merge_bomb() {
  std::string text = ".m0: &m0 {k: 1}\n";
  for (int i = 1; i < 40; ++i) {
    const std::string before = std::to_string(i - 1);
    text += ".m" + std::to_string(i) + ": &m" + std::to_string(i) + " {<<: [*m" + before + ", *m" + before + "], k" +
            std::to_string(i) + ": [*m" + before + ", *m" + before + "]}\n";
  }
  return text + "test: {<<: *m39, script: echo x}\n";
}

std::vector<Bad> bad_files() {
  return {
      {"Empty", "", 1, 1, {}},
      {"OnlyComments", "# nothing\n\n", 1, 1, {}},
      {"NotAMapping", "- a\n- b\n", 1, 1, {"mapping"}},
      {"AScalar", "hello\n", 1, 1, {}},
      {"Tabs", "test:\n\tscript: echo x\n", 2, 1, {"tab"}},
      {"SyntaxError", "test:\n  script: [echo x\nother: 1\n", 0, 0, {}},
      {"UnknownKeyword", "test:\n  scirpt: echo x\n  script: echo y\n", 2, 3, {"scirpt", "script"}},
      {"UndefinedStage", "stages: [build]\ntest:\n  stage: biuld\n  script: echo x\n", 3, 10, {"biuld", "build"}},
      {"NoTestStage", "stages: [build]\ncheck: {script: echo x}\n", 2, 0, {"test"}},
      {"UndefinedNeed",
       "build: {script: echo x}\ntest:\n  needs: [biuld]\n  script: echo x\n",
       3,
       11,
       {"biuld", "build"}},
      {"UndefinedDependency",
       "build: {stage: build, script: echo x}\ntest:\n  dependencies: [biuld]\n  script: echo x\n",
       3,
       18,
       {"biuld"}},
      {"UndefinedExtends",
       "test:\n  extends: .bsae\n  script: echo x\n.base: {script: echo y}\n",
       2,
       12,
       {".bsae", ".base"}},
      {"NeedsCycle",
       "a: {needs: [c], script: echo x}\nb: {needs: [a], script: echo x}\nc: {needs: [b], script: echo x}\n",
       0,
       0,
       {"a", "b", "c", "->"}},
      {"ExtendsCycle",
       ".a: {extends: .b}\n.b: {extends: .a}\ntest: {extends: .a, script: echo x}\n",
       0,
       0,
       {".a", ".b"}},
      {"NoScript", "test:\n  stage: build\n", 1, 1, {"test", "script"}},
      {"NoJobs", "stages: [build]\n", 0, 0, {}},
      {"OnlyHiddenJobs", ".hidden: {script: echo x}\n", 0, 0, {}},
      {"WrongType", "test:\n  script: {a: b}\n", 2, 0, {"script"}},
      {"BadWhen", "test:\n  when: sometimes\n  script: echo x\n", 2, 0, {"sometimes"}},
      {"BadTimeout", "test:\n  timeout: soon\n  script: echo x\n", 2, 0, {"soon"}},
      {"BadRetry", "test:\n  retry: 9\n  script: echo x\n", 2, 0, {"retry"}},
      {"BadIf", "test:\n  script: echo x\n  rules:\n    - if: '$A =='\n", 4, 0, {}},
      {"BadRegex", "test:\n  script: echo x\n  rules:\n    - if: '$A =~ /a(/'\n", 4, 0, {}},
      {"AliasBomb", alias_bomb(), 0, 0, {}},
      {"MergeBomb", merge_bomb(), 0, 0, {}},
      {"RecursiveAnchor", "test: &a\n  script: [echo x]\n  variables: *a\n", 3, 0, {"a"}},
      {"UndefinedAlias", "test: {script: *nobody}\n", 1, 0, {"nobody"}},
      {"InvalidUtf8", "test:\n  script: echo \xff\xfe\n", 2, 16, {"UTF-8"}},
      {"NulByte", std::string("test:\n  script: echo \0x\n", 24), 2, 0, {}},
      {"Deep", std::string(20000, '[') + "\n", 0, 0, {}},
      {"PythonObject", "test: !!python/object/apply:os.system [id]\n", 0, 0, {}},
  };
}

class BadInput : public testing::TestWithParam<Bad> {};

void check(Project& project, const Bad& bad) {
  double best = 1000;
  for (int i = 0; i < 3 && best > allowed_seconds; ++i) {
    for (const Arguments& command : {Arguments{"lint"}, Arguments{"exec", "--executor", "shell"}}) {
      const Result result = project.run(command);
      best = std::min(best, result.seconds);
      EXPECT_EQ(result.code, 2) << result;
      const std::string said = result.out + result.err;
      // Every message begins FILE:LINE:COLUMN:.
      std::smatch match;
      ASSERT_TRUE(std::regex_search(said, match, std::regex(R"(^pipeline\.yml:(\d+):(\d+): error: )"))) << result;
      EXPECT_EQ(match.position(), 0) << result;
      if (bad.line != 0) {
        EXPECT_EQ(std::stoi(match[1]), bad.line) << said;
      }
      if (bad.column != 0) {
        EXPECT_EQ(std::stoi(match[2]), bad.column) << said;
      }
      for (const std::string& word : bad.words) EXPECT_THAT(said, HasSubstr(word));
      // Bounded, whatever the input was.
      EXPECT_LT(said.size(), 20000U);
      EXPECT_LT(result.peak_kib, 200U * 1024) << bad.name;
    }
  }
#ifndef RUNNER_SANITIZED
  EXPECT_LT(best, allowed_seconds);
#endif
}

TEST_P(BadInput, IsRefused) {
  Project project;
  project.pipeline(GetParam().text);
  check(project, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Files, BadInput, testing::ValuesIn(bad_files()),
                         [](const auto& which) { return std::string(which.param.name); });

TEST(BadInputSize, AHundredMegabytes) {
  Project project;
  project.pipeline("test: {script: echo x}\n");
  sh("(yes '# a line that says nothing at all, again and again' || true) | head -c 100000000 >>'" +
     (project / "pipeline.yml").string() + "'");
  check(project, {"AHundredMegabytes", "", 0, 0, {"MB"}});
}

TEST(BadInputSize, AHundredMegabytesInOneLine) {
  Project project;
  project.pipeline("test: {script: '");
  sh("head -c 100000000 /dev/zero | tr '\\0' x >>'" + (project / "pipeline.yml").string() + "'");
  check(project, {"OneLine", "", 0, 0, {}});
}

TEST(BadInputSize, AMillionJobsAreRefusedOrRun) {
  Project project;
  std::string text;
  for (int i = 0; text.size() < 9'000'000; ++i) text += "job" + std::to_string(i) + ": {script: echo}\n";
  project.pipeline(text);
  const Result result = project.run({"lint"});
  EXPECT_THAT(result.code, testing::AnyOf(0, 2)) << result.err.substr(0, 500);
  EXPECT_LT(result.seconds, 20);
}

TEST(BadInputPath, AFileThatCannotBeRead) {
  Project project;
  std::filesystem::create_directory(project / "folder.yml");
  const Result folder = project.run({"lint", "folder.yml"});
  EXPECT_EQ(folder.code, 2) << folder;
  EXPECT_THAT(folder.err, AllOf(HasSubstr("folder.yml"), HasSubstr("directory")));
  const Result missing = project.run({"lint", "missing.yml"});
  EXPECT_EQ(missing.code, 2) << missing;
  EXPECT_THAT(missing.err, HasSubstr("missing.yml"));
  std::filesystem::create_symlink("loop.yml", project / "loop.yml");
  EXPECT_EQ(project.run({"lint", "loop.yml"}).code, 2);
}

TEST(BadInputLint, SaysEveryMistakeAtOnceWithLineCaretAndHint) {
  Project project;
  project.pipeline(R"(stages: [build]
one:
  stage: biuld
  scirpt: echo x
two:
  stage: build
  needs: [nobody]
  script: echo x
)");
  const Result result = project.run({"lint"});
  EXPECT_EQ(result.code, 2) << result;
  const std::string said = result.out + result.err;
  EXPECT_THAT(said, AllOf(HasSubstr("pipeline.yml:3:10: error: "), HasSubstr("pipeline.yml:4:3: error: "),
                          HasSubstr("pipeline.yml:7:11: error: ")));
  EXPECT_THAT(said, HasSubstr("  scirpt: echo x\n"));
  EXPECT_THAT(said, testing::ContainsRegex("\n *(\\| *)?\\^"));
  EXPECT_THAT(said, HasSubstr("hint: "));
}

TEST(BadInputLint, ADuplicateKeyIsAWarningThatShowsBothPlacesAndTheLastWins) {
  Project project;
  project.pipeline("test:\n  script: echo first\n  script: echo last\n");
  const Result lint = project.run({"lint"});
  EXPECT_EQ(lint.code, 0) << lint;
  const std::string said = lint.out + lint.err;
  EXPECT_THAT(said, HasSubstr("warning: "));
  EXPECT_THAT(said, AllOf(HasSubstr("pipeline.yml:3:3:"), HasSubstr("2:3")));
  EXPECT_EQ(project.run({"lint", "--strict"}).code, 2);
  EXPECT_EQ(project.exec().printed("test"), "last\n");
}

TEST(BadInputLint, TheFileIsCalledAsTheUserTypedIt) {
  Project project;
  project.file("ci/build.yml", "test: {}\n");
  EXPECT_THAT(project.run({"lint", "ci/build.yml"}).err + project.run({"lint", "ci/build.yml"}).out,
              HasSubstr("ci/build.yml:1:1: error: "));
  Options below;
  below.directory = project / "ci";
  const Result result = project.run({"lint", "build.yml"}, below);
  EXPECT_THAT(result.out + result.err, testing::StartsWith("build.yml:1:1: error: "));
}

TEST(BadInputConfiguration, IsRefusedWithItsPlace) {
  Project project;
  project.pipeline("test: {script: echo x}").configuration("[docker]\nmemroy = \"1g\"\n");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 2) << result;
  EXPECT_THAT(result.err, AllOf(HasSubstr("config.toml:2:1:"), HasSubstr("memroy"), HasSubstr("memory")));
  Options missing;
  missing.env["RUNNER_CONFIG"] = "/no/such/file.toml";
  const Result none = project.exec({}, missing);
  EXPECT_EQ(none.code, 2) << none;
  EXPECT_THAT(none.err, HasSubstr("/no/such/file.toml"));
}

TEST(BadInputDatabase, ThatIsDamagedOrNewerIsBroken) {
  Project project;
  project.pipeline("test: {script: [seq 3000]}");
  EXPECT_EQ(project.exec().code, 0);
  const std::string file = "'" + project.database().string() + "'";
  sh("sqlite3 " + file + " 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null; cp " + file + " " + file + ".good");
  sh("sqlite3 " + file + " 'PRAGMA user_version=999'");
  const Result newer = project.exec();
  EXPECT_EQ(newer.code, 3) << newer;
  EXPECT_THAT(newer.err, HasSubstr("newer"));
  sh("cp " + file + ".good " + file + "; rm -f " + file + "-wal " + file +
     "-shm; printf 'garbage garbage garbage' | dd of=" + file +
     " bs=1 seek=4096 conv=notrunc status=none; head -c 9000 /dev/urandom | dd of=" + file +
     " bs=1 seek=5000 conv=notrunc status=none");
  const Result damaged = project.exec();
  EXPECT_EQ(damaged.code, 3) << damaged;
  EXPECT_THAT(damaged.err, testing::ContainsRegex("malformed|damaged|corrupt"));
}

TEST(BadInputDatabase, ThatIsNoneIsBrokenAndLeftAsItIs) {
  Project project;
  project.pipeline("test: {script: echo x}").file("note.txt", "this is no database, but a note\n");
  const Result result = project.exec({"--database", (project / "note.txt").string()});
  EXPECT_EQ(result.code, 3) << result;
  EXPECT_THAT(result.err, HasSubstr("note.txt"));
  EXPECT_EQ(project.read("note.txt"), "this is no database, but a note\n");
}

}  // namespace
}  // namespace e2e
