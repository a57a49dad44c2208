#include "pipelines/yaml_tree.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "pipelines/findings.h"

namespace pipelines {
namespace {

// One text as a tree. The document is written back in a canonical form, so that a test reads like YAML.
class Loaded {
 public:
  explicit Loaded(std::string text) : text_(std::move(text)) {
    root_ = tree_.load(text_, 0, findings_);
    found_ = findings_.take();
  }

  bool good() const { return root_.has_value(); }
  Yaml root() const { return *root_; }
  const std::vector<Diagnostic>& found() const { return found_; }
  std::string written() const { return good() ? write(*root_) : "refused"; }

  // The only diagnostic as LINE:COLUMN: message.
  std::string refusal() const {
    if (good() || found_.size() != 1) {
      return "not refused by one error";
    }
    const Diagnostic& d = found_[0];
    return std::to_string(d.mark.line) + ":" + std::to_string(d.mark.column) + ": " + d.message;
  }

 private:
  static std::string write(Yaml yaml) {
    std::string out;
    switch (yaml.kind()) {
      case Kind::null:
        return "~";
      case Kind::scalar:
        return std::string(yaml.text());
      case Kind::reference:
      case Kind::sequence:
        for (std::size_t i = 0; i < yaml.size(); ++i) {
          out += (i > 0 ? ", " : "") + write(yaml.item(i));
        }
        return "[" + out + "]";
      case Kind::mapping:
        for (std::size_t i = 0; i < yaml.size(); ++i) {
          out += (i > 0 ? ", " : "") + write(yaml.key(i)) + ": " + write(yaml.value(i));
        }
        return "{" + out + "}";
    }
    return out;
  }

