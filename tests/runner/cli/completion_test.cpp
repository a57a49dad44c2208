#include "runner/cli/completion.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>

namespace runner {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

// A program like ours, small.
class Completion : public testing::Test {
 protected:
  Completion() : app_("Runs things.", "runner"), directory_(::mkdtemp(name_)) {
    app_.add_option("--config", text_, "the configuration file");
    CLI::App* exec = app_.add_subcommand("exec", "Runs a pipeline.\n\nExamples:\n  it's here");
    exec->add_option("words", words_, "file, then jobs")->type_name("[FILE] [JOB...]");
    exec->add_option("--output,-o", text_, "pretty (on a terminal), plain or json (one object a line)")
        ->type_name("KIND");
    exec->add_option("--artifacts", text_, "where to")->type_name("DIR");
    exec->add_flag("--needs", flag_, "with [JOB]: what it needs");
    CLI::App* logs = app_.add_subcommand("logs", "Prints a log.");
    logs->add_option("words", words_, "run, job")->type_name("[RUN] [JOB]");
    CLI::App* completion = app_.add_subcommand("completion", "Prints a script.");
    completion->add_option("shell", text_, "bash, zsh or fish")->type_name("SHELL");
    app_.add_subcommand("__jobs", "not for people");
  }
  ~Completion() override { std::filesystem::remove_all(directory_); }

  // What bash offers at the end of `line`, in a directory with a few files; `runner __jobs` is played by a function.
  std::vector<std::string> offered(const std::string& line) {
    std::ofstream(directory_ / "completion") << completion_script(app_, "bash");
    std::ofstream(directory_ / "pipeline.yml");
    std::ofstream(directory_ / "other.yaml");
    std::ofstream(directory_ / "notes.txt");
    std::filesystem::create_directory(directory_ / "dist");
    std::ofstream(directory_ / "try") << "cd \"$(dirname \"$0\")\"\n"
                                         "runner() { if [[ $2 == other.yaml ]]; then echo second; else "
                                         "printf 'build\\nbuild:linux\\nit is\\n'; fi; }\n"
                                         "source ./completion || exit 1\n"
                                         "COMP_LINE=$1 COMP_POINT=${#1}\n"
                                         "_runner\n"
                                         "printf '%s\\n' \"${COMPREPLY[@]}\"\n";
    const std::string command = "bash " + (directory_ / "try").string() + " '" + line + "' 2>&1";
    std::vector<std::string> lines;
    FILE* pipe = ::popen(command.c_str(), "r");
    if (!pipe) return {"popen failed"};
    std::array<char, 1000> buffer{};
    while (std::fgets(buffer.data(), static_cast<int>(buffer.size()), pipe)) {
      std::string text = buffer.data();
      if (text.ends_with('\n')) text.pop_back();
      if (!text.empty()) lines.push_back(text);
    }
    EXPECT_EQ(::pclose(pipe), 0);
    return lines;
  }

  CLI::App app_;
  std::string text_;
  std::vector<std::string> words_;
  bool flag_ = false;
  char name_[40] = "/tmp/completion_test.XXXXXX";
  std::filesystem::path directory_;
};

TEST_F(Completion, BashOffersCommands) {
  EXPECT_THAT(offered("runner "), ElementsAre("exec", "logs", "completion"));
  EXPECT_THAT(offered("runner ex"), ElementsAre("exec"));
  EXPECT_THAT(offered("runner __"), IsEmpty());
}

TEST_F(Completion, BashOffersOptionsAndTheirValues) {
  EXPECT_THAT(offered("runner exec --"),
              UnorderedElementsAre("--output", "--artifacts", "--needs", "--help", "--config"));
  EXPECT_THAT(offered("runner exec --output "), ElementsAre("pretty", "plain", "json"));
  EXPECT_THAT(offered("runner exec -o p"), ElementsAre("pretty", "plain"));
  EXPECT_THAT(offered("runner exec --output=j"), ElementsAre("json"));
  EXPECT_THAT(offered("runner exec --artifacts "), ElementsAre("dist"));
  EXPECT_THAT(offered("runner --config not"), ElementsAre("notes.txt"));
  EXPECT_THAT(offered("runner exec --config not"), ElementsAre("notes.txt"));
  EXPECT_THAT(offered("runner completion "), ElementsAre("bash", "zsh", "fish"));
}

TEST_F(Completion, BashOffersTheJobsOfTheFile) {
  EXPECT_THAT(offered("runner exec b"), ElementsAre("build", "build:linux"));
  EXPECT_THAT(offered("runner exec "),
              UnorderedElementsAre("build", "build:linux", "it\\ is", "pipeline.yml", "other.yaml", "dist"));
  EXPECT_THAT(offered("runner exec other.yaml s"), ElementsAre("second"));
  EXPECT_THAT(offered("runner exec build:l"), ElementsAre("linux"));
  EXPECT_THAT(offered("runner logs 3 b"), ElementsAre("build", "build:linux"));
}

TEST_F(Completion, TheOtherShellsNameEverything) {
  for (const char* shell : {"zsh", "fish"}) {
    const std::string script = completion_script(app_, shell);
    EXPECT_THAT(script, HasSubstr("exec"));
    EXPECT_THAT(script, HasSubstr("pretty plain json"));
    EXPECT_THAT(script, HasSubstr("artifacts"));
    EXPECT_THAT(script, HasSubstr("runner __jobs"));
    EXPECT_THAT(script, Not(HasSubstr("not for people")));
  }
  EXPECT_EQ(completion_script(app_, "tcsh"), "");
}

TEST(ChoicesOf, ReadsTheWordsAHelpTextBeginsWith) {
  EXPECT_THAT(choices_of("docker or shell"), ElementsAre("docker", "shell"));
  EXPECT_THAT(choices_of("always, missing or never; stronger than the file"),
              ElementsAre("always", "missing", "never"));
  EXPECT_THAT(choices_of("pretty (on a terminal), plain or json (one object a line)"),
              ElementsAre("pretty", "plain", "json"));
  EXPECT_THAT(choices_of("bridge or none, for jobs that say nothing"), ElementsAre("bridge", "none"));
  EXPECT_THAT(choices_of("the folder or file"), IsEmpty());
  EXPECT_THAT(choices_of("run this or that commit"), IsEmpty());
  EXPECT_THAT(choices_of(""), IsEmpty());
}

}  // namespace
}  // namespace runner
