#include "runner/run/console.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

namespace runner {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using nlohmann::json;
using pipelines::Outcome;
using pipelines::Verdict;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const Clock::time_point noon{std::chrono::milliseconds(1'700'000'000'123)};

// A file the console writes to.
class OutFile {
 public:
  OutFile() : fd_(::mkstemp(path_)) {}
  ~OutFile() {
    ::close(fd_);
    ::unlink(path_);
  }
  OutFile(const OutFile&) = delete;
  OutFile& operator=(const OutFile&) = delete;
  int fd() const { return fd_; }
  std::string text() const {
    std::string all(static_cast<std::size_t>(::lseek(fd_, 0, SEEK_END)), '\0');
    const ssize_t n = ::pread(fd_, all.data(), all.size(), 0);
    return n == static_cast<ssize_t>(all.size()) ? all : "cannot read back";
  }

 private:
  char path_[32] = "/tmp/console_test.XXXXXX";
  int fd_;
};

RunStarted run_of(std::vector<std::string> names) {
  RunStarted run;
  run.run = 7;
  run.time = noon;
  run.file = "pipeline.yml";
  run.ref = "main";
  run.sha = "0123456789abcdef";
  run.event = "push";
  for (std::uint32_t i = 0; i < names.size(); ++i)
    run.jobs.push_back({i * 3, names[i], "test"});  // gaps: others are out
  return run;
}

JobFinished ended(std::uint32_t job, Outcome outcome, int exit_code = -1, std::string reason = {}) {
  JobFinished end;
  end.key = {job, 1};
  end.time = noon;
  end.outcome = outcome;
  end.exit_code = exit_code;
  end.reason = std::move(reason);
  end.duration = 1250ms;
  return end;
}

RunFinished run_ended(Verdict verdict) {
  RunFinished end;
  end.run = 7;
  end.time = noon;
  end.verdict = verdict;
  end.duration = 2000ms;
  return end;
}

// What a console of that kind writes while `story` goes on.
template <class Story>
std::string told(ConsoleKind kind, const Story& story, ConsoleOptions options = {}) {
  const OutFile file;
  options.out = file.fd();
  options.live = false;
  {
    const auto console = make_console(kind, options);
    story(*console);
  }
  return file.text();
}

std::vector<json> objects(const std::string& text) {
  std::vector<json> all;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) all.push_back(json::parse(line));
  return all;
}

TEST(PlainConsole, JobsOfChildPipelinesHaveTheNamesOfAllAbove) {
  const std::string text = told(ConsoleKind::plain, [](Observer& console) {
    console.on(run_of({"t"}));
    RunStarted child = run_of({"t", "u"});
    child.run = 8;
    child.parent = 7;
    child.parent_job = "t";
    for (auto& job : child.jobs) job.job += 10;
    console.on(child);
    RunStarted grandchild = run_of({"t"});
    grandchild.run = 9;
    grandchild.parent = 8;
    grandchild.parent_job = "t";
    for (auto& job : grandchild.jobs) job.job += 20;
    console.on(grandchild);
    for (const std::uint32_t job : {20U, 13U, 10U, 0U}) console.on(ended(job, Outcome::passed));
    console.on(run_ended(Verdict::passed));
  });
  EXPECT_THAT(text, HasSubstr("t › t › t "));
  EXPECT_THAT(text, HasSubstr("t › u"));
}

