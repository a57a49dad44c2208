#include "pipelines/duration.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace pipelines {
namespace {

using namespace std::chrono_literals;

TEST(Duration, ReadsWhatGitLabsDocumentationShows) {
  const std::vector<std::pair<std::string, std::chrono::seconds>> cases = {
      {"3600 seconds", 1h},
      {"60 minutes", 1h},
      {"one hour", 1h},
      {"one", 1s},
      {"Two weeks and thirty minutes", 14 * 24h + 30min},
      {"3h 30m", 3h + 30min},
      {"3h30m", 3h + 30min},
      {"2h20min", 2h + 20min},
      {"2 hrs 20 min", 2h + 20min},
      {"3 mins 4 sec", 3min + 4s},
      {"1 week", 168h},
      {"1 day", 24h},
      {"6 mos 1 day", 181 * 24h},
      {"1 mo", 30 * 24h},
      {"47 yrs 6 mos and 4d", 47 * 31557600s + 184 * 24h},
      {"3 weeks and 2 days", 23 * 24h},
      {"1 hour, 30 minutes", 1h + 30min},
      {"1 Hour 30 MINUTES", 1h + 30min},
      {"42", 42s},
      {"  10  ", 10s},
      {"0", 0s},
      {"-5 minutes", -5min},
      {"1.5 hours", 90min},
      {"0.5", 1s},
      {"1:30:00", 90min},
      {"2:30", 2min + 30s},
  };
  for (const auto& [text, expected] : cases) {
    const auto value = parse_duration(text);
    EXPECT_EQ(value.value_or(-1s), expected) << text;
  }
}

TEST(Duration, RefusesEverythingElse) {
  for (const std::string text : {"",
                                 " ",
                                 "never",
                                 "1 fortnight",
                                 "h",
                                 "1h 30",
                                 "30 1h",
                                 "1h 30m x",
                                 "1.2.3 h",
                                 ".",
                                 "-",
                                 "1e5 s",
                                 "1 hour and",
                                 "1:2:3:4",
                                 "1:",
                                 ":30",
                                 "99999999999999999999999 y",
                                 "999999999 years",
                                 "1 h\xC3\xA9",
                                 "nan",
                                 "inf",
                                 "0x10"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
  EXPECT_FALSE(parse_duration(std::string_view("1\0h", 3)));
}

}  // namespace
}  // namespace pipelines
