// Every keyword of the tables stands in a pipeline of tests/corpus or has a test named after it: a new one without
// either fails here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "pipelines/findings.h"
#include "pipelines/keywords.h"
#include "pipelines/schema.h"
#include "pipelines/yaml_tree.h"

namespace pipelines {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Path = std::vector<std::string>;  // {"cache", "key", "files"}; "*" is a name that the author chooses

const fs::path tests = RUNNER_SOURCE_DIR "/tests";

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The keywords below one schema, from the parser's own tables.
class Keywords {
 public:
  explicit Keywords(const json& schema) : schema_(schema) {
    collect(schema.at("definitions").at("job"), {});
    collect({{"properties", schema.at("properties")}}, {});
  }
  const std::set<Path>& all() const { return paths_; }

 private:
  void collect(const json& shape, const Path& path) {
    if (!shape.is_object()) return;
    if (const auto ref = shape.find("$ref"); ref != shape.end()) {
      const std::string name = *ref;
      if (std::find(open_.begin(), open_.end(), name) != open_.end()) return;
      open_.push_back(name);
      collect(schema_.at(json::json_pointer(name.substr(1))), path);
      open_.pop_back();
    }
    if (const auto properties = shape.find("properties"); properties != shape.end()) {
      for (const auto& [name, value] : properties->items()) add(name, value, path);
    }
    for (const char* several : {"anyOf", "oneOf", "allOf"}) {
      if (const auto found = shape.find(several); found != shape.end()) {
        for (const json& one : *found) collect(one, path);
      }
    }
    if (const auto items = shape.find("items"); items != shape.end()) collect(*items, path);
    if (const auto others = shape.find("additionalProperties"); others != shape.end() && others->is_object()) {
      Path below = path;
      below.emplace_back("*");
      collect(*others, below);
    }
  }

  void add(const std::string& name, const json& shape, const Path& path) {
    Path longer = path;
    longer.push_back(name);
    paths_.insert(longer);
    collect(shape, longer);
  }

  const json& schema_;
  std::vector<std::string> open_;
  std::set<Path> paths_;
};

// Whether a value has the keyword; lists are looked through.
bool has(Yaml yaml, const Path& path, std::size_t from) {
  if (from == path.size()) return true;
  if (yaml.is_sequence()) {
    for (std::size_t i = 0; i < yaml.size(); ++i) {
      if (has(yaml.item(i), path, from)) return true;
    }
    return false;
  }
  for (std::size_t i = 0; yaml.is_mapping() && i < yaml.size(); ++i) {
    if ((path[from] == "*" || yaml.key(i).text() == path[from]) && has(yaml.value(i), path, from + 1)) return true;
  }
  return false;
}

// A file's own keyword or one of a job, hidden ones and `default` included.
bool uses(Yaml file, const Path& path) {
  if (has(file, path, 0)) return true;
  for (std::size_t i = 0; i < file.size(); ++i) {
    const bool job = !is_global_keyword(file.key(i).text()) || file.key(i).text() == "default";
    if (job && has(file.value(i), path, 0)) return true;
  }
  return false;
}

class Corpus {
 public:
  Corpus() {
    for (const auto& entry : fs::recursive_directory_iterator(tests / "corpus")) {
      if (entry.path().extension() != ".yml") continue;
      texts_.push_back(read_file(entry.path()));
      Findings findings;
      Yaml header;
      if (const auto root = trees_.emplace_back().load(texts_.back(), 0, findings, &header)) files_.push_back(*root);
    }
  }
  bool uses(const Path& path) const {
    return std::any_of(files_.begin(), files_.end(), [&](Yaml file) { return pipelines::uses(file, path); });
  }
  std::size_t size() const { return files_.size(); }

