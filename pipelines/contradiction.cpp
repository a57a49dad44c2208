#include "pipelines/contradiction.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "pipelines/diagnostic.h"
#include "pipelines/expression_node.h"

namespace pipelines {
namespace {

using Node = Expression::Node;
using Kind = Node::Kind;

constexpr std::string_view source_name = "CI_PIPELINE_SOURCE";
constexpr std::string_view merge_request = "CI_MERGE_REQUEST_";

// docs.gitlab.com/ee/ci/jobs/job_rules, "CI_PIPELINE_SOURCE predefined variable", and our pre_push.
constexpr std::string_view sources[] = {"api",
                                        "chat",
                                        "external",
                                        "external_pull_request_event",
                                        "merge_request_event",
                                        "ondemand_dast_scan",
                                        "ondemand_dast_validation",
                                        "parent_pipeline",
                                        "pipeline",
                                        "pre_push",
                                        "push",
                                        "schedule",
                                        "security_orchestration_policy",
                                        "trigger",
                                        "web",
                                        "webide"};

// The job-only rows of docs.gitlab.com/ee/ci/variables/predefined_variables.
constexpr std::string_view job_only[] = {"CI_BUILDS_DIR",
                                         "CI_CONCURRENT_ID",
                                         "CI_CONCURRENT_PROJECT_ID",
                                         "CI_DEPLOY_PASSWORD",
                                         "CI_DEPLOY_USER",
                                         "CI_JOB_ID",
                                         "CI_JOB_STARTED_AT",
                                         "CI_JOB_STATUS",
                                         "CI_JOB_TIMEOUT",
                                         "CI_JOB_TOKEN",
                                         "CI_JOB_URL",
                                         "CI_PIPELINE_ID",
                                         "CI_PIPELINE_URL",
                                         "CI_PROJECT_DIR",
                                         "CI_REGISTRY_PASSWORD",
                                         "CI_REGISTRY_USER",
                                         "CI_REPOSITORY_URL",
                                         "CI_RUNNER_DESCRIPTION",
                                         "CI_RUNNER_EXECUTABLE_ARCH",
                                         "CI_RUNNER_ID",
                                         "CI_RUNNER_REVISION",
                                         "CI_RUNNER_SHORT_TOKEN",
                                         "CI_RUNNER_TAGS",
                                         "CI_RUNNER_VERSION",
                                         "CI_SERVER"};

// What a conjunction says of one variable.
struct Known {
  std::set<std::string> equal, unequal;
  bool null = false;       // is not defined
  bool defined = false;    // is, perhaps empty
  bool not_empty = false;  // is defined and not empty
  bool blank = false;      // is neither: null, empty or nothing but space
  bool alone = false;      // stands by itself: not null (an empty one passes &&, see expression.cpp)
  bool present() const { return alone || not_empty || (!equal.empty() && !equal.begin()->empty()); }
};

// The conditions that all have to hold; `a && (b && c)` is three.
void flatten(const Node& node, std::vector<const Node*>& out) {
  if (node.kind != Kind::all) {
    out.push_back(&node);
    return;
  }
  for (const Node& child : node.children) flatten(child, out);
}

// Two spellings of one condition have one text.
std::string text_of(const Node& node) {
  const auto quoted = [](char mark, std::string_view text) { return fmt::format("{}{}:{}", mark, text.size(), text); };
  switch (node.kind) {
    case Kind::null:
      return "null";
    case Kind::text:
      return quoted('t', node.text);
    case Kind::truth:
      return node.text;
    case Kind::variable:
      return quoted('v', node.text);
    case Kind::pattern:
      return quoted(node.regex->options().case_sensitive() ? 'p' : 'i', node.regex->pattern());
    default:
      break;
  }
  std::string text = fmt::format("({}", static_cast<int>(node.kind));
  for (const Node& child : node.children) text += ' ' + text_of(child);
  return text + ')';
}

bool is_variable_and(const Node& node, Kind other) {
  return node.children.size() == 2 && node.children[0].kind == Kind::variable && node.children[1].kind == other;
}

// `"x" == $A` is `$A == "x"`.
Node in_order(const Node& node) {
  Node copy = node;
  const bool symmetric = node.kind == Kind::equal || node.kind == Kind::not_equal;
  if (symmetric && node.children[0].kind != Kind::variable) std::swap(copy.children[0], copy.children[1]);
  return copy;
}

// As far as Ruby's present? minds it.
bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\n\v\f\r") == std::string_view::npos; }

std::optional<bool> constant(const Node& node) {
  if (node.kind == Kind::null) return false;
  if (node.kind == Kind::text) return !node.text.empty();
  if (node.kind == Kind::truth) return node.text == "true";
  if (node.kind == Kind::negation) {
    const Node& child = node.children[0];
    const std::optional<bool> value = child.kind == Kind::text ? !is_blank(child.text) : constant(child);
    return value ? std::optional(!*value) : std::nullopt;
  }
  if (node.kind != Kind::equal && node.kind != Kind::not_equal) return std::nullopt;
  const auto is_constant = [](const Node& side) { return side.kind == Kind::text || side.kind == Kind::null; };
  if (!is_constant(node.children[0]) || !is_constant(node.children[1])) return std::nullopt;
  return (text_of(node.children[0]) == text_of(node.children[1])) == (node.kind == Kind::equal);
}

class Conjunction {
 public:
  std::optional<std::string> why_never(const Node& root) {
    std::vector<const Node*> conditions;
    flatten(root, conditions);
    for (const Node* condition : conditions) {
      if (const std::optional<bool> value = constant(*condition)) {
        if (!*value) return "a part of it is always false";
        continue;
      }
      if (condition->kind == Kind::any) {
        if (std::optional<std::string> why = why_no_alternative(*condition)) return why;
        continue;
      }
      learn(in_order(*condition));
    }
    for (const Node* condition : conditions) {
      if (std::optional<std::string> why = contradicts_pattern(*condition)) return why;
    }
    for (const auto& [name, known] : variables_) {
      if (std::optional<std::string> why = contradiction(name, known)) return why;
    }
    return excluded();
  }