TEST(JsonConsole, SaysEverythingInOneObjectALine) {
  const auto all = objects(told(ConsoleKind::json, [](Observer& console) {
    console.on(run_of({"build", "deploy"}));
    console.on(JobPreparing{{0, 1}, noon});
    console.on(JobStatus{{0, 1}, "pulling"});
    console.on(JobStarted{{0, 1}, noon, "handle"});
    console.log({0, 1}, "section_start:1700000000:step_script\r\x1b[0K$ make\nhalf a li", 0);
    console.on(JobWarning{{0, 1}, noon, "dist/ matched nothing"});
    console.log({0, 1}, "ne\nlast", 0);
    console.on(ended(0, Outcome::failed, 2, "script_failure"));
    JobFinished skipped = ended(3, Outcome::skipped);
    skipped.key.attempt = 0;
    skipped.duration = 0ms;
    console.on(skipped);
    console.on(run_ended(Verdict::failed));
  }));
  ASSERT_EQ(all.size(), 9U);
  EXPECT_EQ(all[0], (json{{"event", "run_started"},
                          {"run", 7},
                          {"time", "2023-11-14T22:13:20.123Z"},
                          {"file", "pipeline.yml"},
                          {"ref", "main"},
                          {"sha", "0123456789abcdef"},
                          {"source", "push"},
                          {"jobs", {"build", "deploy"}}}));
  EXPECT_EQ(all[1]["event"], "job_started");
  EXPECT_EQ(all[1]["job"], "build");
  for (const json& line : {all[2], all[4], all[5]}) {
    EXPECT_EQ(line["event"], "log");
    EXPECT_EQ(line["run"], 7);
    EXPECT_EQ(line["job"], "build");
    EXPECT_THAT(line["time"].get<std::string>(), testing::MatchesRegex("....-..-..T..:..:......Z"));
  }
  EXPECT_EQ(all[2]["text"], "$ make");
  EXPECT_EQ(all[3]["event"], "job_warning");
  EXPECT_EQ(all[3]["message"], "dist/ matched nothing");
  EXPECT_EQ(all[4]["text"], "half a line");
  EXPECT_EQ(all[5]["text"], "last");
  EXPECT_EQ(all[6], (json{{"event", "job_finished"},
                          {"run", 7},
                          {"time", "2023-11-14T22:13:20.123Z"},
                          {"job", "build"},
                          {"outcome", "failed"},
                          {"exit_code", 2},
                          {"seconds", 1.25},
                          {"allowed", false},
                          {"reason", "script_failure"},
                          {"message", ""}}));
  EXPECT_EQ(all[7]["outcome"], "skipped");
  EXPECT_TRUE(all[7]["exit_code"].is_null());
  EXPECT_EQ(all[8]["event"], "run_finished");
  EXPECT_EQ(all[8]["outcome"], "failed");
  EXPECT_EQ(all[8]["seconds"], 2.0);
}

TEST(JsonConsole, EscapesWhateverAJobPrints) {
  std::string every;
  for (int c = 0; c < 256; ++c) {
    if (c != '\n') every += static_cast<char>(c);
  }
  const auto all = objects(told(ConsoleKind::json, [&](Observer& console) {
    console.on(run_of({"a \"b\" \\ ü"}));
    console.log({0, 1}, every + "\nü 日本 \xf0\x9f\x98\x80\n", 0);
  }));
  ASSERT_EQ(all.size(), 3U);
  const std::string text = all[1]["text"];
  EXPECT_EQ(text.substr(0, 127), every.substr(0, 127));  // ASCII without the newline
  EXPECT_EQ(text.substr(127, 3), "\xEF\xBF\xBD");
  EXPECT_EQ(all[1]["job"], "a \"b\" \\ ü");
  EXPECT_EQ(all[2]["text"], "ü 日本 \xf0\x9f\x98\x80");
}

TEST(JsonConsole, GivesALineOfTenMegabytesWhole) {
  const std::string text = told(ConsoleKind::json, [](Observer& console) {
    console.on(run_of({"build"}));
    const std::string piece(100'000, 'x');
    for (int i = 0; i < 100; ++i) console.log({0, 1}, piece, 0);
    console.log({0, 1}, "\nshort\n", 0);
  });
  const auto all = objects(text);
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[1]["text"].get<std::string>().size(), 10'000'000U);
  EXPECT_EQ(all[2]["text"], "short");
}

TEST(JsonConsole, TellsEachAttemptAndFinishesTheJobOnce) {
  const auto all = objects(told(ConsoleKind::json, [](Observer& console) {
    console.on(run_of({"flaky"}));
    console.on(JobStarted{{0, 1}, noon, ""});
    console.log({0, 1}, "no newline", 0);
    JobRetried retried;
    retried.key = {0, 1};
    retried.time = noon;
    retried.exit_code = 1;
    retried.reason = "script_failure";
    console.on(retried);
    console.on(JobStarted{{0, 2}, noon, ""});
    console.log({0, 2}, "fine\n", 0);
    console.on(ended(0, Outcome::passed, 0));
  }));
  std::vector<std::string> events;
  for (const json& line : all) events.push_back(line["event"]);
  EXPECT_THAT(events,
              ElementsAre("run_started", "job_started", "log", "job_retried", "job_started", "log", "job_finished"));
  EXPECT_EQ(all[2]["text"], "no newline");
  EXPECT_EQ(all[3]["exit_code"], 1);
}