 private:
  std::deque<std::string> texts_;
  std::deque<YamlTree> trees_;
  std::vector<Yaml> files_;
};

std::string letters(std::string_view text) {
  std::string plain;
  for (const unsigned char c : text) {
    if (std::isalnum(c) != 0) plain += static_cast<char>(std::tolower(c));
  }
  return plain;
}

// "suitename" for each test in the sources, in small letters.
std::vector<std::string> test_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(tests)) {
    if (entry.path().extension() != ".cpp") continue;
    const std::string text = read_file(entry.path());
    for (std::size_t at = text.find("\nTEST"); at != std::string::npos; at = text.find("\nTEST", at + 1)) {
      const std::size_t open = text.find('(', at), close = text.find(')', at);
      if (open < close && close != std::string::npos) names.push_back(letters(text.substr(open, close - open)));
    }
  }
  return names;
}

// The test's name has all the words of the path, in their order.
bool names_it(const std::string& test, const Path& path) {
  std::size_t at = 0;
  for (const std::string& part : path) {
    if (part == "*") continue;
    const std::string word = letters(part);
    at = test.find(word, at);
    if (at == std::string::npos) return false;
    at += word.size();
  }
  return true;
}

std::string text_of(const Path& path) {
  std::string text;
  for (const std::string& part : path) text += (text.empty() ? "" : ":") + part;
  return text;
}

// Refused for now: nothing of theirs can stand in a pipeline.
bool is_refused(const Path& path) {
  if (path.front() == "run" && path.size() == 2) {
    constexpr std::string_view loaded[] = {"step", "func", "action", "inputs"};
    if (std::find(std::begin(loaded), std::end(loaded), path[1]) != std::end(loaded)) return true;
  }
  const auto keywords = job_keywords();
  const std::string& keyword = path.front() == "default" && path.size() > 1 ? path[1] : path.front();
  return std::any_of(keywords.begin(), keywords.end(), [&](const JobKeyword& row) {
    return row.field.name == keyword && row.field.support == Support::refused;
  });
}

// Of the same tables as a keyword that is asked for: what is below a keyword in `default`, and what a variable may be.
bool is_repetition(const Path& path) {
  const bool variable = path.size() > 3 && path[path.size() - 2] == "*" && path[path.size() - 3] == "variables";
  return variable || (path.front() == "default" && path.size() > 2);
}

// Not GitLab's, so that no case from its documentation can have it; see its own tests.
bool is_ours(const Path& path) { return path.back() == "masked"; }

TEST(KeywordCases, EveryKeywordHasACaseOrATestNamedAfterIt) {
  const json document = json::parse(schema());
  const Keywords keywords(document);
  const Corpus corpus;
  const std::vector<std::string> names = test_names();
  ASSERT_GT(keywords.all().size(), 100U);
  ASSERT_GT(corpus.size(), 150U);
  ASSERT_GT(names.size(), 500U);
  std::vector<std::string> missing;
  for (const Path& path : keywords.all()) {
    const bool named = std::any_of(names.begin(), names.end(), [&](const auto& name) { return names_it(name, path); });
    if (is_refused(path) || is_repetition(path) || is_ours(path)) continue;
    if (!corpus.uses(path) && !named) missing.push_back(text_of(path));
  }
  EXPECT_THAT(missing, testing::IsEmpty())
      << "write a case in tests/corpus, from the documentation, or a test with the "
         "keyword in its name";
}

TEST(KeywordCases, AKeywordWithoutACaseIsFound) {
  const Corpus corpus;
  EXPECT_TRUE(corpus.uses({"cache", "key", "files"}));
  EXPECT_TRUE(corpus.uses({"variables", "*", "expand"}));
  EXPECT_TRUE(corpus.uses({"workflow", "rules", "if"}));
  EXPECT_FALSE(corpus.uses({"cache", "key", "folders"}));
  EXPECT_FALSE(corpus.uses({"rules", "paths"}));
  EXPECT_TRUE(names_it("cachetestpolicyandfallbackkeys", {"cache", "fallback_keys"}));
  EXPECT_FALSE(names_it("cachetestpolicyandfallbackkeys", {"fallback_keys", "cache"}));
}

}  // namespace
}  // namespace pipelines
