// The corpus: pipelines with what GitLab's documentation says of them (tests/corpus/README.md has the format).
#include <gmock/gmock.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>

#include "tests/e2e/project.h"

namespace e2e {
namespace {

namespace fs = std::filesystem;

const fs::path corpus = RUNNER_SOURCE_DIR "/tests/corpus";

struct Case {
  std::string name, text, image;
  bool shell = true;
  std::vector<std::string> sources, arguments, expectations, mistakes;
  std::map<std::string, std::string> files, changed;  // the first commit's, and the second's
};

// What follows `prefix`; absent when the text begins otherwise.
std::optional<std::string> after(const std::string& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return std::nullopt;
  return text.substr(prefix.size());
}

// The parts of a text between separators; the whole where there is none.
std::vector<std::string> split(const std::string& text, std::string_view separator) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = text.find(separator, begin)) != std::string::npos; begin = end + separator.size()) {
    parts.push_back(text.substr(begin, end - begin));
  }
  parts.push_back(text.substr(begin));
  return parts;
}

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

// The name of `file NAME:` or `changed NAME:`.
std::optional<std::string> block(const std::string& line, std::string_view kind) {
  const auto rest = after(line, kind);
  if (!rest || !rest->ends_with(':')) return std::nullopt;
  return rest->substr(0, rest->size() - 1);
}

// One line of the header that is not part of a file.
void read_header(Case& read, const std::string& line, std::string*& file) {
  file = nullptr;
  if (const auto source = after(line, "source: ")) {
    read.sources.push_back(*source);
  } else if (const auto arguments = after(line, "args: ")) {
    read.arguments = words(*arguments);
  } else if (const auto expected = after(line, "expect: ")) {
    read.expectations.push_back(*expected);
  } else if (const auto image = after(line, "docker: ")) {
    read.image = *image;
  } else if (line == "only docker") {
    read.shell = false;
  } else if (const auto name = block(line, "file ")) {
    file = &read.files[*name];
  } else if (const auto later = block(line, "changed ")) {
    file = &read.changed[*later];
  } else {
    read.mistakes.push_back(line);
  }
}

Case read_case(const fs::path& path) {
  Case read;
  read.name = (path.parent_path().filename() / path.stem()).string();
  std::ifstream stream(path);
  std::string* file = nullptr;
  bool header = true;
  for (std::string line; std::getline(stream, line);) {
    read.text += line + "\n";
    header = header && line.starts_with('#');
    if (!header) continue;
    if (file != nullptr && (line == "#" || line.starts_with("#   "))) {
      *file += line.substr(std::min<std::size_t>(line.size(), 4)) + "\n";
    } else {
      read_header(read, line.size() > 2 ? line.substr(2) : "", file);
    }
  }
  return read;
}

std::vector<Case> read_corpus() {
  std::vector<Case> cases;
  for (const auto& entry : fs::recursive_directory_iterator(corpus)) {
    if (entry.path().extension() == ".yml") cases.push_back(read_case(entry.path()));
  }
  std::sort(cases.begin(), cases.end(), [](const Case& a, const Case& b) { return a.name < b.name; });
  return cases;
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all = read_corpus();
  return all;
}

std::vector<Case> only(bool (*wanted)(const Case&)) {
  std::vector<Case> some;
  std::copy_if(cases().begin(), cases().end(), std::back_inserter(some), wanted);
  return some;
}