 private:
  static std::optional<std::string> why_no_alternative(const Node& any) {
    std::optional<std::string> first;
    for (const Node& child : any.children) {
      std::optional<std::string> why = Conjunction().why_never(child);
      if (!why) return std::nullopt;
      if (!first) first = std::move(why);
    }
    return first;
  }

  void learn(const Node& condition) {
    if (condition.kind == Kind::variable) {
      variables_[condition.text].alone = variables_[condition.text].defined = true;
      return;
    }
    if (condition.children.empty() || condition.children[0].kind != Kind::variable) return;
    Known& known = variables_[condition.children[0].text];
    if (condition.kind == Kind::equal && is_variable_and(condition, Kind::text)) {
      known.equal.insert(condition.children[1].text);
    } else if (condition.kind == Kind::not_equal && is_variable_and(condition, Kind::text)) {
      known.unequal.insert(condition.children[1].text);
    } else if (condition.kind == Kind::equal && is_variable_and(condition, Kind::null)) {
      known.null = true;
    } else if (condition.kind == Kind::not_equal && is_variable_and(condition, Kind::null)) {
      known.defined = true;
    } else if (condition.kind == Kind::negation) {
      known.blank = true;
    } else if (condition.kind == Kind::match && is_variable_and(condition, Kind::pattern)) {
      // An undefined variable is read as empty text.
      known.not_empty = known.not_empty || !RE2::PartialMatch("", *condition.children[1].regex);
    }
  }

  std::optional<std::string> contradicts_pattern(const Node& condition) const {
    const bool wanted = condition.kind == Kind::match;
    if ((!wanted && condition.kind != Kind::not_match) || !is_variable_and(condition, Kind::pattern)) {
      return std::nullopt;
    }
    const std::string& name = condition.children[0].text;
    for (const std::string& value : variables_.at(name).equal) {
      if (RE2::PartialMatch(value, *condition.children[1].regex) != wanted) {
        return fmt::format("where ${} is \"{}\", it {} the regular expression", name, value,
                           wanted ? "does not match" : "matches");
      }
    }
    return std::nullopt;
  }

