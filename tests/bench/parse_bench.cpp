// Parsing and planning against yaml-cpp's bare event pass over the same text (the floor of whoever uses yaml-cpp).
//
//   parse_bench [ROUNDS] [--write FILE JOBS]
//
// 2,000 and 20,000 generated jobs; the sides and the sizes take turns, so that what the machine does besides hits all.
// Medians of ROUNDS (default 9; three of 2,000 jobs beside each of 20,000), the ratio to the floor, the growth from
// 2,000 to 20,000, and the most memory the process had.
#include <fmt/format.h>
#include <sys/resource.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "pipelines/parse.h"
#include "pipelines/plan.h"

namespace {

using pipelines::Facts;
using pipelines::Parsed;
using pipelines::Plan;
using pipelines::Trigger;

// A pipeline as a big monorepo's generator writes it: templates, stages, needs, rules, variables, scripts.
std::string generate(int jobs) {
  std::string text = R"(stages: [build, test, package, deploy]

variables:
  REGISTRY: registry.example.com/group
  BUILD_TYPE: release

default:
  image: alpine:3.20
  retry: 1
  interruptible: true

.base:
  before_script:
    - apk add --no-cache make git
    - git config --global --add safe.directory "$CI_PROJECT_DIR"
  variables:
    CACHE_DIR: .cache
  artifacts:
    expire_in: 1 week
    paths:
      - out/

)";
  constexpr std::string_view stages[] = {"build", "test", "package", "deploy"};
  for (int i = 0; i < jobs; ++i) {
    const int component = i / 4;
    const int stage = i % 4;
    text += fmt::format("{}-component-{}:\n  extends: .base\n  stage: {}\n", stages[stage], component, stages[stage]);
    text += fmt::format("  variables:\n    COMPONENT: component-{}\n    LEVEL: \"{}\"\n", component, stage);
    if (stage > 0) {
      text += fmt::format("  needs:\n    - {}-component-{}\n", stages[stage - 1], component);
    }
    text += fmt::format(
        "  script:\n    - echo \"{} of component {}\"\n    - make -C components/{} {}\n    - |\n"
        "      if [ -n \"$VERBOSE\" ]; then\n        cat out/log.txt\n      fi\n",
        stages[stage], component, component, stages[stage]);
    text += fmt::format(
        "  rules:\n    - if: $CI_COMMIT_BRANCH == \"main\"\n    - if: $CI_PIPELINE_SOURCE == \"merge_request_event\"\n"
        "      changes:\n        - components/{}/**/*\n\n",
        component);
  }
  return text;
}

class Nothing : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override { ++events; }
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override { ++events; }
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override { ++events; }
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    ++events;
  }
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    ++events;
  }
  void OnMapEnd() override {}
  std::size_t events = 0;
};

void bare_events(const std::string& text) {
  Nothing nothing;
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  while (parser.HandleNextDocument(nothing)) {
  }
  if (nothing.events == 0) {
    std::abort();
  }
}

Parsed parse_all(const std::string& text, int jobs) {
  Parsed parsed = pipelines::parse(text, "bench.yml");
  if (parsed.pipeline.jobs.size() != static_cast<std::size_t>(jobs) || pipelines::has_errors(parsed.diagnostics)) {
    fmt::print(stderr, "{}", pipelines::render(parsed.diagnostics, parsed.sources, false));
    std::exit(1);
  }
  return parsed;
}

void parse_and_plan(const std::string& text, int jobs) {
  const Parsed parsed = parse_all(text, jobs);
  Trigger trigger;
  trigger.variables.set("CI_COMMIT_BRANCH", "main", pipelines::Precedence::predefined);
  const Plan plan = pipelines::make_plan(parsed.pipeline, trigger, Facts{});
  if (plan.included_count() != static_cast<std::size_t>(jobs)) {
    std::exit(1);
  }
}

double seconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

// One size of pipeline, and what each pass over it took, round by round.
class Case {
 public:
  explicit Case(int jobs) : jobs_(jobs), text_(generate(jobs)) {}

  void measure() {
    floor_.push_back(seconds([this] { bare_events(text_); }));
    parse_.push_back(seconds([this] { parse_all(text_, jobs_); }));
    both_.push_back(seconds([this] { parse_and_plan(text_, jobs_); }));
  }

  void print() const {
    const double floor = median(floor_);
    fmt::print(
        "{:6} jobs, {:5.2f} MB: events {:7.4f} s; parse {:7.4f} s, {:.2f} of it; parse and plan {:7.4f} s, {:.2f} of "
        "it\n",
        jobs_, static_cast<double>(text_.size()) / 1e6, floor, median(parse_), median(parse_) / floor, median(both_),
        median(both_) / floor);
  }

  const std::vector<double>& floor() const { return floor_; }
  const std::vector<double>& both() const { return both_; }

 private:
  int jobs_;
  std::string text_;
  std::vector<double> floor_;
  std::vector<double> parse_;
  std::vector<double> both_;
};

// How many times as long a round of `large` took as the rounds of `small` beside it.
double growth(const std::vector<double>& large, const std::vector<double>& small) {
  const std::size_t beside = small.size() / large.size();
  std::vector<double> ratios;
  for (std::size_t round = 0; round < large.size(); ++round) {
    const auto first = small.begin() + static_cast<std::ptrdiff_t>(round * beside);
    ratios.push_back(large[round] / median({first, first + static_cast<std::ptrdiff_t>(beside)}));
  }
  return median(ratios);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == "--write") {
    std::ofstream(argv[2]) << generate(std::atoi(argv[3]));
    return 0;
  }
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 9;
  fmt::print("{} cores, {} rounds, medians\n", std::thread::hardware_concurrency(), rounds);
  Case small(2000);
  small.measure();  // not counted: what only the first pass pays
  fmt::print("peak memory {:.0f} MB\n", peak_megabytes());
  small = Case(2000);
  Case large(20000);
  constexpr int beside = 3;
  for (int round = 0; round < rounds; ++round) {
    for (int i = 0; i < beside; ++i) {
      small.measure();
    }
    large.measure();
  }
  small.print();
  large.print();
  fmt::print("20,000 jobs take {:.1f} times as long as 2,000 (events: {:.1f}); peak memory {:.0f} MB\n",
             growth(large.both(), small.both()), growth(large.floor(), small.floor()), peak_megabytes());
  return 0;
}
