#include "pipelines/masked_values.h"

#include <gtest/gtest.h>

#include "pipelines/parse.h"

namespace pipelines {
namespace {

using Values = std::vector<std::pair<std::string, std::string>>;

constexpr const char* text = R"(
variables:
  A: {value: "one \"quoted\"", masked: true}
  B: {value: seen, masked: false}
.hidden:
  variables:
    C:
      value: >-
        folded
        text
      masked: yes
job:
  variables: {A: {value: 0x10, masked: true}, D: plain}
  script: [echo, "folded text"]
)";

TEST(MaskedValues, AreFoundWhereverTheyStand) {
  EXPECT_EQ(masked_values(text), (Values{{"A", "one \"quoted\""}, {"C", "folded text"}, {"A", "16"}}));
  EXPECT_EQ(masked_values("masked: ["), Values{});
  EXPECT_EQ(masked_values("a: {value: 1}"), Values{});
}

TEST(MaskedValues, RewritingNothingIsTheSamePipeline) {
  const auto same = rewrite_scalars(text, [](std::string_view scalar) { return std::string(scalar); });
  ASSERT_TRUE(same);
  EXPECT_EQ(masked_values(*same), masked_values(text));
  EXPECT_EQ(preview(*same, "a", Context{}, PreviewForm::json).text,
            preview(text, "a", Context{}, PreviewForm::json).text);
}

TEST(MaskedValues, RewritingChangesScalarsAndNothingElse) {
  const auto changed = rewrite_scalars("a: {b: [x, 10]}\nx: !reference [x, y]\n", [](std::string_view scalar) {
    return scalar == "x" ? std::string("\x02z\n") : std::string(scalar);
  });
  EXPECT_EQ(changed,
            "a:\n  b:\n    - \"\\u0002z\\n\"\n    - 10\n\"\\u0002z\\n\": !reference [\"\\u0002z\\n\", \"y\"]\n");
}

}  // namespace
}  // namespace pipelines
