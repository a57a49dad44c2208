// Logs: the job's own bytes, whatever they are, kept as they come and bounded.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <regex>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// What of a log is not the job's: section markers and the line that announces each script item.
std::string own_bytes(const std::string& log) {
  std::string text;
  for (std::size_t at = 0; at < log.size();) {
    const bool start = log.compare(at, 14, "section_start:") == 0;
    if (start || log.compare(at, 12, "section_end:") == 0) {
      const std::size_t end = log.find("\r\x1b[0K", at);
      if (end != std::string::npos) {
        at = end + 5;
        continue;
      }
    }
    const bool line_begins = at == 0 || log[at - 1] == '\n' || log.compare(at >= 5 ? at - 5 : 0, 5, "\r\x1b[0K") == 0;
    if (line_begins && log.compare(at, 2, "$ ") == 0) {
      at = log.find('\n', at) + 1;
      continue;
    }
    text += log[at++];
  }
  return text;
}

// A job that prints a file which is not in its script.
Project& printing(Project& project, const std::string& bytes, const std::string& image = {}) {
  project.file("bytes.bin", bytes);
  return project.pipeline("test: {" + (image.empty() ? "" : "image: '" + image + "', ") + "script: [cat bytes.bin]}");
}

TEST(Logs, AreTheJobsOwnBytesItsCommandsAndSectionMarkersAndNothingElse) {
  Project project;
  project.pipeline("test: {script: [echo one, 'echo two >&2'], after_script: [echo three]}");
  EXPECT_EQ(project.exec().code, 0);
  const std::string log = project.logs({"test"});
  const std::regex whole(
      "section_start:\\d{10}:step_script\r\x1b\\[0K"
      "\\$ echo one\none\n\\$ echo two >&2\ntwo\n"
      "section_end:\\d{10}:step_script\r\x1b\\[0K"
      "section_start:\\d{10}:after_script\r\x1b\\[0K"
      "\\$ echo three\nthree\n"
      "section_end:\\d{10}:after_script\r\x1b\\[0K");
  EXPECT_TRUE(std::regex_match(log, whole)) << log;
}

struct Bytes {
  const char* name;
  std::string bytes;
};
void PrintTo(const Bytes& bytes, std::ostream* stream) { *stream << bytes.name; }

std::vector<Bytes> strange_bytes() {
  std::string all, big = "begin ", utf8;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  while (big.size() < 10'000'000) big += "0123456789abcdef";
  for (int i = 0; i < 5000; ++i) utf8 += "ä€😀";  // cut somewhere by every buffer there is
  return {
      {"NoNewlineAtTheEnd", "first\nlast"},
      {"OnlyANewline", "\n"},
      {"Nul", std::string("a\0b\0\0c\n", 7)},
      {"InvalidUtf8", "\xff\xfe \xc3( \xe2\x82 \xf0\x9f\x98\n\x80"},
      {"EveryByte", all + all + "\n" + all},
      {"CarriageReturnsAndEscapes", "10%\r20%\r\n\x1b[31mred\x1b[0m\x07 bell\r"},
      {"LooksLikeASection", "section_start:1:x\r\x1b[0Knot ours, section_end:\n"},
      {"Utf8", utf8},
      {"ALineOfTenMegabytes", big + " end"},
  };
}

class LogBytes : public testing::TestWithParam<Bytes> {};

TEST_P(LogBytes, ComeOutAsTheyWentIn) {
  Project project;
  const std::string& bytes = GetParam().bytes;
  printing(project, bytes);
  const Result result = project.exec();
  EXPECT_EQ(result.code, 0) << result.code << result.err;
  EXPECT_LT(result.peak_kib, 120U * 1024);
  const std::string log = project.logs({"test"});
  const std::size_t at = log.find("$ cat bytes.bin\n");
  ASSERT_NE(at, std::string::npos);
  const std::string rest = log.substr(at + 16);
  EXPECT_TRUE(rest.compare(0, bytes.size(), bytes) == 0) << rest.size() << " bytes, " << bytes.size() << " wanted";
  EXPECT_TRUE(std::regex_match(rest.substr(std::min(rest.size(), bytes.size())),
                               std::regex("section_end:\\d{10}:step_script\r\x1b\\[0K")));
}

INSTANTIATE_TEST_SUITE_P(Strange, LogBytes, testing::ValuesIn(strange_bytes()),
                         [](const auto& which) { return std::string(which.param.name); });