  static std::optional<std::string> contradiction(const std::string& name, const Known& known) {
    if (known.equal.size() > 1) {
      return fmt::format("${} cannot be \"{}\" and \"{}\" at once", name, *known.equal.begin(),
                         *std::next(known.equal.begin()));
    }
    for (const std::string& value : known.equal) {
      if (known.unequal.contains(value)) return fmt::format("${} cannot be \"{}\" and not be it", name, value);
      if (value.empty() && known.not_empty) return fmt::format("${} cannot be empty and not be it", name);
      if (known.blank && !is_blank(value)) return fmt::format("${} cannot be \"{}\" and empty", name, value);
    }
    if (known.null && (!known.equal.empty() || known.defined || known.not_empty)) {
      return fmt::format("${} cannot be null and have a value", name);
    }
    return std::nullopt;
  }

  bool present(std::string_view name) const {
    const auto found = variables_.find(std::string(name));
    return found != variables_.end() && found->second.present();
  }

  std::string source() const {
    const auto found = variables_.find(std::string(source_name));
    return found == variables_.end() || found->second.equal.size() != 1 ? std::string() : *found->second.equal.begin();
  }

  std::optional<std::string> excluded() const {
    std::string request;  // a variable that only merge requests have
    for (const auto& [name, known] : variables_) {
      if (name.starts_with(merge_request) && known.present()) request = "$" + name;
    }
    const std::string event = source();
    if (event == "merge_request_event") request = fmt::format("${} \"{}\"", source_name, event);
    const bool branch = present("CI_COMMIT_BRANCH");
    const bool tag = present("CI_COMMIT_TAG");
    if (branch && tag) return "the pipeline of a tag has no $CI_COMMIT_BRANCH";
    if (!request.empty() && (branch || tag)) {
      return fmt::format("the pipeline of a merge request ({}) has no ${}", request,
                         branch ? "CI_COMMIT_BRANCH" : "CI_COMMIT_TAG");
    }
    if (!request.empty() && (event == "push" || event == "schedule")) {
      return fmt::format("{} is not there where ${} is \"{}\"", request, source_name, event);
    }
    return std::nullopt;
  }

  std::map<std::string, Known> variables_;
};

template <class Each>
void walk(const Node& node, const Each& each) {
  each(node);
  for (const Node& child : node.children) walk(child, each);
}

}  // namespace

std::optional<std::string> why_never_true(const Expression& expression) {
  return expression.root() ? Conjunction().why_never(*expression.root()) : std::nullopt;
}

bool is_always_true(const Expression& expression) {
  if (!expression.root()) return false;
  std::vector<const Node*> conditions;
  flatten(*expression.root(), conditions);
  return std::ranges::all_of(conditions, [](const Node* node) { return constant(*node) == true; });
}

bool implies(const Expression& stronger, const Expression& weaker) {
  if (!stronger.root() || !weaker.root()) return false;
  const auto texts = [](const Expression& expression) {
    std::vector<const Node*> conditions;
    flatten(*expression.root(), conditions);
    std::set<std::string> result;
    for (const Node* condition : conditions) result.insert(text_of(in_order(*condition)));
    return result;
  };
  return std::ranges::includes(texts(stronger), texts(weaker));
}

std::vector<ExpressionNote> notes_on(const Expression& expression) {
  std::vector<ExpressionNote> notes;
  if (!expression.root()) return notes;
  std::set<std::string> told;
  walk(*expression.root(), [&](const Node& written) {
    if (written.kind == Kind::variable && std::ranges::find(job_only, written.text) != std::end(job_only) &&
        told.insert(written.text).second) {
      notes.push_back({fmt::format("${} is null here: only the running job knows it", written.text), ""});
    }
    if (written.kind != Kind::equal && written.kind != Kind::not_equal) return;
    const Node node = in_order(written);
    if (!is_variable_and(node, Kind::text) || node.children[0].text != source_name) return;
    const std::string& word = node.children[1].text;
    if (word.empty() || std::ranges::find(sources, word) != std::end(sources) || !told.insert(word).second) return;
    std::string_view near = nearest(word, {std::begin(sources), std::end(sources)});
    if (word.starts_with("merge")) near = "merge_request_event";
    notes.push_back({fmt::format("${} is never \"{}\"", source_name, word),
                     near.empty() ? std::string() : fmt::format("did you mean \"{}\"?", near)});
  });
  return notes;
}

}  // namespace pipelines
