#include "executors/docker/frames.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "tests/executors/docker/fake_engine.h"

namespace executors::docker {
namespace {

using Stream = Frames::Stream;

// What came out, neighbours of one stream joined: how a payload was cut does not matter.
struct Collector {
  std::vector<std::pair<Stream, std::string>> runs;
  Frames frames{[this](Stream stream, std::string_view bytes) {
    if (runs.empty() || runs.back().first != stream) runs.emplace_back(stream, "");
    runs.back().second += bytes;
    return true;
  }};
};

const std::string everything = frame(1, "out\n") + frame(2, std::string("\0err\xff", 5)) + frame(1, "") +
                               frame(1, std::string(300, 'x')) + frame(3, "engine") + frame(0, "in");
const std::vector<std::pair<Stream, std::string>> expected = {{Stream::output, "out\n"},
                                                              {Stream::error, std::string("\0err\xff", 5)},
                                                              {Stream::output, std::string(300, 'x')},
                                                              {Stream::system, "engine"},
                                                              {Stream::input, "in"}};

TEST(Frames, InOnePiece) {
  Collector collector;
  EXPECT_TRUE(collector.frames.feed(everything));
  EXPECT_EQ(collector.runs, expected);
  EXPECT_EQ(collector.frames.frames(), 6U);
  EXPECT_TRUE(collector.frames.at_boundary());
}

TEST(Frames, ByteByByte) {
  Collector collector;
  for (const char byte : everything) EXPECT_TRUE(collector.frames.feed({&byte, 1}));
  EXPECT_EQ(collector.runs, expected);
  EXPECT_TRUE(collector.frames.at_boundary());
}

TEST(Frames, CutAnywhere) {
  for (std::size_t cut = 0; cut <= everything.size(); ++cut) {
    Collector collector;
    EXPECT_TRUE(collector.frames.feed(std::string_view(everything).substr(0, cut)));
    EXPECT_TRUE(collector.frames.feed(std::string_view(everything).substr(cut)));
    EXPECT_EQ(collector.runs, expected) << "cut at " << cut;
  }
}

TEST(Frames, HandsAPayloadOnBeforeItsEnd) {
  Collector collector;
  EXPECT_TRUE(collector.frames.feed(frame(1, "long line").substr(0, 12)));
  EXPECT_EQ(collector.runs.at(0).second, "long");
  EXPECT_FALSE(collector.frames.at_boundary());
}

TEST(Frames, WhatIsNoFrameIsBroken) {
  for (const std::string bytes : {"hello, world", "\x04\0\0\0\0\0\0\x01x", "\x01x\0\0\0\0\0\x01x"}) {
    Collector collector;
    EXPECT_FALSE(collector.frames.feed(std::string(bytes).append(8, 'x')));
    EXPECT_TRUE(collector.frames.broken());
    EXPECT_TRUE(collector.runs.empty());
  }
}

TEST(Frames, StopsWhenTheSinkHasEnough) {
  int calls = 0;
  Frames frames([&](Stream, std::string_view) { return ++calls < 2; });
  EXPECT_FALSE(frames.feed(everything));
  EXPECT_EQ(calls, 2);
  EXPECT_FALSE(frames.broken());
}

TEST(Lines, CutAnywhere) {
  const std::string text = "one\r\n\ntwo\nthree is long\n\r\nlast";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    std::vector<std::string> lines;
    Lines splitter([&](std::string_view line) {
      lines.emplace_back(line);
      return true;
    });
    EXPECT_TRUE(splitter.feed(std::string_view(text).substr(0, cut)));
    EXPECT_TRUE(splitter.feed(std::string_view(text).substr(cut)));
    EXPECT_TRUE(splitter.finish());
    EXPECT_TRUE(splitter.finish());
    EXPECT_EQ(lines, (std::vector<std::string>{"one", "two", "three is long", "last"})) << "cut at " << cut;
  }
}

TEST(Lines, AnEndlessLineEndsIt) {
  Lines splitter([](std::string_view) { return true; });
  const std::string piece(Lines::limit / 4, 'x');
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(splitter.feed(piece));
  EXPECT_FALSE(splitter.feed("x"));
}

}  // namespace
}  // namespace executors::docker