TEST(LogsInDocker, AreExactToo) {
  Project project;
  std::string all;
  for (int round = 0; round < 200; ++round) {
    for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  }
  printing(project, all, "busybox");
  EXPECT_EQ(project.docker().code, 0);
  EXPECT_THAT(project.logs({"test"}), HasSubstr("$ cat bytes.bin\n" + all + "section_end:"));
}

TEST(Logs, InJsonEachLineIsWholeHoweverItCame) {
  Project project;
  project.pipeline(R"(
test:
  script:
    - printf 'begin '; sleep 0.3; printf 'middle '; sleep 0.3; echo end
    - printf 'a\000b\377c\n'
    - printf last
)");
  const Result result = project.exec();
  const std::string printed = result.printed("test");
  EXPECT_THAT(printed, AllOf(HasSubstr("begin middle end\n"),
                             HasSubstr("a" + std::string(1, '\0') +
                                       "b\xEF\xBF\xBD"
                                       "c\n"),
                             testing::EndsWith("last\n")));
}

TEST(Logs, AnotherProcessReadsThemAtOnceAndFollows) {
  Project project;
  project.pipeline(
      "test: {script: [echo first, 'while [ ! -e \"$GO\" ]; do sleep 0.05; done', seq 20000, printf last]}");
  const auto go = project.home() / "go";
  auto run = project.start_exec({"--variable", "GO=" + go.string()});
  ASSERT_TRUE(run->wait_for("\"text\":\"first\""));
  EXPECT_TRUE(eventually(
      [&] {
        return project.logs({"1", "test"}).find("\nfirst\n") != std::string::npos;
      },
      std::chrono::seconds(10)));
  EXPECT_EQ(project.runs().at(0)["outcome"], nullptr);
  auto follow = project.start({"logs", "test", "--follow"});
  ASSERT_TRUE(follow->wait_for("first\n"));
  EXPECT_TRUE(follow->running());
  sh("touch '" + go.string() + "'");
  const Ended followed = follow->wait();
  EXPECT_EQ(run->wait().code, 0);
  EXPECT_EQ(followed.code, 0) << followed.err;
  const std::string log = project.logs({"test"});
  EXPECT_TRUE(followed.out == log) << followed.out.size() << " bytes followed, " << log.size() << " stored";
  EXPECT_THAT(log, HasSubstr("\n19999\n20000\n$ printf last\nlastsection_end:"));
}

TEST(Logs, FollowedWithoutAJobAreAllOfThemInTheOrderTheyStarted) {
  Project project;
  project.pipeline(R"(
stages: [one, two, three]
z1: {stage: one, script: [echo of z1, 'while [ ! -e "$GO" ]; do sleep 0.05; done', echo end of z1]}
m2: {stage: two, script: echo of m2}
a3: {stage: three, script: [sleep 0.5, echo of a3]}
)");
  const auto go = project.home() / "go";
  auto run = project.start_exec({"--variable", "GO=" + go.string()});
  ASSERT_TRUE(run->wait_for("\"text\":\"of z1\""));
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(project.work() / "1/j2-1/.job"); }));  // m2 is made ready
  auto follow = project.start({"logs", "--follow"});
  ASSERT_TRUE(follow->wait_for("of z1\n"));
  sh("touch '" + go.string() + "'");
  const Ended followed = follow->wait();
  EXPECT_EQ(run->wait().code, 0);
  EXPECT_EQ(followed.code, 0) << followed.err;
  EXPECT_EQ(own_bytes(followed.out), "of z1\nend of z1\nof m2\nof a3\n");
  EXPECT_EQ(followed.out, project.logs());
}

TEST(Logs, FollowedOfARunThatWasInterruptedEndAndSaySo) {
  Project project;
  project.pipeline("test: {script: [echo waiting, sleep 600]}\nnext: {needs: [test], script: echo next}");
  auto run = project.start_exec();
  ASSERT_TRUE(run->wait_for("\"text\":\"waiting\""));
  auto follow = project.start({"logs", "--follow"});
  ASSERT_TRUE(follow->wait_for("waiting\n"));
  run->kill();
  run->wait();
  for (const Ended& ended :
       {follow->wait(), Ended(project.run({"logs", "--follow"})), Ended(project.run({"logs", "test", "--follow"})),
        Ended(project.run({"logs", "next", "--follow"}))}) {
    EXPECT_EQ(ended.code, 1) << ended.err;
    EXPECT_THAT(ended.err, AllOf(HasSubstr("run 1 was interrupted"), HasSubstr("`runner resume 1`")));
    EXPECT_LT(ended.seconds, 60);
  }
  EXPECT_EQ(project.run({"logs"}).code, 0);
  EXPECT_EQ(project.run({"doctor", "--clean"}).code, 0);
  EXPECT_EQ(project.run({"logs", "--follow"}).code, 0);
  // What the dead runner had made ready looks once a second whether it is still wanted.
  EXPECT_TRUE(eventually([&] { return project.processes().empty(); }));
}