TEST(Consoles, KeepTheLinesOfJobsThatRunAtOnceWhole) {
  for (const ConsoleKind kind : {ConsoleKind::json, ConsoleKind::plain, ConsoleKind::pretty}) {
    constexpr int per_job = 5000;
    const std::string text = told(kind, [](Observer& console) {
      console.on(run_of({"a", "b", "c", "d"}));
      std::vector<std::thread> jobs;
      for (std::uint32_t j = 0; j < 4; ++j) {
        jobs.emplace_back([&console, j] {
          for (int i = 0; i < per_job; ++i) {
            console.log({j * 3, 1}, "line ", 0);
            console.log({j * 3, 1}, std::to_string(i) + " of job " + std::to_string(j) + "\n", 0);
          }
        });
      }
      for (int i = 0; i < 100; ++i) console.on(JobStatus{{0, 1}, "status " + std::to_string(i)});
      for (std::thread& job : jobs) job.join();
      for (std::uint32_t j = 0; j < 4; ++j) console.on(ended(j * 3, Outcome::passed, 0));
      console.on(run_ended(Verdict::passed));
    });
    std::map<char, int> next;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
      const std::size_t at = line.find(" of job ");
      if (at == std::string::npos) continue;
      const char job = line[at + 8];
      EXPECT_THAT(line, HasSubstr("line " + std::to_string(next[job]++) + " of job"));
    }
    for (const char job : {'0', '1', '2', '3'}) EXPECT_EQ(next[job], per_job);
  }
}

TEST(PlainConsole, PrefixesLinesAndClosesWithATable) {
  const std::string text = told(ConsoleKind::plain, [](Observer& console) {
    console.on(run_of({"build:linux", "test", "lint", "deploy"}));
    console.on(JobStarted{{0, 1}, noon, ""});
    console.log({0, 1}, "\x1b[32;1m$ make\x1b[0;m\n10 %\r100 %\nok\n", 0);
    JobFinished passed = ended(0, Outcome::passed, 0);
    passed.artifact_files = 3;
    passed.artifact_bytes = 1'234'567;
    console.on(passed);
    console.on(JobStarted{{3, 1}, noon, ""});
    std::string lines = "$ make test\n";
    for (int i = 1; i <= 30; ++i) lines += "line " + std::to_string(i) + "\n";
    console.log({3, 1}, lines + "the end", 0);
    console.on(ended(3, Outcome::failed, 2, "script_failure"));
    JobFinished allowed = ended(6, Outcome::failed, 1, "script_failure");
    allowed.allowed = true;
    console.on(allowed);
    JobFinished skipped = ended(9, Outcome::skipped);
    skipped.key.attempt = 0;
    skipped.duration = 0ms;
    skipped.message = "test failed";
    console.on(skipped);
    console.on(run_ended(Verdict::failed));
  });
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text, testing::ContainsRegex(
                        "^[0-9][0-9]:[0-9][0-9]:[0-9][0-9] run 7 · pipeline.yml · main · 01234567 · push · 4 jobs\n"));
  EXPECT_THAT(text, HasSubstr(" build:linux ▶ started\n"));
  EXPECT_THAT(text, HasSubstr(" build:linux │ $ make\n"));
  EXPECT_THAT(text, HasSubstr(" build:linux │ 100 %\n"));
  EXPECT_THAT(text, HasSubstr(" build:linux ✓ passed in 1.2 s; kept 3 files, 1.2 MB\n"));
  EXPECT_THAT(text, HasSubstr(" test        ✗ failed in 1.2 s: exit code 2\n"));
  EXPECT_THAT(text, HasSubstr(" lint        ! failed in 1.2 s: exit code 1 (allowed to fail)\n"));
  EXPECT_THAT(text, HasSubstr(" deploy      ⊘ skipped: test failed\n"));
  const std::string report = text.substr(text.find("\n\n"));
  EXPECT_THAT(report, testing::StartsWith("\n\n✗ test failed: exit code 2\n"
                                          "  at: $ make test\n"
                                          "  its last 20 lines:\n"
                                          "  │ line 12\n"));
  EXPECT_THAT(report, HasSubstr("  │ line 30\n"
                                "  │ the end\n"
                                "  all of it: runner logs 7 test\n"
                                "  again:     runner exec pipeline.yml test --needs\n"));
  EXPECT_THAT(report, HasSubstr("job          stage  outcome      time   why\n"
                                "build:linux  test   ✓ passed     1.2 s\n"
                                "test         test   ✗ failed     1.2 s  exit code 2\n"
                                "lint         test   ! failed     1.2 s  exit code 1 (allowed to fail)\n"
                                "deploy       test   ⊘ skipped           test failed\n"
                                "\n"
                                "✗ run 7 failed in 2.0 s\n"));
}

