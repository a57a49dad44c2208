#include "runner/run/log_lines.h"

#include <gmock/gmock.h>

#include <chrono>
#include <string>
#include <vector>

#include "runner/run/terminal.h"

namespace runner {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Mode = LogLines::Mode;
using namespace std::string_literals;

// The lines of `bytes`, fed in pieces of `step` bytes (0: at once).
std::vector<std::string> lines(Mode mode, std::string_view bytes, std::size_t step = 0, std::size_t limit = 1000) {
  std::vector<std::string> all;
  const LogLines::Take take = [&](std::string_view line, std::uint64_t cut) {
    all.push_back(std::string(line) + (cut > 0 ? "+" + std::to_string(cut) : ""));
  };
  LogLines assembled(mode, limit);
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t size = step == 0 ? bytes.size() : step;
    assembled.feed(bytes.substr(at, size), take);
    at += size;
  }
  assembled.finish(take);
  return all;
}

// The same at every cut.
std::vector<std::string> same_at_every_cut(Mode mode, std::string_view bytes) {
  const auto whole = lines(mode, bytes);
  for (std::size_t step = 1; step < bytes.size(); ++step) EXPECT_EQ(lines(mode, bytes, step), whole) << "step " << step;
  return whole;
}

TEST(LogLines, GivesWholeLinesAndAtTheEndTheOneWithoutNewline) {
  EXPECT_THAT(same_at_every_cut(Mode::exact, "one\n\ntwo\nthree"), ElementsAre("one", "", "two", "three"));
  EXPECT_THAT(same_at_every_cut(Mode::exact, "one\n"), ElementsAre("one"));
  EXPECT_THAT(lines(Mode::exact, ""), IsEmpty());
}

TEST(LogLines, TakesSectionMarkersOut) {
  const std::string_view log =
      "section_start:1700000000:step_script\r\x1b[0K\x1b[32;1m$ make\x1b[0;m\n"
      "\x1b[0Ksection_start:1700000000:tests[collapsed=true]\r\x1b[0KRunning tests\n"
      "no newline"
      "section_end:1700000000:tests\r\x1b[0K"
      "section_end:1700000000:step_script\r\x1b[0Ksection_start:1700000000:after_script\r\x1b[0K\n"
      "$ echo after\n"
      "section_end:1700000000:after_script\r\x1b[0K";
  for (const Mode mode : {Mode::exact, Mode::screen}) {
    EXPECT_THAT(same_at_every_cut(mode, log),
                ElementsAre("\x1b[32;1m$ make\x1b[0;m", "Running tests", "no newline", "$ echo after"));
  }
}

TEST(LogLines, LeavesWhatOnlyLooksLikeAMarker) {
  EXPECT_THAT(same_at_every_cut(Mode::exact, "section_start:x:name\r\x1b[0K\nsection_end:1:\r\nsection_start:1:name\n"),
              ElementsAre("section_start:x:name\r\x1b[0K", "section_end:1:\r", "section_start:1:name"));
}

TEST(LogLines, OnAScreenTheLastPartOfACarriageReturnedLineStays) {
  const std::string_view log = "10 %\r50 %\r100 %\ndos\r\nhalf\r\r\n";
  EXPECT_THAT(same_at_every_cut(Mode::screen, log), ElementsAre("100 %", "dos", "half"));
  EXPECT_THAT(same_at_every_cut(Mode::exact, log), ElementsAre("10 %\r50 %\r100 %", "dos\r", "half\r\r"));
}

TEST(LogLines, KnowsTheLineThatIsNotOver) {
  LogLines assembled(Mode::screen, 100);
  const LogLines::Take none = [](std::string_view, std::uint64_t) {};
  assembled.feed("done\n10 %\r20 %", none);
  EXPECT_EQ(assembled.pending(), "20 %");
  assembled.feed("\r", none);
  EXPECT_EQ(assembled.pending(), "20 %");
  assembled.feed("\n", none);
  EXPECT_EQ(assembled.pending(), "");
}

TEST(LogLines, KeepsNulAndInvalidUtf8) {
  EXPECT_THAT(same_at_every_cut(Mode::exact, "a\0b\xff\n"s), ElementsAre("a\0b\xff"s));
}

