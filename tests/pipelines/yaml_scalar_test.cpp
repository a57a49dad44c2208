#include "pipelines/yaml_scalar.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string_view>

namespace pipelines {
namespace {

struct Case {
  std::string_view text;
  ScalarType type;
  std::string_view value;  // Ruby's to_s
};

void expect(std::initializer_list<Case> cases) {
  for (const Case& c : cases) {
    EXPECT_EQ(scalar_type(c.text), c.type) << c.text;
    EXPECT_EQ(scalar_to_s(c.text), c.value) << c.text;
  }
}

constexpr auto null = ScalarType::null;
constexpr auto boolean = ScalarType::boolean;
constexpr auto integer = ScalarType::integer;
constexpr auto floating = ScalarType::floating;
constexpr auto string = ScalarType::string;

TEST(Scalars, Words) {
  expect({Case{"", null, ""}, Case{"~", null, ""}, Case{"null", null, ""}, Case{"NULL", null, ""},
          Case{"Null", null, ""}, Case{"nil", string, "nil"}, Case{"yes", boolean, "true"},
          Case{"Yes", boolean, "true"}, Case{"ON", boolean, "true"}, Case{"on", boolean, "true"},
          Case{"true", boolean, "true"}, Case{"no", boolean, "false"}, Case{"off", boolean, "false"},
          Case{"False", boolean, "false"}, Case{"y", string, "y"}, Case{"n", string, "n"},
          Case{"trues", string, "trues"}, Case{"echo hi", string, "echo hi"}});
}

TEST(Scalars, Integers) {
  expect({Case{"0", integer, "0"},
          Case{"12", integer, "12"},
          Case{"-12", integer, "-12"},
          Case{"+12", integer, "12"},
          Case{"012345", integer, "5349"},
          Case{"010", integer, "8"},
          Case{"-017", integer, "-15"},
          Case{"089", string, "089"},
          Case{"0o14", string, "0o14"},
          Case{"0x1F", integer, "31"},
          Case{"0xZZ", string, "0xZZ"},
          Case{"0b101", integer, "5"},
          Case{"0b2", string, "0b2"},
          Case{"1_000", integer, "1000"},
          Case{"1,000", integer, "1000"},
          Case{"1__0", string, "1__0"},
          Case{"1_", string, "1_"},
          Case{"12:30", integer, "45000"},
          Case{"1:02:03", integer, "3723"},
          Case{"-1:30", integer, "-5400"},
          Case{"12:60", string, "12:60"},
          Case{"1:2:3:4", string, "1:2:3:4"},
          Case{"12:", string, "12:"},
          Case{"-", string, "-"},
          Case{"+", string, "+"},
          Case{"0x", string, "0x"},
          Case{"1e5", string, "1e5"},
          Case{"9223372036854775807", integer, "9223372036854775807"},
          Case{"123456789012345678901234567890", integer, "123456789012345678901234567890"}});
}

TEST(Scalars, Floats) {
  expect({Case{"1.10", floating, "1.1"}, Case{"3.0", floating, "3.0"}, Case{"3.", floating, "3.0"},
          Case{".5", floating, "0.5"}, Case{"-0.25", floating, "-0.25"}, Case{"+1.5", floating, "1.5"},
          Case{"1.5e+3", floating, "1500.0"}, Case{"1.5e3", string, "1.5e3"}, Case{".", string, "."},
          Case{"1.2.3", string, "1.2.3"}, Case{"1,000.5", floating, "1000.5"}, Case{".inf", floating, "Infinity"},
          Case{"-.INF", floating, "-Infinity"}, Case{".nan", floating, "NaN"}, Case{"1.0e+20", floating, "1.0e+20"},
          Case{"0.00001", floating, "1.0e-05"}, Case{"v1.2", string, "v1.2"}, Case{"...", string, "..."}});
}

TEST(Scalars, Dates) { expect({Case{"2024-01-31", string, "2024-01-31"}, Case{"10:20:30.5", string, "10:20:30.5"}}); }

TEST(ScalarInteger, IsAbsentBeyond64Bits) {
  EXPECT_EQ(scalar_integer("-42"), -42);
  EXPECT_EQ(scalar_integer("99999999999999999999"), std::nullopt);
  EXPECT_EQ(scalar_integer("99999999999999999999:10"), std::nullopt);
  EXPECT_EQ(scalar_integer("twelve"), std::nullopt);
}

}  // namespace
}  // namespace pipelines
