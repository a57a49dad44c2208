#include "pipelines/advice.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "pipelines/contradiction.h"
#include "pipelines/findings.h"

namespace pipelines {
namespace {

std::string_view word(When when) {
  switch (when) {
    case When::on_success:
      return "on_success";
    case When::on_failure:
      return "on_failure";
    case When::always:
      return "always";
    case When::never:
      return "never";
    case When::manual:
      return "manual";
    case When::delayed:
      return "delayed";
  }
  return "";
}

// --- secrets ---------------------------------------------------------------------------------------------------------

struct KnownSecret {
  const char* pattern;
  std::string_view what;
};

// The forms in which services give out secrets, long enough that nothing else looks like them
// (docs.gitlab.com/ee/security/tokens, "Token prefixes"; the services' own documentation for the others).
constexpr KnownSecret known_secrets[] = {
    {"\\bgl(?:pat|ptt|rt|dt|cbt|ft|soat|agent|oas|imt)-[0-9A-Za-z_-]{20}", "a GitLab token"},
    {"\\b(?:ghp|gho|ghu|ghs|ghr)_[0-9A-Za-z]{36}", "a GitHub token"},
    {"\\bgithub_pat_[0-9A-Za-z_]{40}", "a GitHub token"},
    {"\\b(?:AKIA|ASIA)[0-9A-Z]{16}\\b", "an AWS access key"},
    {"\\bxox[abeoprs]-[0-9A-Za-z-]{10}", "a Slack token"},
    {"\\b[sr]k_live_[0-9A-Za-z]{20}", "a Stripe key"},
    {"\\bAIza[0-9A-Za-z_-]{35}", "a Google API key"},
    {"\\bnpm_[0-9A-Za-z]{36}", "an npm token"},
    {"\\bpypi-AgE[0-9A-Za-z_-]{50}", "a PyPI token"},
    {"\\bdckr_pat_[0-9A-Za-z_-]{20}", "a Docker Hub token"},
    {"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----", "a private key"},
    {"\\beyJ[0-9A-Za-z_-]{10,}\\.eyJ[0-9A-Za-z_-]{10,}\\.[0-9A-Za-z_-]{20}", "a JSON Web Token"},
    // Neither a variable nor what stands for one in examples: `***`, `<password>`.
    {"\\bhttps?://[^\\s/:@$%{}<>'\"]+:[^\\s/:@$%{}<>'\"*]+@[^\\s/:@]", "a password in an address"},
};

// Names that say that their value is secret.
constexpr const char* secret_name =
    "(?i)(?:^|_)(?:TOKEN|PASSWORD|PASSWD|PASS|PWD|PASSPHRASE|SECRET|CREDENTIALS|(?:API|ACCESS|SECRET|PRIVATE|SIGNING|"
    "ENCRYPTION)"
    "_?KEY)$";

class SecretFinder {
 public:
  SecretFinder() : name_(secret_name) {
    std::string all;
    for (const KnownSecret& known : known_secrets) {
      forms_.push_back(std::make_unique<RE2>(known.pattern));
      all += (all.empty() ? "" : "|") + std::string(known.pattern);
    }
    any_form_ = std::make_unique<RE2>(all);
  }

  // What the text holds, by its form; empty: nothing that is known.
  std::string_view known_form(const std::string& text) const {
    if (!RE2::PartialMatch(text, *any_form_)) return {};
    for (std::size_t i = 0; i < forms_.size(); ++i) {
      re2::StringPiece found;
      const bool there = forms_[i]->Match(text, 0, text.size(), RE2::UNANCHORED, &found, 1);
      // Amazon's documentation ends its own with this word.
      if (there && !std::string_view(found.data(), found.size()).ends_with("EXAMPLE")) return known_secrets[i].what;
    }
    return {};
  }

  bool by_name(const Variable& variable) const {
    return RE2::PartialMatch(variable.name, name_) && looks_secret(variable.value);
  }