std::string test_name(const testing::TestParamInfo<Case>& info) {
  std::string name = info.param.name;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

void PrintTo(const Case& param, std::ostream* stream) { *stream << param.name; }

// --- what is expected --------------------------------------------------------------------------------------------

// The outcome of the run itself; child pipelines end before it.
std::string outcome_of_run(const Result& result) {
  std::string outcome;
  for (const Json& event : result.events) {
    if (event.value("event", "") == "run_finished") outcome = event.value("outcome", "");
  }
  return outcome;
}

std::set<std::string> jobs_of_run(const Result& result) {
  const int started = result.place("run_started");
  if (started < 0) return {};
  return result.events[static_cast<std::size_t>(started)].value("jobs", std::set<std::string>{});
}

void expect_job(const Result& result, const std::string& what) {
  const std::size_t space = what.rfind(' ');
  ASSERT_NE(space, std::string::npos) << what;
  EXPECT_EQ(result.outcome(what.substr(0, space)), what.substr(space + 1)) << result;
}

void expect_log(const Result& result, const std::string& what) {
  for (const bool there : {true, false}) {
    const auto parts = split(what, there ? " contains " : " lacks ");
    if (parts.size() != 2) continue;
    const std::string printed = result.printed(parts[0]);
    EXPECT_GT(result.count("job_started", parts[0]), 0U) << parts[0] << " did not run\n" << result;
    EXPECT_EQ(printed.find(parts[1]) != std::string::npos, there) << what << "\n" << result;
    return;
  }
  FAIL() << "neither contains nor lacks: " << what;
}

void expect_number(const Result& result, const std::string& what) {
  const auto parts = words(what);
  ASSERT_EQ(parts.size(), 3U) << what;
  if (parts[0] == "attempts") {
    EXPECT_EQ(std::to_string(result.count("job_started", parts[1])), parts[2]) << result;
  } else {
    EXPECT_DOUBLE_EQ(result.finished(parts[1]).value("coverage", -1.0), std::stod(parts[2])) << result;
  }
}

// `before A | B`: A has ended when B starts.
void expect_order(const Result& result, const std::string& what) {
  const auto parts = split(what, " | ");
  ASSERT_EQ(parts.size(), 2U) << what;
  const int ended = result.place("job_finished", parts[0]), started = result.place("job_started", parts[1]);
  EXPECT_GE(ended, 0) << result;
  EXPECT_LT(ended, started) << what << "\n" << result;
}

void expect_refused(const Result& result, const std::string& what) {
  EXPECT_EQ(result.code, 2) << result;
  EXPECT_EQ(result.count("job_started"), 0U) << result;
  EXPECT_THAT(result.out + result.err, testing::HasSubstr(what));
}

void expect(Project& project, const Result& result, const std::string& what) {
  if (const auto outcome = after(what, "outcome ")) {
    EXPECT_EQ(outcome_of_run(result), *outcome) << result;
  } else if (const auto job = after(what, "job ")) {
    expect_job(result, *job);
  } else if (const auto log = after(what, "log ")) {
    expect_log(result, *log);
  } else if (const auto jobs = after(what, "jobs ")) {
    const auto names = split(*jobs, " | ");
    EXPECT_EQ(jobs_of_run(result), std::set<std::string>(names.begin(), names.end())) << result;
  } else if (what == "no pipeline") {
    EXPECT_EQ(result.code, 0) << result;
    EXPECT_EQ(result.count("run_started"), 0U) << result;
  } else if (const auto order = after(what, "before ")) {
    expect_order(result, *order);
  } else if (what.starts_with("attempts ") || what.starts_with("coverage ")) {
    expect_number(result, what);
  } else if (const auto message = after(what, "invalid: ")) {
    expect_refused(result, *message);
  } else if (const auto tag = after(what, "tag ")) {
    EXPECT_EQ(project.git("tag --list"), *tag) << result;
  } else if (what == "no tag") {
    EXPECT_EQ(project.git("tag --list"), "") << result;
  } else if (what == "valid") {
    const Result lint = project.run({"lint", "pipeline.yml"});
    EXPECT_EQ(lint.code, 0) << lint;
  } else {
    FAIL() << "unknown expectation: " << what;
  }
}

bool runs(const Case& param) {
  return std::any_of(param.expectations.begin(), param.expectations.end(),
                     [](const std::string& what) { return what != "valid"; });
}

void check(const Case& param, bool docker) {
  ASSERT_TRUE(param.mistakes.empty()) << "what is this line? " << param.mistakes.front();
  ASSERT_FALSE(param.sources.empty()) << "no source";
  ASSERT_FALSE(param.expectations.empty()) << "no expectation";
  Project project;
  project.pipeline(param.text);
  for (const auto& [name, content] : param.files) project.file(name, content);
  project.commit();
  for (const auto& [name, content] : param.changed) project.file(name, content);
  if (!param.changed.empty()) project.commit("another commit");

  Arguments arguments{"pipeline.yml"};
  arguments.insert(arguments.end(), param.arguments.begin(), param.arguments.end());
  // A folder that all jobs see: there they can wait for each other.
  const fs::path shared = project.home() / "shared";
  fs::create_directory(shared);
  if (param.text.find("$SHARED") != std::string::npos) {
    arguments.insert(arguments.end(), {"--variable", "SHARED=" + shared.string()});
  }
  if (docker) arguments.insert(arguments.end(), {"--image", param.image, "--network", "none"});
  const Result result = !runs(param) ? Result{} : docker ? project.docker(arguments) : project.exec(arguments);
  for (const std::string& what : param.expectations) {
    SCOPED_TRACE(what);
    expect(project, result, what);
  }
}

class Corpus : public testing::TestWithParam<Case> {};
TEST_P(Corpus, Shell) { check(GetParam(), false); }
INSTANTIATE_TEST_SUITE_P(Shell, Corpus, testing::ValuesIn(only([](const Case& param) { return param.shell; })),
                         test_name);

class CorpusInDocker : public testing::TestWithParam<Case> {};
TEST_P(CorpusInDocker, Docker) { check(GetParam(), true); }
INSTANTIATE_TEST_SUITE_P(Docker, CorpusInDocker,
                         testing::ValuesIn(only([](const Case& param) { return !param.image.empty(); })), test_name);

TEST(CorpusItself, IsWhole) {
  EXPECT_GE(cases().size(), 150U);
  EXPECT_GE(10 * only([](const Case& param) { return !param.image.empty(); }).size(), cases().size());
}

}  // namespace
}  // namespace e2e