  std::string text_;
  YamlTree tree_;
  Findings findings_;
  std::optional<Yaml> root_;
  std::vector<Diagnostic> found_;
};

std::string place(Yaml yaml) { return std::to_string(yaml.mark().line) + ":" + std::to_string(yaml.mark().column); }

TEST(YamlTree, KeepsScalarsSequencesAndMappings) {
  EXPECT_EQ(Loaded("a: b\nc: [d, 'e''f', \"g\\th\"]\nh:\n  - i\n  -\nj: {k: l}\n").written(),
            "{a: b, c: [d, e'f, g\th], h: [i, ~], j: {k: l}}");
}

TEST(YamlTree, KeepsBlockAndFoldedText) {
  EXPECT_EQ(Loaded("a: |\n  one\n    two\nb: >-\n  one\n  two\nc: one\n  two\n").written(),
            "{a: one\n  two\n, b: one two, c: one two}");
}

TEST(YamlTree, MarksCountFromOne) {
  const Loaded loaded("a: b\nlist:\n  - x\n  - &anchor y\nempty:\nother: \"q\"\n");
  EXPECT_EQ(place(loaded.root()), "1:1");
  EXPECT_EQ(place(loaded.root().key(1)), "2:1");
  EXPECT_EQ(place(loaded.root().find("list").item(0)), "3:5");
  EXPECT_EQ(place(loaded.root().find("list").item(1)), "4:5");
  EXPECT_EQ(place(loaded.root().find("empty")), "5:1") << "an absent value stands at its key, not at the next one";
  EXPECT_EQ(place(loaded.root().find("other")), "6:8");
}

TEST(YamlTree, AnAbsentItemStandsAtItsDash) {
  const Loaded loaded("a:\n  - x\n  -\n  # comment\n\n  - y\n");
  EXPECT_EQ(place(loaded.root().find("a").item(1)), "6:3") << "a comment between hides the dash";
  EXPECT_EQ(place(Loaded("a:\n  -\n  - y\n").root().find("a").item(0)), "2:3");
}

TEST(YamlTree, MarksOfBytesWithinAScalar) {
  const Loaded loaded("a: word\nb: 'quoted'\nc: &x !!str tagged\nd: \"esc\\taped\"\ne: |\n  block\n");
  const auto at = [&](const char* key, std::size_t offset) {
    const Mark mark = loaded.root().find(key).mark_at(offset);
    return std::to_string(mark.line) + ":" + std::to_string(mark.column);
  };
  EXPECT_EQ(at("a", 2), "1:6");
  EXPECT_EQ(at("b", 2), "2:7");
  EXPECT_EQ(at("c", 1), "3:14");
  EXPECT_EQ(at("d", 5), "4:4") << "escapes: the scalar's own place";
  EXPECT_EQ(at("e", 3), "5:4") << "blocks: the scalar's own place";
  EXPECT_EQ(at("a", 99), "1:8") << "never beyond the text";
}

TEST(YamlTree, TypesFollowQuotesAndTags) {
  const Loaded loaded("[12, '12', \"yes\", yes, !!str 12, !!int 12, ~, '~', |-\n12\n]");
  ASSERT_FALSE(loaded.good()) << "a block scalar cannot stand in a flow list";
  const Loaded list("- 12\n- '12'\n- \"yes\"\n- yes\n- !!str 12\n- !!int 12\n- ~\n- '~'\n- ! 12\n- |-\n  12\n");
  const std::vector<ScalarType> types = {
      ScalarType::integer, ScalarType::string, ScalarType::string, ScalarType::boolean, ScalarType::string,
      ScalarType::integer, ScalarType::null,   ScalarType::string, ScalarType::string,  ScalarType::string};
  ASSERT_EQ(list.root().size(), types.size());
  for (std::size_t i = 0; i < types.size(); ++i) {
    EXPECT_EQ(list.root().item(i).type(), types[i]) << i;
  }
}

TEST(YamlTree, AliasesShareTheirNode) {
  const Loaded loaded("a: &a [x, y]\nb: *a\nc: [*a]\n");
  EXPECT_EQ(loaded.written(), "{a: [x, y], b: [x, y], c: [[x, y]]}");
  EXPECT_EQ(loaded.root().find("a").index(), loaded.root().find("b").index());
}

TEST(YamlTree, AnAnchorCanBeGivenAgain) {
  EXPECT_EQ(Loaded("a: &x 1\nb: *x\nc: &x 2\nd: *x\n").written(), "{a: 1, b: 1, c: 2, d: 2}");
}

TEST(YamlTree, MergeKeysTakeTheirPlace) {
  EXPECT_EQ(Loaded(".a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n  z: 4\n").written(),
            "{.a: {x: 1, y: 2}, b: {x: 1, y: 3, z: 4}}");
}

TEST(YamlTree, OfAListOfMergesTheFirstWins) {
  EXPECT_EQ(Loaded("a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b]}\n").root().find("c").find("x").text(), "1");
}

TEST(YamlTree, ALaterMergeWinsOverAnEarlier) {
  const Loaded loaded("a: &a {x: 1}\nb: &b {x: 2}\nc:\n  <<: *a\n  <<: *b\n");
  EXPECT_EQ(loaded.root().find("c").find("x").text(), "2");
  EXPECT_TRUE(loaded.found().empty()) << "two `<<` are no duplicate key";
}

TEST(YamlTree, AMergeBelowAKeyReplacesItWithAWarning) {
  const Loaded loaded("a: &a {x: 1}\nb:\n  x: 2\n  <<: *a\n");
  EXPECT_EQ(loaded.root().find("b").find("x").text(), "1");
  ASSERT_EQ(loaded.found().size(), 1U);
  EXPECT_EQ(loaded.found()[0].severity, Severity::warning);
  EXPECT_EQ(loaded.found()[0].message, "`<<` replaces the key \"x\" that stands above it");
}

TEST(YamlTree, OfDuplicateKeysTheLastWinsAndBothPlacesAreNamed) {
  const Loaded loaded("a: 1\nb: 2\na: 3\n");
  EXPECT_EQ(loaded.written(), "{a: 3, b: 2}");
  ASSERT_EQ(loaded.found().size(), 1U);
  EXPECT_EQ(loaded.found()[0].severity, Severity::warning);
  EXPECT_EQ(loaded.found()[0].mark, (Mark{0, 3, 1}));
  EXPECT_EQ(loaded.found()[0].others, (std::vector<Mark>{{0, 1, 1}}));
}

TEST(YamlTree, FindsDuplicatesInBigMappings) {
  std::string text;
  for (int i = 0; i < 100; ++i) {
    text += "k" + std::to_string(i) + ": 1\n";
  }
  EXPECT_TRUE(Loaded(text).found().empty());
  EXPECT_EQ(Loaded(text + "k7: 2\n").found().size(), 1U);
  EXPECT_EQ(Loaded(text + "k7: 2\n").root().size(), 100U);
}

TEST(YamlTree, MakesMappingsThatShareNodes) {
  const std::string text = "a: 1\nb: [2]\n";
  YamlTree tree;
  Findings findings;
  const Yaml root = *tree.load(text, 0, findings);
  const YamlTree::Entry entries[] = {{root.key(1).index(), root.value(1).index()}};
  const std::optional<Yaml> made = tree.make_mapping({0, 9, 9}, entries);
  ASSERT_TRUE(made);
  EXPECT_EQ(made->find("b").index(), root.find("b").index());
  EXPECT_EQ(made->weight(), 32 + 33 + root.find("b").weight());
}

TEST(YamlTree, TextsOfSeveralSourcesLiveTogether) {
  const std::string first = "a: 1\n";
  const std::string second = "\n b: 22\n";
  YamlTree tree;
  Findings findings;
  const Yaml one = *tree.load(first, 0, findings);
  const Yaml two = *tree.load(second, 1, findings);
  EXPECT_EQ(one.find("a").text(), "1");
  EXPECT_EQ(two.find("b").mark(), (Mark{1, 2, 5}));
  EXPECT_EQ(two.find("b").mark_at(1), (Mark{1, 2, 6}));
}

// --- refusals --------------------------------------------------------------------------------------------------------

struct Refused {
  std::string text;
  std::string says;
};

// Each by one error, at the right place.
void refuses(const std::vector<Refused>& texts) {
  for (const Refused& refused : texts) {
    EXPECT_EQ(Loaded(refused.text).refusal(), refused.says) << refused.text;
  }
}

TEST(Refusals, Text) {
  refuses({Refused{"", "0:0: the file is empty"}, Refused{"---\n", "0:0: the file is empty"},
           Refused{"~\n", "0:0: the file is empty"},
           Refused{std::string("a: b\nc: \0d", 11), "2:4: a NUL byte is not allowed in YAML"},
           Refused{"a: \x04", "1:4: the control character 0x04 is not allowed in YAML"},
           Refused{"a: \x1b[0m", "1:4: the control character 0x1B is not allowed in YAML"},
           Refused{"a: \x7f", "1:4: the control character 0x7F is not allowed in YAML"},
           Refused{"a: \xC2\x80", "1:4: the control character 0x80 is not allowed in YAML"},
           Refused{"a: b\n \xFF", "2:2: invalid UTF-8: byte 0xFF"},
           Refused{"a: \xC0\xAF", "1:4: invalid UTF-8: byte 0xC0"},
           Refused{"a: \xED\xA0\x80", "1:4: invalid UTF-8: byte 0xED"},
           Refused{"a: \xF4\x90\x80\x80", "1:4: invalid UTF-8: byte 0xF4"},
           Refused{"a: \xE2\x82", "1:4: invalid UTF-8: byte 0xE2"},
           Refused{"\xFF\xFE"
                   "a",
                   "1:1: invalid UTF-8: byte 0xFF"}});
}

TEST(Refusals, Tabs) {
  refuses({Refused{"a:\n\tb: 1\n", "2:1: a tab cannot indent YAML"},
           Refused{"a:\n  b: 1\n \tc: 1\n", "3:2: a tab cannot indent YAML"},
           Refused{"a:\n\tb\n", "2:1: a tab cannot indent YAML"},
           Refused{"a:\n\t- b\n", "2:1: a tab cannot indent YAML"},
           Refused{"a: |\n  x\n\ty\n", "3:1: a tab cannot indent YAML"}});
}

TEST(YamlTree, TabsElsewhereAreAllowed) {
  EXPECT_EQ(Loaded("a: |\n  x\n  \ty\n").written(), "{a: x\n\ty\n}");
  EXPECT_EQ(Loaded("a:\tb\n").written(), "{a: b}");
  EXPECT_EQ(Loaded("a: {\n\tb: c\n}\n").written(), "{a: {b: c}}");
}

TEST(Refusals, Quotes) {
  refuses({Refused{"a: \"b", "1:6: a quoted string is not closed"},
           Refused{"a: \"b\n", "1:4: a quoted string is not closed"},
           Refused{"a: 'it''s\n", "1:4: a quoted string is not closed"},
           Refused{"a: &x 'b\n", "1:4: a quoted string is not closed"}});
}

TEST(YamlTree, ClosedQuotesAtTheEndAreFine) {
  EXPECT_EQ(Loaded("a: \"b\\\"\"").written(), "{a: b\"}");
  EXPECT_EQ(Loaded("a: 'b'''").written(), "{a: b'}");
  EXPECT_EQ(Loaded("a: !!str 'b' # it's\n").written(), "{a: b}");
}

TEST(Refusals, Documents) {
  refuses({Refused{"a: 1\n---\nb: 2\n", "2:1: a second YAML document begins here"},
           Refused{"a: 1\n---\n---\n", "2:1: a second YAML document begins here"},
           Refused{"spec:\n  inputs:\n---\nb: 2\n", "3:1: a second YAML document begins here"}});
}

TEST(YamlTree, OneDocumentMayHaveItsMarks) {
  EXPECT_EQ(Loaded("%YAML 1.1\n---\na: 1\n...\n").written(), "{a: 1}");
  EXPECT_EQ(Loaded("a: 1\n---\n").written(), "{a: 1}");
}

TEST(Refusals, Anchors) {
  refuses({Refused{"a: *b\n", "1:4: this alias has no anchor above it"},
           Refused{"a: &a [*a]\n", "1:8: this alias stands inside the very value it names"},
           Refused{"a: &a\n  b:\n    c: *a\n", "3:8: this alias stands inside the very value it names"},
           Refused{"<<: x\n", "1:5: `<<` can only merge mappings"},
           Refused{"<<:\n", "1:1: `<<` can only merge mappings"},
           Refused{"a: !custom b\n", "1:4: unknown tag `!custom`"},
           Refused{"a: !reference b\n", "1:4: `!reference` must stand before a list of names"}});
}

TEST(Refusals, Keys) {
  refuses({Refused{"{a: b}: c\n", "1:1: a mapping cannot be a key"}, Refused{"[a]: c\n", "1:1: a list cannot be a key"},
           Refused{"a: {{ b }}\n", "1:5: a mapping cannot be a key"},
           Refused{"~: c\n", "1:1: a key is missing before `:`"}});
}

// What yaml-cpp says is never shown as it is.
TEST(Refusals, Syntax) {
  refuses({Refused{"a: b: c\n", "1:5: a `: ` cannot stand here"},
           Refused{"a: @b\n", "1:4: no YAML value can begin with this character"},
           Refused{"a: [b\n", "2:1: `[` is not closed here"}, Refused{"a: {b\n", "2:1: `{` is not closed here"},
           Refused{"a: b}\n- c\n", "2:1: this line does not fit the mapping it stands in"},
           Refused{"- a\nb: c\n", "2:1: this line does not fit what stands above it"},
           Refused{"a: - b\n", "1:4: a list item (`- `) cannot stand here"},
           Refused{"a: \"\\q\"\n", "1:5: unknown escape `\\q` in a double-quoted string"},
           Refused{"a: \"\\xZZ\"\n", "1:5: this escape needs hexadecimal digits"},
           Refused{"a: |x\n", "1:5: nothing but a comment may follow `|` or `>` on its line"},
           Refused{"a: &\n", "1:5: `&` names no anchor"}, Refused{"a: *\n", "1:5: `*` names no anchor"},
           Refused{"a: &a &b c\n", "1:7: two anchors (`&name`) stand on one value"}});
}

// --- bombs: each is refused by one error, long before it could hurt --------------------------------------------------

std::string repeat(std::string_view text, std::size_t times) {
  std::string out;
  out.reserve(text.size() * times);
  for (std::size_t i = 0; i < times; ++i) {
    out += text;
  }
  return out;
}

class Quickly : public testing::Test {
 protected:
  // Generous: sanitizers and a busy machine. Without its budget each of these takes minutes or all memory.
  void refused_with(const std::string& text, const std::string& says) {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(Loaded(text).refusal(), says);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  }
};

TEST_F(Quickly, TooLarge) { refused_with(std::string(100'000'000, 'a'), "0:0: the file is larger than 10 MB"); }

TEST_F(Quickly, AliasBomb) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 30; ++i) {
    const std::string below = "*a" + std::to_string(i - 1) + ", ";
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + repeat(below, 9) + "x]\n";
  }
  refused_with(text, "7:5: the aliases in this value expand to far too much");
}

