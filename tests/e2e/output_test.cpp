// When nobody listens, and when what is said cannot be written: the outcome and the exit code stay true, and nothing of
// ours is left.
#include <gmock/gmock.h>

#include <fstream>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

using testing::HasSubstr;
using testing::Not;

// `runner WORDS` by a shell, with its streams where `redirection` puts them.
Ended by_shell(Project& project, const std::string& words, const std::string& redirection) {
  Options options;
  options.before = {"sh", "-c", "exec \"$0\" " + words + " " + redirection};
  return project.run({}, options);
}

constexpr const char* long_job = "a: {script: ['for i in $(seq 1 300); do echo $i; sleep 0.1; done']}";

TEST(Output, AFullStderrChangesNoExitCode) {
  Project project;
  project.pipeline("a: {script: 'true'}");
  EXPECT_EQ(by_shell(project, "nosuch", "2>/dev/full").code, 2);
  EXPECT_EQ(by_shell(project, "logs 99", "2>/dev/full").code, 2);
  EXPECT_EQ(by_shell(project, "nosuch", "2>&-").code, 2);
  EXPECT_EQ(by_shell(project, "exec --executor shell", "2>/dev/full").code, 0);
}

TEST(Output, CtrlCWithAFullStderrIsStillOrderly) {
  Project project;
  project.pipeline(long_job);
  Options options;
  options.before = {"sh", "-c", "exec \"$0\" \"$@\" 2>/dev/full"};
  const auto running = project.start({"exec", "--executor", "shell"}, options);
  ASSERT_TRUE(running->wait_for("3"));
  running->signal(SIGINT);
  EXPECT_EQ(running->wait().code, 130);
  EXPECT_EQ(project.runs().at(0).at("outcome"), "cancelled");
}

TEST(Output, ATerminalThatIsClosedCancels) {
  Project project;
  project.pipeline(long_job);
  project.file("close.py", R"(
import os, pty, signal, sys, time
child, master = pty.fork()
if child == 0:
    os.execv(sys.argv[1], sys.argv[1:])
seen = b""
while b"3" not in seen:
    seen += os.read(master, 65536)
os.close(master)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status) if os.waitstatus_to_exitcode(status) >= 0 else 99)
)");
  Options options;
  options.before = {"python3", "close.py"};
  EXPECT_EQ(project.run({"exec", "--executor", "shell"}, options).code, 130);
  EXPECT_EQ(project.runs().at(0).at("outcome"), "cancelled");
}

TEST(Output, ThatCannotBeWrittenIsAFailure) {
  Project project;
  project.pipeline("a: {script: echo hi}");
  for (const char* words : {"plan --output json", "plan", "lint --format json", "preview", "runs", "schema",
                            "completion bash", "exec --executor shell --output json"}) {
    const Ended ended = by_shell(project, words, ">/dev/full");
    EXPECT_EQ(ended.code, 3) << words;
    EXPECT_THAT(ended.err, HasSubstr("disk full")) << words;
  }
}

TEST(Output, AReaderThatHasSeenEnoughIsNoFailure) {
  Project project;
  project.pipeline("a: {script: echo hi}");
  Options options;
  options.before = {"bash", "-c", "\"$0\" \"$@\" | true; exit ${PIPESTATUS[0]}"};
  const Ended ended = project.run({"schema"}, options);
  EXPECT_THAT(ended.err, Not(HasSubstr("disk full")));
}

TEST(WrongWords, AreTwoAndSaidBeforeAnythingRuns) {
  Project project;
  project.pipeline("a: {script: 'true'}").file("file", "").commit();
  const std::vector<std::pair<Arguments, std::string>> cases = {
      {{"--ref", "nosuch"}, "there is no commit nosuch"},
      {{"--env-file", "."}, "--env-file .: is a directory"},
      {{"--secret", "X=@."}, "--secret X=@.: is a directory"},
      {{"--artifacts", "file"}, "--artifacts file: is no directory"},
      {{"--artifacts", "file/below"}, "--artifacts file/below"},
      {{"--parallel", "0"}, "--parallel"},
  };
  for (const auto& [words, message] : cases) {
    Arguments all = {"exec", "--executor", "shell"};
    all.insert(all.end(), words.begin(), words.end());
    const Result result = project.run(all);
    EXPECT_EQ(result.code, 2) << result;
    EXPECT_THAT(result.err, HasSubstr(message));
    EXPECT_THAT(result.err, Not(HasSubstr("unknown error")));
  }
  EXPECT_TRUE(project.runs().empty());
}

TEST(File, MayBeAPipe) {
  Project project;
  Options options;
  options.before = {"bash", "-c", "exec \"$0\" \"$@\" <(echo 'a: {script: echo from a pipe}')"};
  EXPECT_THAT(project.run({"exec", "--executor", "shell"}, options).out, HasSubstr("from a pipe"));
  EXPECT_EQ(project.run({"lint"}, options).code, 0);
  const Result empty = project.run({"lint", "/dev/null"});
  EXPECT_EQ(empty.code, 2);
  EXPECT_THAT(empty.err, HasSubstr("/dev/null:1:1:"));
}

TEST(Ref, TakesThePipelineOfThatCommitToo) {
  Project project;
  project.pipeline("a: {script: echo as committed}").commit();
  project.pipeline("a: {script: echo as edited}");
  EXPECT_EQ(project.exec({"--ref", "HEAD"}).printed("a"), "as committed\n");
  EXPECT_EQ(project.exec().printed("a"), "as edited\n");
  project.file("other.yml", "b: {script: echo b}");
  const Result missing = project.run({"exec", "other.yml", "--ref", "HEAD"});
  EXPECT_EQ(missing.code, 2);
  EXPECT_THAT(missing.err, HasSubstr("other.yml: there is no such file in HEAD"));
}

TEST(Image, ThatIsEmptyIsTheDefaultOne) {
  Project project;
  project.pipeline("a: {image: $NOTHING, script: echo $CI_JOB_IMAGE}");
  EXPECT_EQ(project.docker({"--image", "busybox"}).printed("a"), "busybox\n");
  const Result none = project.docker();
  EXPECT_EQ(none.code, 3) << none;
  EXPECT_THAT(none.message("a"), HasSubstr("its image is empty"));
}

TEST(Image, WhoseEntrypointRunsNothingIsSaidInOneLine) {
  Project project;
  project.pipeline("a: {image: {name: busybox, entrypoint: [/bin/echo]}, script: echo hi}");
  const Result result = project.docker();
  EXPECT_EQ(result.outcome("a"), "failed");
  EXPECT_THAT(result.message("a"), HasSubstr("set image:entrypoint: [\"\"]"));
  EXPECT_THAT(result.message("a"), Not(HasSubstr("kill -s")));
  EXPECT_LE(result.warnings("a").size(), 1U) << result;
}

}  // namespace
}  // namespace e2e