TEST(Logs, WhatWasPrintedSurvivesAKill) {
  Project project;
  project.pipeline("test: {script: [seq 5000, echo the last before, sleep 600]}");
  auto run = project.start_exec();
  ASSERT_TRUE(run->wait_for("\"text\":\"the last before\""));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));  // the store gathers for a moment
  run->kill();
  run->wait();
  std::string numbers;
  for (int i = 1; i <= 5000; ++i) numbers += std::to_string(i) + "\n";
  EXPECT_THAT(project.logs({"1", "test"}),
              HasSubstr("$ seq 5000\n" + numbers + "$ echo the last before\nthe last before\n"));
  EXPECT_EQ(project.run({"doctor", "--clean"}).code, 0);
}

TEST(Logs, EachAttemptIsKept) {
  Project project;
  project.pipeline(
      "test: {script: ['echo \"try $(cat \"$N\" 2>/dev/null | wc -l)\"; echo x >>\"$N\"; exit 1'], retry: 1}");
  project.exec({"--variable", "N=" + (project.home() / "n").string()});
  EXPECT_THAT(project.logs({"test"}), AllOf(HasSubstr("\ntry 0\n"), HasSubstr("\ntry 1\n")));
}

// A gigabyte of output: bounded memory and disk, the limit is said once, the job goes on, and its end is kept.
TEST(LogsLimit, AGigabyteOfOutput) {
  Project project;
  project.pipeline(R"(
test:
  script:
    - (yes 'a line of one hundred bytes, more or less, that is printed again and again until there is a gigabyte' || true) | head -c 1000000000
    - echo the very end
)");
  Options options;
  options.output = "/dev/null";
  options.timeout = std::chrono::seconds(240);
  const Result result = project.run({"exec", "--executor", "shell", "--output", "plain"}, options);
  EXPECT_EQ(result.code, 0) << result;
#ifndef RUNNER_SANITIZED
  EXPECT_LT(result.peak_kib, 100U * 1024);
#endif
  const std::string size = sh("du -sk '" + project.database().parent_path().string() + "' | cut -f1");
  EXPECT_LT(std::stoul(size), 150'000U);
  const std::string log = project.logs({"test"});
  EXPECT_GT(log.size(), 50'000'000U);
  EXPECT_LT(log.size(), 101'000'000U);
  EXPECT_THAT(log.substr(log.size() - 66000), HasSubstr("\nthe very end\nsection_end:"));
  EXPECT_THAT(log.substr(log.size() - 70000), testing::ContainsRegex("limit"));
}

TEST(LogsLimit, IsTheConfigurations) {
  Project project;
  project.configuration("[logs]\nlimit = \"1MB\"\n");
  project.pipeline("test: {script: [seq 300000, echo the end]}");
  EXPECT_EQ(project.exec().code, 0);
  const std::string log = project.logs({"test"});
  EXPECT_LT(log.size(), 1'300'000U);
  EXPECT_THAT(log, HasSubstr("\nthe end\n"));
}

TEST(Logs, AreForWhoAsksForThemWithoutAJobAllOfThem) {
  Project project;
  project.pipeline("a: {stage: build, script: echo of a}\nb: {script: echo of b}");
  project.exec();
  const std::string all = project.logs();
  EXPECT_THAT(all, AllOf(HasSubstr("\nof a\n"), HasSubstr("\nof b\n")));
  project.pipeline("a: {script: echo newer}");
  project.exec();
  EXPECT_THAT(project.logs({"a"}), HasSubstr("newer"));
  EXPECT_THAT(project.logs({"1", "a"}), HasSubstr("of a"));
  const Result unknown = project.run({"logs", "bb"});
  EXPECT_EQ(unknown.code, 2) << unknown;
  EXPECT_EQ(project.run({"logs", "99"}).code, 2);
  EXPECT_EQ(own_bytes(project.logs({"1", "b"})), "of b\n");
}

}  // namespace
}  // namespace e2e
