// The job's script under real shells: what GitLab's users rely on.
#include <gtest/gtest.h>

#include "tests/executors/sandbox.h"

namespace executors {
namespace {

class ScriptText : public testing::TestWithParam<std::string> {
 protected:
  struct Ran {
    std::string output;
    int code = -1;
  };
  Ran run(const Work& work, bool after = false) {
    const auto project = directory_ / "project";
    std::filesystem::create_directories(project);
    write_file(directory_ / "script",
               after ? after_script_text(work, project.string()) : script_text(work, project.string()));
    const std::string path = GetParam() == "bash" ? "bash" : "sh";
    const auto output = directory_ / "output";
    Ran ran;
    ran.code = run_program({"/bin/dash", "-c", "PATH=$1; export PATH; exec $2 $3 </dev/null >$4 2>&1", "x",
                            path_.string(), path, (directory_ / "script").string(), output.string()});
    ran.output = read_file(output);
    return ran;
  }
  Ran run(std::vector<std::string> script) {
    Work work;
    work.script = std::move(script);
    return run(work);
  }

  TemporaryDirectory directory_;
  std::filesystem::path path_ = path_with(GetParam(), directory_ / "bin");
};

TEST_P(ScriptText, EachItemIsPrecededByItsLine) {
  const auto ran = run({"echo one", "echo 'it''s'  \"$((1+1))\"", "echo a\necho b\n", "  ", "echo three\n"});
  EXPECT_EQ(ran.output,
            "$ echo one\none\n$ echo 'it''s'  \"$((1+1))\"\nits 2\n"
            "$ echo a # collapsed multi-line command\na\nb\n$ echo three\nthree\n");
  EXPECT_EQ(ran.code, 0);
}

TEST_P(ScriptText, OneShellForAllItems) {
  const auto ran = run({"x=1; export y=2", "mkdir sub; cd sub", "f() { echo \"f $x $y\"; }", "f; pwd"});
  EXPECT_NE(ran.output.find("f 1 2\n" + (directory_ / "project").string() + "/sub\n"), std::string::npos) << ran.output;
}

TEST_P(ScriptText, StopsAtTheFirstFailure) {
  const auto ran = run({"echo a", "(exit 7)", "echo never"});
  EXPECT_EQ(ran.code, 7);
  EXPECT_EQ(ran.output, "$ echo a\na\n$ (exit 7)\n");
  EXPECT_EQ(run({"cat <<X >/dev/null\nx\nX\n(exit 9)\necho never"}).code, 9);  // the eval form as well
}

TEST_P(ScriptText, ErrexitKnowsItsExceptions) {
  const auto ran = run({"false || true", "false && true", "if false; then echo no; fi", "! true", "echo end"});
  EXPECT_EQ(ran.code, 0);
  EXPECT_NE(ran.output.find("\nend\n"), std::string::npos);
  EXPECT_EQ(run({"false && true"}).code, 1);  // the last status is the job's, as in GitLab
}

TEST_P(ScriptText, ExitZeroInTheMiddleEndsWell) {
  const auto ran = run({"echo a", "exit 0", "echo never"});
  EXPECT_EQ(ran.code, 0);
  EXPECT_EQ(ran.output.find("never"), std::string::npos);
}

TEST_P(ScriptText, AnIfMaySpanItems) {
  const auto ran = run({"for i in 1 2; do", "echo $i", "done", "echo end"});
  EXPECT_EQ(ran.code, 0);
  EXPECT_EQ(ran.output, "$ for i in 1 2; do\n$ echo $i\n1\n$ done\n$ echo $i\n2\n$ done\n$ echo end\nend\n");
}

TEST_P(ScriptText, AnOpenQuoteFailsInItsOwnItem) {
  for (const char* item : {"echo 'open", "echo \"open", "echo `open"}) {
    const auto ran = run({"echo before", item, "echo after"});
    EXPECT_NE(ran.code, 0) << item;
    EXPECT_NE(ran.output.find(std::string("$ ") + item + "\n"), std::string::npos) << ran.output;
    EXPECT_EQ(ran.output.find("$ echo after"), std::string::npos) << ran.output;
  }
}

TEST_P(ScriptText, HereDocumentsAndTrailingBackslashesStayInTheirItem) {
  auto ran = run({"cat <<EOF\nx $((1<<2))\nEOF", "echo after"});
  EXPECT_NE(ran.output.find("x 4\n$ echo after\nafter\n"), std::string::npos) << ran.output;
  ran = run({"cat <<EOF\nopen", "echo after"});
  EXPECT_NE(ran.output.find("open\n$ echo after\nafter\n"), std::string::npos) << ran.output;
  ran = run({"echo a \\", "echo b"});
  EXPECT_NE(ran.output.find("$ echo b\nb\n"), std::string::npos) << ran.output;
  ran = run({"echo c # don't", "echo d"});
  EXPECT_NE(ran.output.find("$ echo d\nd\n"), std::string::npos) << ran.output;
}

TEST_P(ScriptText, TheEnvironmentIsLiteral) {
  Work work;
  work.environment = {{"A", "it's $HOME `x` \"q\" \\ \n2nd"},
                      {"not-a-name", "x"},
                      {"", "x"},
                      {"1a", "x"},
                      {"UID", "5"},
                      {"PPID", "5"},
                      {"É", "x"},
                      {"EMPTY", ""},
                      {"T", "tab\tend"}};
  work.script = {"env | grep -A1 '^A='", "echo \"[$EMPTY]\" \"$T\""};
  const auto ran = run(work);
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_NE(ran.output.find("A=it's $HOME `x` \"q\" \\ \n2nd\n"), std::string::npos) << ran.output;
  EXPECT_NE(ran.output.find("[] tab\tend\n"), std::string::npos) << ran.output;
  EXPECT_EQ(ran.output.find("$ env"), 0U) << ran.output;  // nothing was said about the bad names
}

TEST_P(ScriptText, NoProjectDirectoryFails) {
  Work work;
  work.script = {"echo never"};
  write_file(directory_ / "script", script_text(work, "/does/not/exist"));
  EXPECT_NE(run_program({"/bin/dash", "-c", "exec $1/sh $2 >$3 2>&1", "x", path_.string(),
                         (directory_ / "script").string(), (directory_ / "output").string()}),
            0);
  const auto output = read_file(directory_ / "output");
  EXPECT_NE(output.find("/does/not/exist"), std::string::npos);
  EXPECT_EQ(output.find("never"), std::string::npos);
}

TEST_P(ScriptText, NoclobberIsOff) { EXPECT_EQ(run({"echo 1 >x", "echo 2 >x"}).code, 0); }

TEST_P(ScriptText, TraceShowsCommandsButNotTheEnvironment) {
  Work work;
  work.environment = {{"SECRET", "hunter22"}};
  work.debug_trace = true;
  work.script = {"echo a"};
  const auto ran = run(work);
  EXPECT_NE(ran.output.find("+ echo a\na\n"), std::string::npos) << ran.output;
  EXPECT_EQ(ran.output.find("hunter22"), std::string::npos);
}

TEST_P(ScriptText, ScriptSectionsShowAnItemOfSeveralLinesWhole) {
  Work work;
  work.script_sections = true;
  work.script = {"echo one", "echo a\necho 'b c'\n"};
  std::string output = run(work).output;
  for (const std::string edge : {"section_start:", "section_end:"}) {
    const std::size_t time = output.find(edge) + edge.size();
    const std::size_t digits = output.find_first_not_of("0123456789", time) - time;
    EXPECT_GE(digits, 1U);  // 0 where the image has no `date`
    output.replace(time, digits, "T");
  }
  EXPECT_EQ(output,
            "$ echo one\none\n"
            "section_start:T:section_script_step_1[hide_duration=true,collapsed=true]\r\x1b[0K$ echo a\necho 'b c'\n"
            "section_end:T:section_script_step_1\r\x1b[0K\na\nb c\n");
}

TEST_P(ScriptText, ExitCodesAreCheckedWhereErrexitIsOff) {
  Work work;
  work.script = {"set +e", "(exit 6)", "echo went on"};
  EXPECT_EQ(run(work).code, 0);
  work.check_exit_codes = true;
  const Ran ran = run(work);
  EXPECT_EQ(ran.code, 6);
  EXPECT_EQ(ran.output.find("\nwent on"), std::string::npos) << ran.output;
}

TEST_P(ScriptText, AfterScriptTakesItsStatusFromWhoRunsIt) {
  Work work;
  work.environment = {{"CI_JOB_STATUS", "running"}};
  work.script = {"echo $CI_JOB_STATUS"};
  work.after_script = {"echo \"<$CI_JOB_STATUS>\"", "false", "echo never"};
  EXPECT_NE(run(work).output.find("\nrunning\n"), std::string::npos);
  ::setenv("CI_JOB_STATUS", "failed", 1);
  const auto ran = run(work, true);
  ::unsetenv("CI_JOB_STATUS");
  EXPECT_NE(ran.output.find("\n<failed>\n"), std::string::npos) << ran.output;
  EXPECT_EQ(ran.output.find("\nnever"), std::string::npos);
}

TEST(ShellScriptText, HasTheVariablesAndStandsInTheProject) {
  Work work;
  work.environment = {{"GREETING", "it's"}, {"CI_JOB_STATUS", "running"}};
  work.files = {{"PAPER", "written"}};
  const std::string text = shell_script_text(work, "/builds/a b");
  EXPECT_NE(text.find("export GREETING='it'\\''s'\n"), std::string::npos) << text;
  EXPECT_NE(text.find("export PAPER=\"${0%/*}/file.PAPER\"\n"), std::string::npos) << text;
  EXPECT_NE(text.find("export CI_JOB_STATUS=failed\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("running"), std::string::npos) << text;
  EXPECT_NE(text.find("\ncd '/builds/a b'\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("errexit"), std::string::npos) << text;
}

TEST(ShellWord, IsQuotedWhereItMustBe) {
  EXPECT_EQ(shell_word("/a/b-c.d:1"), "/a/b-c.d:1");
  EXPECT_EQ(shell_word("a b"), "'a b'");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_word(""), "''");
}

INSTANTIATE_TEST_SUITE_P(Shells, ScriptText, testing::Values("bash", "dash", "busybox"),
                         [](const auto& shell) { return shell.param; });

}  // namespace
}  // namespace executors