TEST(PlainConsole, SaysWhichAttemptItWasWithoutAStrayColon) {
  const std::string text = told(ConsoleKind::plain, [](Observer& console) {
    console.on(run_of({"build", "test"}));
    JobFinished passed = ended(0, Outcome::passed, 0);
    passed.key.attempt = 2;
    console.on(passed);
    JobFinished failed = ended(3, Outcome::failed, 2, "script_failure");
    failed.key.attempt = 3;
    console.on(failed);
    console.on(run_ended(Verdict::failed));
  });
  EXPECT_THAT(text, HasSubstr(" ✓ passed in 1.2 s (attempt 2)\n"));
  EXPECT_THAT(text, HasSubstr(" ✗ failed in 1.2 s: exit code 2 (attempt 3)\n"));
  EXPECT_THAT(text, HasSubstr("✓ passed     1.2 s  (attempt 2)\n"));
}

TEST(PlainConsole, TellsProgressOnlyNowAndThen) {
  const std::string text = told(ConsoleKind::plain, [](Observer& console) {
    console.on(run_of({"build"}));
    for (int i = 0; i < 100; ++i) console.on(JobStatus{{0, 1}, "pulling " + std::to_string(i) + " %"});
  });
  EXPECT_THAT(text, HasSubstr("· pulling 0 %"));
  EXPECT_THAT(text, Not(HasSubstr("· pulling 1 %")));
}

TEST(PlainConsole, TellsOfALongPreparationOfTheRun) {
  const std::string text = told(ConsoleKind::plain, [](Observer& console) {
    console.on(RunPreparing{"copying 1"});
    console.on(RunPreparing{"copying 2"});
    std::this_thread::sleep_for(2050ms);
    console.on(RunPreparing{"copying 3"});
    console.on(RunPreparing{"copying 4"});
    console.on(run_of({"build"}));
  });
  EXPECT_THAT(text, HasSubstr(" · copying 3\n"));
  EXPECT_THAT(text, Not(testing::ContainsRegex("copying [124]")));
  EXPECT_LT(text.find("copying 3"), text.find("run 7"));
}

TEST(PlainConsole, QuotesWhatAShellWouldSplit) {
  const std::string text = told(ConsoleKind::plain, [](Observer& console) {
    console.on(run_of({"it's a job"}));
    console.log({0, 1}, "x\n", 0);
    console.on(ended(0, Outcome::failed, 1));
    console.on(run_ended(Verdict::failed));
  });
  EXPECT_THAT(text, HasSubstr("runner exec pipeline.yml 'it'\\''s a job' --needs\n"));
}

TEST(PlainConsole, ListsOfManyJobsOnlyThoseThatDidNotPass) {
  const std::string text = told(ConsoleKind::plain, [](Observer& console) {
    std::vector<std::string> names;
    for (int i = 0; i < 1000; ++i) names.push_back("job" + std::to_string(i));
    console.on(run_of(names));
    for (std::uint32_t i = 0; i < 1000; ++i) console.on(ended(i * 3, i == 500 ? Outcome::broken : Outcome::passed, 0));
    console.on(run_ended(Verdict::broken));
  });
  const std::string table = text.substr(text.find("job     stage"));
  EXPECT_THAT(table, HasSubstr("job500"));
  EXPECT_THAT(table, HasSubstr("… and 999 that passed\n"));
  EXPECT_THAT(table, Not(HasSubstr("job501")));
}

