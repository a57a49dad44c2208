#include "executors/docker/pull_progress.h"

#include <gtest/gtest.h>

namespace executors::docker {
namespace {

TEST(PullProgress, IsOneLineForPeople) {
  PullSummary summary("node:18");
  const auto add = [&](std::string_view line) { return summary.add(parse_pull_message(line)); };
  EXPECT_EQ(summary.text(), "pulling node:18");
  EXPECT_FALSE(add(R"({"status":"Pulling from library/node","id":"18"})"));
  EXPECT_EQ(summary.text(), "pulling node:18");
  EXPECT_TRUE(add(R"({"status":"Pulling fs layer","progressDetail":{},"id":"a"})"));
  EXPECT_EQ(summary.text(), "pulling node:18: 0 of 1 layer, 0 %");
  EXPECT_TRUE(add(R"({"status":"Already exists","progressDetail":{},"id":"b"})"));
  EXPECT_EQ(summary.text(), "pulling node:18: 1 of 2 layers, 50 %");
  // The layer proves large: what was shown is not taken back.
  EXPECT_FALSE(add(R"({"status":"Downloading","progressDetail":{"current":1,"total":104857600},"id":"a"})"));
  EXPECT_EQ(summary.text(), "pulling node:18: 1 of 2 layers, 50 %");
  EXPECT_TRUE(add(R"({"status":"Downloading","progressDetail":{"current":94371840,"total":104857600},"id":"a"})"));
  EXPECT_EQ(summary.text(), "pulling node:18: 1 of 2 layers, 63 %");
  EXPECT_TRUE(add(R"({"status":"Download complete","progressDetail":{},"id":"a"})"));
  EXPECT_TRUE(add(R"({"status":"Extracting","progressDetail":{"current":52428800,"total":104857600},"id":"a"})"));
  EXPECT_EQ(summary.text(), "pulling node:18: 1 of 2 layers, 85 %");
  EXPECT_TRUE(add(R"({"status":"Extracting","progressDetail":{"current":104857600,"total":104857600},"id":"a"})"));
  EXPECT_EQ(summary.text(), "pulling node:18: 1 of 2 layers, 99 %");
  EXPECT_TRUE(add(R"({"status":"Pull complete","progressDetail":{},"id":"a"})"));
  EXPECT_EQ(summary.text(), "pulling node:18: 2 of 2 layers, 100 %");
  EXPECT_FALSE(add(R"({"status":"Digest: sha256:abc"})"));
  EXPECT_FALSE(add(R"({"status":"Status: Downloaded newer image for node:18"})"));
}

TEST(PullProgress, ReadsErrors) {
  EXPECT_EQ(parse_pull_message(R"({"errorDetail":{"message":"the long one"},"error":"short"})").error, "the long one");
  EXPECT_EQ(parse_pull_message(R"({"error":"short"})").error, "short");
}

TEST(PullProgress, ForgivesWhatItDoesNotKnow) {
  for (const char* line :
       {"", "garbage", "[]", "null", "1", R"({"status":5,"id":[],"progressDetail":7})", R"({"error":{}})",
        "{\"status\":\"\xff\"}", R"({"status":"Downloading","id":"a","progressDetail":{"current":-5,"total":"x"}})",
        R"({"status":"Downloading","id":"a","progressDetail":{"current":1e300,"total":-1}})"}) {
    PullSummary summary("x");
    summary.add(parse_pull_message(line));
    EXPECT_EQ(parse_pull_message(line).error, "") << line;
  }
}

}  // namespace
}  // namespace executors::docker