 private:
  // Not `postgres`, `password`, `$OTHER`, `true`, a file's name or an address: a value made to be hard to guess mixes
  // kinds of characters.
  static bool looks_secret(const std::string& value) {
    constexpr std::size_t shortest = 8;  // what can be masked at all
    if (value.size() < shortest || value.find_first_of("$%/ ") != std::string::npos) return false;
    const auto any = [&](auto&& is) { return std::ranges::any_of(value, is); };
    const bool lower = any([](char c) { return c >= 'a' && c <= 'z'; });
    const bool upper = any([](char c) { return c >= 'A' && c <= 'Z'; });
    const bool digit = any([](char c) { return c >= '0' && c <= '9'; });
    return (lower || upper) && (digit || (lower && upper));
  }

  RE2 name_;
  std::unique_ptr<RE2> any_form_;  // one pass over what is nearly always innocent
  std::vector<std::unique_ptr<RE2>> forms_;
};

// --- all of it -------------------------------------------------------------------------------------------------------

class Adviser {
 public:
  explicit Adviser(const Pipeline& pipeline) : pipeline_(pipeline) {
    for (std::uint32_t i = 0; i < pipeline.stages.size(); ++i) stages_.emplace(pipeline.stages[i], i);
    for (std::uint32_t i = 0; i < pipeline.jobs.size(); ++i) jobs_.emplace(pipeline.jobs[i].name, i);
    for (const Job& job : pipeline.jobs) {
      if (can_fail(job)) first_to_fail_ = std::min(first_to_fail_, stage_of(job));
    }
  }

  std::vector<Diagnostic> run() {
    if (pipeline_.workflow.rules) look_at_rules(*pipeline_.workflow.rules);
    look_at_variables(pipeline_.variables);
    for (const Job& job : pipeline_.jobs) {
      if (job.rules) look_at_job_rules(job, *job.rules);
      look_at_when(job);
      look_at_needs(job);
      look_at_dependencies(job);
      look_at_caches(job);
      look_at_step(job);
      look_at_secrets(job);
    }
    return findings_.take();
  }

 private:
  std::uint32_t stage_of(const Job& job) const {
    const auto found = stages_.find(job.stage);
    return found == stages_.end() ? 0 : found->second;
  }

  // --- rules

  static bool unconditional(const Rule& rule) {
    return !rule.changes && !rule.exists && (!rule.condition || is_always_true(*rule.condition));
  }

  // Whether the earlier rule matches wherever the later does.
  static bool covers(const Rule& earlier, const Rule& later) {
    return !earlier.changes && !earlier.exists && earlier.condition && later.condition &&
           implies(*later.condition, *earlier.condition);
  }

  void look_at_rules(const std::vector<Rule>& rules) {
    // Thousands of jobs share the rules of one template.
    const auto place = [](const Mark& mark) { return std::tuple(mark.source, mark.line, mark.column); };
    if (rules.empty() ||
        !looked_at_.emplace(place(rules.front().mark), place(rules.back().mark), rules.size()).second) {
      return;
    }
    const Rule* always = nullptr;
    for (std::size_t i = 0; i < rules.size(); ++i) {
      const Rule& rule = rules[i];
      if (always != nullptr) {  // all that follow are the same mistake
        warn_of_unreached(rule, *always, "always matches");
        return;
      }
      // Each with each: nobody writes so many by hand.
      const auto before = rules.begin() + static_cast<std::ptrdiff_t>(rules.size() <= most_compared ? i : 0);
      const auto earlier = std::find_if(rules.begin(), before, [&](const Rule& other) { return covers(other, rule); });
      if (earlier != before) {
        warn_of_unreached(rule, *earlier, "matches wherever it does");
        continue;
      }
      if (rule.condition) look_at_condition(rule);
      look_at_patterns(rule);
      if (unconditional(rule)) always = &rule;
    }
  }

  void warn_of_unreached(const Rule& rule, const Rule& earlier, std::string_view how) {
    findings_.warning(rule.mark, fmt::format("this rule is never reached: an earlier one {}", how),
                      "the first rule that matches decides; put the more special ones first", {earlier.mark});
  }

