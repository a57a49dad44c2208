// Where a job's sources come from, what may run before them, and what variables say of both.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// A project with a submodule `lib` that has one itself, `lib/inner`; all checked out.
class WithSubmodules : public ::testing::Test {
 protected:
  WithSubmodules() {
    inner.file("inner.c", "1").commit();
    lib.file("lib.c", "1").commit();
    lib.git("-c protocol.file.allow=always submodule add -q " + inner.path().string() + " inner");
    lib.commit("inner");
    project.file("tracked", "x").commit();
    project.git("-c protocol.file.allow=always submodule add -q " + lib.path().string() + " lib");
    project.commit("lib");
    project.git("-c protocol.file.allow=always submodule update -q --init --recursive");
  }

  Project inner, lib, project;
};

constexpr const char* strategies = R"(
.list: {script: 'cd lib; echo *; echo inner/*'}
unsaid: {extends: .list}
none: {extends: .list, variables: {GIT_SUBMODULE_STRATEGY: none}}
normal: {extends: .list, variables: {GIT_SUBMODULE_STRATEGY: normal}}
recursive: {extends: .list, variables: {GIT_SUBMODULE_STRATEGY: recursive}}
paths: {extends: .list, variables: {GIT_SUBMODULE_STRATEGY: recursive, GIT_SUBMODULE_PATHS: ':(exclude)lib'}}
)";

TEST_F(WithSubmodules, GitSubmoduleStrategySaysWhichFilesThereAre) {
  project.pipeline(strategies).commit();
  for (const bool commit : {false, true}) {
    const Result result = commit ? project.exec({"--ref", "HEAD"}) : project.exec();
    EXPECT_EQ(result.code, 0) << result;
    EXPECT_EQ(result.printed("unsaid"), "*\ninner/*\n");
    EXPECT_EQ(result.printed("none"), "*\ninner/*\n");
    EXPECT_EQ(result.printed("normal"), "inner lib.c\ninner/*\n");
    EXPECT_EQ(result.printed("recursive"), "inner lib.c\ninner/inner.c\n");
    EXPECT_EQ(result.printed("paths"), "*\ninner/*\n");
  }
}