TEST(Consoles, SayColourOnlyWhenAsked) {
  const auto story = [](Observer& console) {
    console.on(run_of({"build"}));
    console.log({0, 1}, "\x1b[31mred\n", 0);
    console.on(ended(0, Outcome::failed, 1));
    console.on(run_ended(Verdict::failed));
  };
  ConsoleOptions options;
  EXPECT_THAT(told(ConsoleKind::pretty, story, options), Not(HasSubstr("\x1b")));
  options.colour = true;
  const std::string coloured = told(ConsoleKind::pretty, story, options);
  EXPECT_THAT(coloured, HasSubstr("│ \x1b[31mred\x1b[0m\n"));
  EXPECT_THAT(coloured, HasSubstr("✗ failed"));
}

TEST(Consoles, NeverHoldAJobUpForAReaderThatTakesNothing) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ConsoleOptions options;
  options.out = ends[1];
  options.patience = 100ms;
  auto console = make_console(ConsoleKind::json, options);
  console->on(run_of({"build"}));
  const std::string chunk = std::string(99, 'x') + "\n";
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += chunk;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 20; ++i) console->log({0, 1}, many, 0);  // 20 MB
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  console->on(ended(0, Outcome::passed, 0));
  std::string text;
  std::thread reader([&] {
    char buffer[65536];
    for (ssize_t n; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(n));
  });
  console.reset();
  ::close(ends[1]);
  reader.join();
  ::close(ends[0]);
  const auto all = objects(text);  // whole objects only
  EXPECT_EQ(all.back()["event"], "job_finished");
  EXPECT_EQ(all[all.size() - 2]["event"], "job_warning");
  EXPECT_THAT(all[all.size() - 2]["message"].get<std::string>(), HasSubstr("lines of the log are left out here"));
}

TEST(Consoles, GoOnWhenTheReaderIsGone) {
  std::signal(SIGPIPE, SIG_IGN);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::close(ends[0]);
  ConsoleOptions options;
  options.out = ends[1];
  {
    const auto console = make_console(ConsoleKind::plain, options);
    console->on(run_of({"build"}));
    for (int i = 0; i < 200; ++i) console->log({0, 1}, std::string(100'000, 'x') + "\n", 0);
    console->on(run_ended(Verdict::passed));
  }
  ::close(ends[1]);
}

TEST(Consoles, ShowALineSoonAfterItWasPrinted) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ConsoleOptions options;
  options.out = ends[1];
  {
    const auto console = make_console(ConsoleKind::json, options);
    console->on(run_of({"build"}));
    console->log({0, 1}, "hello\n", 0);
    std::string text;
    pollfd waiting{ends[0], POLLIN, 0};
    while (text.find("hello") == std::string::npos && ::poll(&waiting, 1, 2000) == 1) {
      char buffer[4096];
      const ssize_t n = ::read(ends[0], buffer, sizeof buffer);
      text.append(buffer, n > 0 ? static_cast<std::size_t>(n) : 0);
    }
    EXPECT_THAT(text, HasSubstr("hello"));  // while the console still stands
  }
  ::close(ends[0]);
  ::close(ends[1]);
}

// A terminal of our own, to see what the live console draws.
TEST(PrettyConsole, DrawsAFooterAndTakesItAwayAgain) {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  ASSERT_GE(terminal, 0);
  ASSERT_EQ(::grantpt(terminal), 0);
  ASSERT_EQ(::unlockpt(terminal), 0);
  const int out = ::open(::ptsname(terminal), O_RDWR | O_NOCTTY);
  ASSERT_GE(out, 0);
  std::string text;
  std::thread reader([&] {
    char buffer[4096];
    for (ssize_t n; (n = ::read(terminal, buffer, sizeof buffer)) > 0;)
      text.append(buffer, static_cast<std::size_t>(n));
  });
  ConsoleOptions options;
  options.out = out;
  options.live = true;
  options.width = 60;
  {
    const auto console = make_console(ConsoleKind::pretty, options);
    console->on(RunPreparing{"copying the sources: 64 of 60000 files"});
    std::this_thread::sleep_for(250ms);
    console->on(run_of({"build", "test"}));
    console->on(JobStatus{{0, 1}, "pulling node:18, 45 %"});
    std::this_thread::sleep_for(250ms);
    console->on(JobStarted{{0, 1}, noon, ""});
    console->log({0, 1}, "a line\nhalf a li", 0);
    std::this_thread::sleep_for(250ms);
    console->on(ended(0, Outcome::passed, 0));
    console->on(run_ended(Verdict::passed));
  }
  ::close(out);
  reader.join();
  ::close(terminal);
  EXPECT_THAT(text, testing::StartsWith("\x1b[?25l"));
  EXPECT_THAT(text, HasSubstr("copying the sources: 64 of 60000 files · "));
  EXPECT_EQ(text.find("copying", text.find("run 7")), std::string::npos) << "it is over then";
  EXPECT_THAT(text, HasSubstr("pulling node:18, 45 %"));
  EXPECT_THAT(text, HasSubstr("half a li"));
  EXPECT_THAT(text, HasSubstr("1 running · 1 to come"));
  EXPECT_THAT(text, HasSubstr("✓ run 7 passed in 2.0 s\r\n"));
  EXPECT_THAT(text, testing::EndsWith("\x1b[?25h"));
  const std::size_t report = text.rfind("run 7 passed");
  EXPECT_EQ(text.find("to come", report), std::string::npos);
}

TEST(PausedConsole, SaysNothingUntilItIsResumed) {
  for (const ConsoleKind kind : {ConsoleKind::plain, ConsoleKind::json}) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const auto read_some = [&] {
      std::string text;
      pollfd ready{ends[0], POLLIN, 0};
      while (::poll(&ready, 1, 200) > 0) {
        char buffer[4096];
        const ssize_t n = ::read(ends[0], buffer, sizeof buffer);
        if (n <= 0) break;
        text.append(buffer, static_cast<std::size_t>(n));
      }
      return text;
    };
    ConsoleOptions options;
    options.out = ends[1];
    const auto console = make_console(kind, options);
    console->on(run_of({"build"}));
    console->on(JobStarted{{0, 1}, noon, ""});
    console->log({0, 1}, "before\n", 0);
    console->pause();
    EXPECT_THAT(read_some(), HasSubstr("before"));
    console->log({0, 1}, "meanwhile\n", 0);
    console->on(ended(0, Outcome::failed, 1));
    EXPECT_EQ(read_some(), "");
    console->resume();
    EXPECT_THAT(read_some(), testing::AllOf(HasSubstr("meanwhile"), HasSubstr("failed")));
    console->pause();  // and it ends whoever has the terminal
    ::close(ends[0]);
  }
}