  void look_at_condition(const Rule& rule) {
    if (const std::optional<std::string> why = why_never_true(*rule.condition)) {
      findings_.warning(rule.mark, fmt::format("this rule never matches: {}", *why),
                        "what && joins has to hold in one pipeline; write a rule for each part");
    }
    for (ExpressionNote& note : notes_on(*rule.condition)) {
      findings_.warning(rule.mark, std::move(note.message), std::move(note.hint));
    }
  }

  void look_at_patterns(const Rule& rule) {
    for (const auto* patterns : {rule.changes ? &*rule.changes : nullptr, rule.exists ? &*rule.exists : nullptr}) {
      const std::string_view keyword = rule.changes && patterns == &*rule.changes ? "changes" : "exists";
      if (!patterns) continue;
      for (const std::string& pattern : *patterns) look_at_pattern(rule, keyword, pattern);
    }
  }

  void look_at_pattern(const Rule& rule, std::string_view keyword, const std::string& pattern) {
    if (pattern.starts_with("./")) {
      findings_.warning(rule.mark,
                        fmt::format("`{}`: \"{}\" matches nothing: paths do not begin with ./", keyword, pattern),
                        fmt::format("write \"{}\"", pattern.substr(2)));
    } else if (pattern.ends_with("/**")) {
      findings_.warning(rule.mark,
                        fmt::format("`{}`: \"{}\" matches only what is directly in that folder", keyword, pattern),
                        fmt::format("write \"{}/*\" for all that is below it", pattern));
    } else if (keyword == "changes" && pattern.ends_with('/')) {
      findings_.warning(rule.mark,
                        fmt::format("`changes`: \"{}\" matches nothing: git knows files, not folders", pattern),
                        fmt::format("write \"{}**/*\"", pattern));
    }
  }

  void look_at_job_rules(const Job& job, const std::vector<Rule>& rules) {
    look_at_rules(rules);
    if (job.when == When::on_success || rules.empty()) return;
    if (std::ranges::all_of(rules, [](const Rule& rule) { return rule.when.has_value(); })) {
      findings_.warning(job.mark,
                        fmt::format("`when: {}` of job \"{}\" is never used: each of its rules has a `when`",
                                    word(job.when), job.name),
                        "remove it, or the `when` of the rules that are to follow it");
    }
  }

  // --- when: on_failure

  // Whether an earlier job's failure can be seen: those that are allowed do not count. A rule may change that.
  static bool can_fail(const Job& job) {
    const auto allowed = [](const std::optional<AllowFailure>& allow) { return allow && allow->any; };
    if (!job.rules)
      return job.when == When::manual ? job.allow_failure && !job.allow_failure->any : !allowed(job.allow_failure);
    return std::ranges::any_of(*job.rules, [&](const Rule& rule) {
      const std::optional<AllowFailure>& said = rule.allow_failure ? rule.allow_failure : job.allow_failure;
      return rule.when != When::never && !(said ? said->any : job.when == When::manual);
    });
  }

  bool sees_failures(const Job& job, const std::optional<std::vector<Need>>& needs) const {
    if (!needs) return first_to_fail_ < stage_of(job);
    return std::ranges::any_of(*needs, [&](const Need& need) {
      const auto found = jobs_.find(need.job);
      // What is not here may fail; so may a job whose own needs fail, when it is skipped.
      return found == jobs_.end() || can_fail(pipeline_.jobs[found->second]);
    });
  }

  void look_at_when(const Job& job) {
    const auto warn = [&](Mark mark) {
      findings_.warning(mark, fmt::format("job \"{}\" never runs on a failure: nothing before it can fail", job.name),
                        job.needs
                            ? "`when: on_failure` looks at the jobs in `needs`; failures that are allowed do not count"
                            : "`when: on_failure` looks at the jobs of earlier stages; failures that are allowed do "
                              "not count");
    };
    if (!job.rules) {
      if (job.when == When::on_failure && !sees_failures(job, job.needs)) warn(job.mark);
      return;
    }
    for (const Rule& rule : *job.rules) {
      const When when = rule.when.value_or(job.when);
      if (when == When::on_failure && !sees_failures(job, rule.needs ? rule.needs : job.needs)) warn(rule.mark);
    }
  }