TEST_F(WithSubmodules, AreTheSameInDocker) {
  project.pipeline(R"(
default: {image: busybox}
variables: {RUNNER_NETWORK: none}
none: {script: 'echo lib/*'}
recursive: {variables: {GIT_SUBMODULE_STRATEGY: recursive}, script: 'echo lib/* lib/inner/*; cat lib/.git'}
)");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("none"), "lib/*\n");
  EXPECT_EQ(result.printed("recursive"), "lib/inner lib/lib.c lib/inner/inner.c\ngitdir: ../.git/modules/lib\n");
}

TEST_F(WithSubmodules, OneThatIsNotHereIsOneWarningThatSaysWhatMendsIt) {
  project.git("submodule deinit -q -f lib");
  std::filesystem::remove_all(project / ".git/modules");
  project.pipeline("a: {variables: {GIT_SUBMODULE_STRATEGY: normal}, script: ls lib}\nb: {script: ls lib}\n");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.warnings("a"), Contains(HasSubstr("`git submodule update --init lib` gets it")));
  EXPECT_TRUE(result.warnings("b").empty());
}

TEST(Sources, AnUnknownSubmoduleStrategyFailsTheJob) {
  Project project;
  project.pipeline("a: {variables: {GIT_SUBMODULE_STRATEGY: all}, script: echo never}\n");
  const Result result = project.exec();
  EXPECT_EQ(result.outcome("a"), "broken") << result;
  EXPECT_EQ(result.reason("a"), "runner_system_failure");
  EXPECT_EQ(result.message("a"), "GIT_SUBMODULE_STRATEGY is none, normal or recursive, not all");
}

TEST(Sources, GitDepthIsThatOfAShallowClone) {
  Project project;
  for (int i = 0; i < 4; ++i) project.file("tracked", std::to_string(i)).commit();
  project.pipeline(R"(
whole: {script: git rev-list --count HEAD}
shallow: {variables: {GIT_DEPTH: 2}, script: [git rev-list --count HEAD, 'git log --oneline | wc -l', cat tracked]}
)");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("whole"), "4\n");
  EXPECT_EQ(result.printed("shallow"), "2\n2\n3\n");
}

TEST(Sources, GitCheckoutFalseLeavesOnlyTheRepository) {
  Project project;
  project.file("tracked", "x\n").commit();
  project.pipeline(
      "a: {variables: {GIT_CHECKOUT: 'false'}, script: [ls, 'git checkout -q -f $CI_COMMIT_SHA', cat tracked]}\n");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("a"), "x\n");
}

TEST(Sources, GitClonePathIsWhereTheProjectLies) {
  Project project;
  project.file("tracked", "x\n");
  project.pipeline(R"(
default: {image: busybox}
variables: {RUNNER_NETWORK: none}
there:
  variables: {GIT_CLONE_PATH: '$CI_BUILDS_DIR/go/src/$CI_JOB_NAME'}
  script: ['[ "$PWD" = "$CI_BUILDS_DIR/go/src/there" ] && [ "$PWD" = "$CI_PROJECT_DIR" ]', cat tracked, echo made >made]
  artifacts: {paths: [made]}
outside: {variables: {GIT_CLONE_PATH: /tmp/x}, script: echo never, allow_failure: true}
after: {stage: deploy, script: cat made}
)");
  for (const bool docker : {false, true}) {
    const Result result = docker ? project.docker() : project.exec();
    EXPECT_EQ(result.code, 0) << result;
    EXPECT_EQ(result.printed("there"), "x\n");
    EXPECT_EQ(result.printed("after"), "made\n");
    EXPECT_EQ(result.outcome("outside"), "broken");
    EXPECT_THAT(result.message("outside"), StartsWith("GIT_CLONE_PATH is /tmp/x, which is not below CI_BUILDS_DIR, "));
  }
}

TEST(Sources, FilesOfGitLfsAreTakenFromTheClone) {
  Project project;
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\n"
      "oid sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881\nsize 1\n";  // of "x"
  project.file(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n").file("big.bin", pointer);
  project.pipeline(R"(
files: {script: cat big.bin}
pointers: {variables: {GIT_LFS_SKIP_SMUDGE: 1}, script: head -n 1 big.bin}
)");
  project.commit();
  const Result missing = project.exec({"--ref", "HEAD"});
  EXPECT_EQ(missing.code, 0) << missing;
  EXPECT_THAT(missing.warnings("files"), Contains(HasSubstr("`git lfs fetch --all` gets them")));
  EXPECT_TRUE(missing.warnings("pointers").empty());

  const std::string oid = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
  const auto object = project / (".git/lfs/objects/2d/71/" + oid);
  std::filesystem::create_directories(object.parent_path());
  std::ofstream(object) << "x";
  const Result there = project.exec({"--ref", "HEAD"});
  EXPECT_EQ(there.code, 0) << there;
  EXPECT_EQ(there.printed("files"), "x\n");
  EXPECT_EQ(there.printed("pointers"), "version https://git-lfs.github.com/spec/v1\n");
}

TEST(Sources, ARunThatIsTakenUpFindsAllOfItsSnapshots) {
  Project project;
  for (int i = 0; i < 3; ++i) project.file("tracked", std::to_string(i)).commit();
  project.pipeline(R"(
slow: {script: [echo begun, sleep 3]}
later: {stage: deploy, variables: {GIT_DEPTH: 1}, script: git rev-list --count HEAD}
)");
  auto run = project.start_exec();
  ASSERT_TRUE(run->wait_for("\"text\":\"begun\""));
  run->signal(SIGKILL);
  run->wait();
  project.file("tracked", "changed");
  const Result result = read_result(project.run({"resume", "--output", "json"}));
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("later"), "1\n");
}

// --- hooks ---------------------------------------------------------------------------------------------------------

TEST(Hooks, PreGetSourcesScriptRunsBeforeTheScript) {
  Project project;
  project.pipeline(R"(
default:
  image: busybox
  hooks: {pre_get_sources_script: [export X=1, 'echo "hook of $CI_JOB_NAME"']}
variables: {RUNNER_NETWORK: none}
own: {hooks: {pre_get_sources_script: echo own}, script: 'echo "x is ${X-unset}"'}
inherited: {script: echo script}
nothing: {variables: {GIT_STRATEGY: none}, script: echo script}
)");
  for (const bool docker : {false, true}) {
    const Result result = docker ? project.docker() : project.exec();
    EXPECT_EQ(result.code, 0) << result;
    EXPECT_EQ(result.printed("own"), "own\nx is unset\n");
    EXPECT_EQ(result.printed("inherited"), "hook of inherited\nscript\n");
    EXPECT_EQ(result.printed("nothing"), "script\n") << "there are no sources to get";
  }
  const std::string stored = project.logs({"own"});
  const std::size_t hook = stored.find(":get_sources\r");
  const std::size_t script = stored.find(":step_script\r");
  EXPECT_NE(hook, std::string::npos) << stored;
  EXPECT_LT(hook, script);
}

TEST(Hooks, OneThatFailsFailsTheJobWithItsCode) {
  Project project;
  project.pipeline(R"(
default: {image: busybox}
variables: {RUNNER_NETWORK: none, GET_SOURCES_ATTEMPTS: 2}
a:
  hooks: {pre_get_sources_script: [exit 7]}
  script: echo never
  after_script: [echo never]
  allow_failure: {exit_codes: 7}
)");
  for (const bool docker : {false, true}) {
    const Result result = docker ? project.docker() : project.exec();
    EXPECT_EQ(result.code, 0) << result;
    EXPECT_EQ(result.outcome("a"), "failed");
    EXPECT_EQ(result.exit_code("a"), 7);
    EXPECT_EQ(result.message("a"), "hooks:pre_get_sources_script: exit code 7");
    EXPECT_THAT(result.log("a"), AllOf(HasSubstr("attempt 2 of 2"), Not(HasSubstr("echo never"))));
  }
}

TEST(Hooks, WorkWhereTheEngineIsElsewhere) {
  Project project;
  project.configuration("[docker]\nworkspace = \"archive\"\n");
  project.pipeline(R"(
default: {image: busybox}
variables: {RUNNER_NETWORK: none}
good: {hooks: {pre_get_sources_script: [echo hook]}, script: 'echo script; echo x >$RUNNER_TEMP_PROJECT_DIR/y'}
bad: {hooks: {pre_get_sources_script: [exit 7]}, script: echo never, allow_failure: true}
)");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("good"), "hook\nscript\n");
  EXPECT_EQ(result.exit_code("bad"), 7);
  EXPECT_THAT(result.log("bad"), Not(HasSubstr("never")));
}

// --- attempts ------------------------------------------------------------------------------------------------------

TEST(Attempts, ThatAreNoNumbersFromOneToTenAreWarnings) {
  Project project;
  project.pipeline("a: {variables: {GET_SOURCES_ATTEMPTS: 11, RESTORE_CACHE_ATTEMPTS: x}, script: echo}\n");
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.warnings("a"), AllOf(Contains("GET_SOURCES_ATTEMPTS is from 1 to 10, not 11; 10 is taken"),
                                          Contains("RESTORE_CACHE_ATTEMPTS is a number from 1 to 10, not x; 1 is "
                                                   "taken")));
}

// --- variables -----------------------------------------------------------------------------------------------------

TEST(RunnerVariables, AreThoseOfGitLabsRunner) {
  Project project;
  project.pipeline(R"(
default: {image: busybox}
variables: {RUNNER_NETWORK: none, FF_SCRIPT_SECTIONS: 1}
a:
  script:
    - echo "$FF_TIMESTAMPS $FF_NETWORK_PER_BUILD $FF_SCRIPT_SECTIONS"
    - echo "${#CI_RUNNER_SHORT_TOKEN}"
    - echo kept >$RUNNER_TEMP_PROJECT_DIR/x; cat $RUNNER_TEMP_PROJECT_DIR/x; ls
    - |
      echo several
      echo lines
)");
  for (const bool docker : {false, true}) {
    const Result result = docker ? project.docker() : project.exec();
    EXPECT_EQ(result.code, 0) << result;
    EXPECT_THAT(result.printed("a"), HasSubstr("true false true\n8\nkept\npipeline.yml\n"));
    EXPECT_THAT(result.log("a"), HasSubstr("several\nlines\n"));
    EXPECT_THAT(project.logs({"a"}), HasSubstr("section_script_step_3[hide_duration=true,collapsed=true]"));
  }
}

TEST(RunnerVariables, AfterScriptIgnoreErrors) {
  Project project;
  project.pipeline(R"(
counts: {variables: {AFTER_SCRIPT_IGNORE_ERRORS: 'false'}, script: echo, after_script: [exit 5], allow_failure: true}
ignored: {script: echo, after_script: [exit 5]}
)");
  const Result result = project.exec();
  EXPECT_EQ(result.outcome("counts"), "failed") << result;
  EXPECT_EQ(result.exit_code("counts"), 5);
  EXPECT_EQ(result.outcome("ignored"), "passed");
}

TEST(RunnerVariables, TriggerPayloadIsAFile) {
  Project project;
  project.file("payload.json", R"({"a": "$CI"})");
  project.pipeline("a: {rules: [{if: $TRIGGER_PAYLOAD}], script: cat $TRIGGER_PAYLOAD}\nb: {script: echo}\n");
  const Result result = project.exec({"--event", "trigger", "--trigger-payload", "@payload.json"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.printed("a"), "{\"a\": \"$CI\"}\n");
  EXPECT_FALSE(project.exec().finished_at_all("a"));
  const Result usage = project.exec({"--trigger-payload", "x"});
  EXPECT_EQ(usage.code, 2);
  EXPECT_THAT(usage.err, HasSubstr("hint: add --event trigger"));
}

TEST(RunnerVariables, CiDebugServicesShowsWhatServicesPrint) {
  Project project;
  project.pipeline(R"(
.job:
  image: busybox
  services: [{name: busybox, alias: talker, command: [sh, -c, 'echo a word; sleep 60']}]
  script: sleep 2
shown: {extends: .job, variables: {CI_DEBUG_SERVICES: 'true'}}
silent: {extends: .job}
)");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.log("shown"), HasSubstr("[service:busybox-talker] a word\n"));
  EXPECT_THAT(result.log("silent"), Not(HasSubstr("a word")));
}

TEST(ImageDocker, UserIsThatOfTheJobAndOfTheService) {
  Project project;
  project.pipeline(R"(
variables: {WHO: '1234'}
job:
  image: {name: busybox, docker: {user: '$WHO:1235'}}
  services: [{name: busybox, alias: service, docker: {user: $WHO}, command: [sh, -c, 'id -u; sleep 60']}]
  variables: {CI_DEBUG_SERVICES: 'true'}
  script: ['echo as $(id -u):$(id -g)', sleep 2]
)");
  const Result result = project.docker();
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_THAT(result.log("job"), AllOf(HasSubstr("\nas 1234:1235\n"), HasSubstr("[service:busybox-service] 1234\n")));
}

}  // namespace
}  // namespace e2e