TEST(ChooseConsole, IsPrettyOnATerminalAndPlainElsewhere) {
  std::map<std::string, std::string> variables{{"TERM", "xterm"}};
  const auto environment = [&](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
  const auto choose = [&](std::optional<ConsoleKind> asked, bool terminal) {
    return choose_console(asked, terminal, environment);
  };
  EXPECT_EQ(choose({}, true).kind, ConsoleKind::pretty);
  EXPECT_TRUE(choose({}, true).live);
  EXPECT_TRUE(choose({}, true).colour);
  EXPECT_EQ(choose({}, false).kind, ConsoleKind::plain);
  EXPECT_FALSE(choose({}, false).colour);
  EXPECT_FALSE(choose(ConsoleKind::pretty, false).live);
  EXPECT_FALSE(choose(ConsoleKind::json, true).colour);
  variables["CI"] = "true";
  EXPECT_EQ(choose({}, true).kind, ConsoleKind::plain);
  EXPECT_EQ(choose(ConsoleKind::pretty, true).kind, ConsoleKind::pretty);
  variables["CI"] = "false";
  EXPECT_EQ(choose({}, true).kind, ConsoleKind::pretty);
  variables["NO_COLOR"] = "1";
  EXPECT_FALSE(choose({}, true).colour);
  variables["NO_COLOR"] = "";
  EXPECT_TRUE(choose({}, true).colour);
  variables["CLICOLOR_FORCE"] = "1";
  EXPECT_TRUE(choose({}, false).colour);
  for (const char* nothing : {"dumb", ""}) {
    variables = {{"TERM", nothing}};
    EXPECT_EQ(choose({}, true).kind, ConsoleKind::plain) << nothing;
    EXPECT_FALSE(choose({}, true).colour) << nothing;
    EXPECT_FALSE(choose(ConsoleKind::pretty, true).live) << nothing;
  }
  variables.clear();
  EXPECT_EQ(choose({}, true).kind, ConsoleKind::plain);
}

}  // namespace
}  // namespace runner