  // --- needs and dependencies

  void look_at_needs(const Job& job) {
    if (!job.needs || job.when == When::manual) return;
    for (const Need& need : *job.needs) {
      const auto found = jobs_.find(need.job);
      if (found == jobs_.end()) continue;
      const Job& other = pipeline_.jobs[found->second];
      // One that blocks is a gate, and meant to hold up what comes after it.
      const bool gate = other.allow_failure && !other.allow_failure->any;
      if (other.when != When::manual || other.rules || gate) continue;
      findings_.warning(
          need.mark,
          fmt::format("job \"{}\" needs \"{}\", which runs only when somebody starts it", job.name, other.name),
          fmt::format("if it is to be waited for, give \"{}\" `allow_failure: false`; else remove the need",
                      other.name),
          {other.mark});
    }
  }

  static bool leaves_something(const Job& job) {
    return job.step || job.artifacts.any_paths() || !job.artifacts.reports.empty();
  }

  void look_at_dependencies(const Job& job) {
    if (!job.dependencies) return;
    for (const std::string& name : *job.dependencies) {
      const auto found = jobs_.find(name);
      if (found == jobs_.end() || leaves_something(pipeline_.jobs[found->second])) continue;
      findings_.warning(
          job.mark, fmt::format("`dependencies` of job \"{}\" names \"{}\", which leaves no artifacts", job.name, name),
          fmt::format("give \"{}\" `artifacts`; to wait for it, write `needs`", name),
          {pipeline_.jobs[found->second].mark});
    }
  }

  // --- caches

  // `dist`, `dist/`, `./dist/**` and `dist/**/*` are one place.
  static std::string place_of(std::string_view path) {
    if (path.starts_with("./")) path.remove_prefix(2);
    for (const std::string_view end : {"/**/*", "/**", "/*", "/"}) {
      if (path.ends_with(end)) return std::string(path.substr(0, path.size() - end.size()));
    }
    return std::string(path);
  }

  // A cache is restored before artifacts are: what both bring is the artifact's.
  void look_at_caches(const Job& job) {
    for (const Cache& cache : job.caches) {
      if (cache.policy == "push") continue;  // is not restored
      for (const std::string& path : cache.paths) {
        const Job* producer = producer_of(job, place_of(path));
        if (producer == nullptr) continue;
        findings_.warning(cache.mark,
                          fmt::format("the artifacts of \"{}\" are laid over the cache of \"{}\": both have {}",
                                      producer->name, job.name, path),
                          "leave the path out of one of them, or take no artifacts with `dependencies: []`",
                          {producer->artifacts.mark});
      }
    }
  }

  // The job whose artifacts bring that place to this one.
  const Job* producer_of(const Job& job, const std::string& place) {
    const auto brings = [&](const std::string& name) -> const Job* {
      const auto found = jobs_.find(name);
      if (found == jobs_.end() || &pipeline_.jobs[found->second] == &job) return nullptr;
      const Job& other = pipeline_.jobs[found->second];
      const bool there =
          std::ranges::any_of(other.artifacts.paths, [&](const auto& p) { return place_of(p) == place; });
      return there ? &other : nullptr;
    };
    const Job* found = nullptr;
    if (job.dependencies) {
      for (const std::string& name : *job.dependencies) found = found ? found : brings(name);
    } else if (job.needs) {
      for (const Need& need : *job.needs) found = found || !need.artifacts ? found : brings(need.job);
    } else {
      if (!artifacts_known_) know_artifacts();
      const auto first = artifacts_.find(place);
      if (first != artifacts_.end() && stage_of(*first->second) < stage_of(job)) found = first->second;
    }
    return found;
  }