TEST(LogLines, CutsLongLinesOnAScreenAndSaysHowMuch) {
  const std::string line(100'000, 'x');
  for (const std::size_t step : {std::size_t{0}, std::size_t{1}, std::size_t{777}}) {
    EXPECT_THAT(lines(Mode::screen, line + "\nnext", step, 100), ElementsAre(std::string(100, 'x') + "+99900", "next"));
    EXPECT_THAT(lines(Mode::screen, line + "section_end:1:step_script\r\x1b[0K", step, 100),
                ElementsAre(std::string(100, 'x') + "+99900"));
    EXPECT_THAT(lines(Mode::screen, line + "\rshort\n", step, 100), ElementsAre("short"));
  }
}

TEST(LogLines, GivesVeryLongExactLinesInPieces) {
  EXPECT_THAT(lines(Mode::exact, std::string(2500, 'x') + "\ny\n", 1, 1000),
              ElementsAre(std::string(1000, 'x'), std::string(1000, 'x'), std::string(500, 'x'), "y"));
}

TEST(LogLines, ALineOfTenMegabytesInSmallWritesTakesNoLongerThanItsBytes) {
  const auto begin = std::chrono::steady_clock::now();
  LogLines exact(Mode::exact, 16 << 20), screen(Mode::screen, 32 << 10);
  std::size_t whole = 0, shown = 0;
  const std::string piece(100, 'x');
  for (int i = 0; i < 100'000; ++i) {
    exact.feed(piece, [&](std::string_view line, std::uint64_t) { whole = line.size(); });
    screen.feed(piece, [](std::string_view, std::uint64_t) {});
  }
  exact.feed("\n", [&](std::string_view line, std::uint64_t) { whole = line.size(); });
  screen.feed("\n", [&](std::string_view line, std::uint64_t cut) { shown = line.size() + cut; });
  EXPECT_EQ(whole, 10'000'000U);
  EXPECT_EQ(shown, 10'000'000U);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

TEST(ScreenText, LeavesOutWhatWouldMoveTheCursorOrRing) {
  EXPECT_EQ(on_screen("a\x1b[2Jb\x1b[10;10Hc\x1b]0;title\x07"
                      "d\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\ \a\b\0e\x7f"s),
            "abcdlink e");
  EXPECT_EQ(on_screen("\x1b[31mred\x1b[0m\ttab"), "red\ttab");
  EXPECT_EQ(on_screen("cut \x1b["), "cut ");
  EXPECT_EQ(on_screen("\xc2\x9bqC1 \xe2\x80\xae"
                      "bidi"),
            "qC1 bidi");
}

TEST(ScreenText, ReplacesInvalidUtf8) {
  EXPECT_EQ(on_screen("ü\xff\xc3"), "ü\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(on_screen("\xed\xa0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // a surrogate
  EXPECT_EQ(on_screen("日本"), "日本");
}

TEST(ScreenText, CarriesAColourToTheNextLineAndEndsEachWithAReset) {
  std::string carry, one, two, three;
  append_screen(one, "\x1b[1;31mred", true, carry);
  append_screen(two, "still\x1b[0m not", true, carry);
  append_screen(three, "plain", true, carry);
  EXPECT_EQ(one, "\x1b[1;31mred\x1b[0m");
  EXPECT_EQ(two, "\x1b[1;31mstill\x1b[0m not");
  EXPECT_EQ(three, "plain");
}

TEST(ScreenText, MeasuresAndCutsByColumns) {
  EXPECT_EQ(display_width("abc"), 3U);
  EXPECT_EQ(display_width("日本"), 4U);
  EXPECT_EQ(display_width("\x1b[31mé\x1b[0m"), 1U);
  EXPECT_EQ(cut("abcdef", 6), "abcdef");
  EXPECT_EQ(cut("abcdef", 4), "abc…");
  EXPECT_EQ(cut("日本語", 5), "日本…");
  EXPECT_EQ(cut("日本語", 4), "日…");
  EXPECT_EQ(cut("\x1b[31mabcdef\x1b[0m", 3), "\x1b[31mab…\x1b[0m");
  EXPECT_EQ(cut("abc", 0), "");
}

}  // namespace
}  // namespace runner