TEST_F(Quickly, AliasesOfLongText) {
  refused_with("a: &a " + std::string(1'000'000, 'x') + "\nb: [" + repeat("*a,", 1000) + "]\n",
               "2:4: the aliases in this value expand to far too much");
}

TEST_F(Quickly, AliasChain) {
  std::string text = "a0: &a0 [x]\n";
  for (int i = 1; i < 5000; ++i) {
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" + std::to_string(i - 1) + "]\n";
  }
  refused_with(text, "101:7: the document is nested too deeply");
}

TEST_F(Quickly, MergeBomb) {
  std::string text = "a: &a {";
  for (int i = 0; i < 3000; ++i) {
    text += "k" + std::to_string(i) + ": 1, ";
  }
  text += "z: 1}\n";
  for (int i = 0; i < 3000; ++i) {
    text += "j" + std::to_string(i) + ": {<<: *a}\n";
  }
  refused_with(text, "1334:9: the merge keys (`<<`) of this file copy far too much");
}

TEST_F(Quickly, Brackets) {
  const Loaded loaded(std::string(9'000'000, '['));
  ASSERT_EQ(loaded.found().size(), 1U);
  EXPECT_EQ(loaded.found()[0].message, "the document is nested too deeply");
}

TEST_F(Quickly, Nesting) {
  refused_with(repeat("- ", 100'000), "1:201: the document is nested too deeply");
  refused_with("a: " + repeat("{a: ", 500), "1:400: the document is nested too deeply");
  EXPECT_TRUE(Loaded(repeat("[", 100) + repeat("]", 100)).good()) << "100 levels are allowed";
  EXPECT_FALSE(Loaded(repeat("[", 101) + repeat("]", 101)).good());
}

TEST_F(Quickly, TooManyValues) {
  const Loaded loaded("a: [" + repeat(",\n", 2'200'000) + "]");
  ASSERT_EQ(loaded.found().size(), 1U);
  EXPECT_EQ(loaded.found()[0].message, "the file has too many values");
}

TEST_F(Quickly, Documents) { refused_with(repeat("---\n", 1'000'000), "2:1: a second YAML document begins here"); }

}  // namespace
}  // namespace pipelines