  // By place, of the earliest stage: asked for when the first job has a cache.
  void know_artifacts() {
    artifacts_known_ = true;
    for (const Job& job : pipeline_.jobs) {
      for (const std::string& path : job.artifacts.paths) {
        const Job*& known = artifacts_[place_of(path)];
        if (known == nullptr || stage_of(job) < stage_of(*known)) known = &job;
      }
    }
  }

  // --- steps

  void look_at_step(const Job& job) {
    const std::optional<std::chrono::seconds> wait = job.step ? wait_of(*job.step) : std::nullopt;
    if (!wait || !job.timeout || *job.timeout >= *wait) return;
    findings_.warning(job.step_mark,
                      fmt::format("`wait` of job \"{}\" is longer than its `timeout`, which ends it first", job.name),
                      "raise `timeout`, or lower `wait`");
  }

  // --- secrets

  void look_at_secrets(const Job& job) {
    look_at_variables(job.variables);
    look_at_texts(job);
    for (const Service& service : job.services) look_at_variables(service.variables);
    for (const Rule& rule : job.rules ? *job.rules : std::vector<Rule>()) look_at_variables(rule.variables);
    const Script& script = job.script;
    look_at_commands(job, script.before, script.before_marks);
    look_at_commands(job, script.main, script.main_marks);
    look_at_commands(job, script.after, script.after_marks);
  }

  void look_at_commands(const Job& job, const std::vector<std::string>& commands, const std::vector<Mark>& marks) {
    for (std::size_t i = 0; i < commands.size(); ++i) {
      const std::string_view what = secrets_.known_form(commands[i]);
      if (what.empty()) continue;
      findings_.warning(i < marks.size() ? marks[i] : job.mark,
                        fmt::format("a command of job \"{}\" has what looks like {} in plain text", job.name, what),
                        "take it out of the file and give it with `--secret NAME`, or in the project's secrets");
    }
  }

  void look_at_texts(const Job& job) {
    const auto look = [&](std::string_view where, Mark mark, const std::string& text) {
      const std::string_view what = secrets_.known_form(text);
      if (what.empty()) return;
      findings_.warning(mark,
                        fmt::format("`{}` of job \"{}\" has what looks like {} in plain text", where, job.name, what),
                        "take it out of the file and give it with `--secret NAME`, or in the project's secrets");
    };
    if (job.step) {
      Step step = *job.step;
      for_each_text(step, [&](const std::string& text) { look(key_of(step), job.step_mark, text); });
    }
    std::vector<Notify> notify = job.notify;
    for_each_text(notify, [&](const std::string& text) { look("notify", job.mark, text); });
  }

  void look_at_variables(const Variables& variables) {
    for (const Variable& variable : variables) {
      const std::string_view what = secrets_.known_form(variable.value);
      if (what.empty() && !secrets_.by_name(variable)) continue;
      findings_.warning(
          variable.mark,
          fmt::format("variable {} has {} in plain text", variable.name,
                      what.empty() ? "what seems to be a secret" : fmt::format("what looks like {}", what)),
          fmt::format("take it out of the file and give it with `--secret {}`, or in the project's secrets",
                      variable.name));
    }
  }

  static constexpr std::size_t most_compared = 100;
  using Place = std::tuple<std::uint32_t, std::uint32_t, std::uint32_t>;

  const Pipeline& pipeline_;
  Findings findings_;
  std::set<std::tuple<Place, Place, std::size_t>> looked_at_;  // lists of rules, by their ends
  SecretFinder secrets_;
  std::unordered_map<std::string_view, std::uint32_t> stages_;
  std::unordered_map<std::string_view, std::uint32_t> jobs_;
  std::uint32_t first_to_fail_ = UINT32_MAX;
  std::unordered_map<std::string, const Job*> artifacts_;
  bool artifacts_known_ = false;
};

}  // namespace

std::vector<Diagnostic> advise(const Pipeline& pipeline) { return Adviser(pipeline).run(); }

}  // namespace pipelines
