#include "pipelines/plan.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "pipelines/circle.h"
#include "pipelines/job_names.h"
#include "pipelines/job_variables.h"
#include "pipelines/policy.h"
#include "pipelines/rules.h"

namespace pipelines {
namespace {

// A built-in step leaves its outputs.
bool can_leave_artifacts(const Job& job) {
  return job.step || job.artifacts.any_paths() ||
         std::any_of(job.artifacts.reports.begin(), job.artifacts.reports.end(),
                     [](const Report& report) { return report.kind == "dotenv"; });
}

const Rule* deciding_rule(const Job& job, const PlannedJob& planned) {
  return planned.rule == PlannedJob::no_rule ? nullptr : &(*job.rules)[planned.rule];
}

const std::vector<Need>* needs_of(const Job& job, const PlannedJob& planned) {
  const Rule* rule = deciding_rule(job, planned);
  if (rule && rule->needs) return &*rule->needs;
  return job.needs ? &*job.needs : nullptr;
}

constexpr std::string_view mask = "[MASKED]";
constexpr std::size_t shortest_hidden = 8;  // a shorter value would be found everywhere

std::string shown_value(const VariableSet::Entry& entry) { return entry.masked ? std::string(mask) : entry.value; }

std::string hide(const std::vector<std::string>& values, std::string text) {
  for (const std::string& value : values) {
    for (std::size_t at = 0; (at = text.find(value, at)) != std::string::npos; at += mask.size()) {
      text.replace(at, value.size(), mask);
    }
  }
  return text;
}

std::vector<std::string> hidden_values(const Pipeline& pipeline, const Trigger& trigger) {
  std::vector<std::string> values;
  const auto add = [&](const std::string& value) {
    if (value.size() >= shortest_hidden) values.push_back(value);
  };
  const auto add_set = [&](const VariableSet& set) {
    for (const auto& [name, entry] : set.entries()) {
      if (entry.masked) add(entry.value);
    }
  };
  const auto add_all = [&](const Variables& variables) {
    for (const Variable& variable : variables) {
      if (variable.masked) add(variable.value);
    }
  };
  const auto add_rules = [&](const std::optional<std::vector<Rule>>& rules) {
    if (!rules) return;
    for (const Rule& rule : *rules) add_all(rule.variables);
  };
  add_set(trigger.variables);
  for (const ScopedVariable& scoped : trigger.scoped) {
    if (scoped.entry.masked) add(scoped.entry.value);
  }
  add_all(pipeline.variables);
  add_rules(pipeline.workflow.rules);
  for (const Job& job : pipeline.jobs) {
    add_all(job.variables);
    add_rules(job.rules);
  }
  if (!values.empty()) {
    VariableSet shared = trigger.variables;
    shared.set_all(pipeline.variables, Precedence::global);
    add_set(shared.expanded());
  }
  std::sort(values.begin(), values.end(),
            [](const auto& a, const auto& b) { return a.size() != b.size() ? a.size() > b.size() : a < b; });
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

// Makes one plan: workflow, each job's rules, what was asked for, then what waits for what.
class Planner {
 public:
  Planner(const Pipeline& pipeline, const Trigger& trigger, const Facts& facts)
      : pipeline_(pipeline),
        trigger_(trigger),
        rules_(facts),
        run_(trigger.variables),
        policies_(run_, rules_),
        names_(pipeline) {}

  Plan make() {
    plan_.trigger_variables = trigger_.variables;
    plan_.scoped_variables = trigger_.scoped;
    plan_.shared_variables = trigger_.variables;
    for (VariableSet* set : {&plan_.shared_variables, &plan_.file_variables}) {
      set->set_all(pipeline_.variables, Precedence::global);
    }
    plan_.hidden = hidden_values(pipeline_, trigger_);
    add_jobs();
    if (!admitted_by_workflow()) {
      refuse_bad_refs();
      return std::move(plan_);
    }
    set_name();
    for (std::size_t i = 0; i < plan_.jobs.size(); ++i) decide(pipeline_.jobs[i], plan_.jobs[i]);
    if (trigger_.only.empty()) {
      refuse_only_pre_post();
    } else {
      keep_only_asked_for();
    }
    for (PlannedJob& job : plan_.jobs) {
      if (job.included) connect(job);
    }
    refuse_circle();
    refuse_bad_refs();
    warn_of_unknown_projects();
    find_producers();
    explain_emptiness();
    return std::move(plan_);
  }

 private:
  const Job& job_of(const PlannedJob& planned) const { return pipeline_.jobs[planned.job]; }

  void error(Mark mark, std::string message, std::string hint, std::vector<Mark> others) {
    plan_.diagnostics.push_back({Severity::error, mark, std::move(message), std::move(hint), std::move(others)});
  }

  void add_jobs() {
    std::unordered_map<std::string_view, std::uint32_t> stages;
    for (std::uint32_t i = 0; i < pipeline_.stages.size(); ++i) stages.emplace(pipeline_.stages[i], i);
    plan_.jobs.resize(pipeline_.jobs.size());
    for (JobIndex i = 0; i < plan_.jobs.size(); ++i) {
      const auto stage = stages.find(pipeline_.jobs[i].stage);
      plan_.jobs[i].job = i;
      plan_.jobs[i].stage = stage == stages.end() ? 0 : stage->second;  // parse() refuses an unknown stage
    }
  }

  // Keyword by keyword: what is not said stays as it is.
  void obey(const AutoCancel& auto_cancel) {
    plan_.cancel_on_failure = auto_cancel.on_job_failure.value_or(plan_.cancel_on_failure);
    plan_.on_new_commit = auto_cancel.on_new_commit.value_or(plan_.on_new_commit);
  }

  // Lays the matching rule's variables under every job's.
  bool admitted_by_workflow() {
    obey(pipeline_.workflow.auto_cancel);
    if (!pipeline_.workflow.rules) return true;
    const std::vector<Rule>& rules = *pipeline_.workflow.rules;
    const auto find = [this](std::string_view name) { return plan_.shared_variables.find(name); };
    const auto value = [&](std::string_view name) -> std::optional<std::string> {
      const VariableSet::Entry* entry = find(name);
      return entry ? std::optional(entry->value) : std::nullopt;
    };
    const auto expanded = [made = std::optional<VariableSet>(), this]() mutable -> const VariableSet& {
      return made ? *made : made.emplace(plan_.shared_variables.expanded());
    };
    const std::optional<std::uint32_t> matched = rules_.first_match(rules, {value, expanded});
    if (matched && rules[*matched].when != When::never) {
      for (VariableSet* set : {&plan_.shared_variables, &plan_.file_variables}) {
        set->set_all(rules[*matched].variables, Precedence::workflow_rule);
      }
      if (rules[*matched].auto_cancel) obey(*rules[*matched].auto_cancel);
      return true;
    }
    const auto shown = [&](std::string_view name) -> std::optional<std::string> {
      const VariableSet::Entry* entry = find(name);
      return entry ? std::optional(shown_value(*entry)) : std::nullopt;
    };
    plan_.workflow_rule = matched;
    plan_.empty_reason = "workflow:rules keep the pipeline from running: ";
    plan_.empty_reason +=
        matched ? describe(rules[*matched], *matched + 1, shown) + ", when: never" : "no rule matched";
    plan_.empty_reason = hide(plan_.hidden, std::move(plan_.empty_reason));
    for (PlannedJob& job : plan_.jobs) job.decision = Decision::workflow;
    return false;
  }

  // workflow:name, which sees the variables of workflow:rules.
  void set_name() {
    if (pipeline_.workflow.name.empty()) return;
    VariableSet shown = plan_.shared_variables;  // the name is seen by everybody
    for (const auto& [name, entry] : plan_.shared_variables.entries()) {
      if (entry.masked) shown.set(name, shown_value(entry), entry.precedence, /*expand=*/false, /*masked=*/true);
    }
    plan_.name = hide(plan_.hidden, shown.expanded().expand(pipeline_.workflow.name));
    constexpr std::string_view spaces = " \t\r\n";  // docs.gitlab.com/ci/yaml/#workflowname: removed at both ends
    plan_.name.erase(0, std::min(plan_.name.find_first_not_of(spaces), plan_.name.size()));
    plan_.name.erase(plan_.name.find_last_not_of(spaces) + 1);
    if (plan_.name.empty()) return;
    for (VariableSet* set : {&plan_.trigger_variables, &plan_.shared_variables}) {
      set->set("CI_PIPELINE_NAME", plan_.name, Precedence::predefined, /*expand=*/false);
    }
  }

  SharedVariables shared() const { return {plan_.trigger_variables, plan_.shared_variables, plan_.scoped_variables}; }

  RuleVariables variables_of(const Job& job) const {
    const auto value = [this, &job](std::string_view name) -> std::optional<std::string> {
      std::optional<VariableSet::Entry> entry = job_variable(shared(), job, name);
      return entry ? std::optional(std::move(entry->value)) : std::nullopt;
    };
    const auto expanded = [this, &job, made = std::optional<VariableSet>()]() mutable -> const VariableSet& {
      return made ? *made : made.emplace(job_variables(shared(), job, nullptr).expanded());
    };
    return {value, expanded};
  }

  // By `only` and `except`. Without them a job is for branches and tags; workflow:rules take that default away.
  bool admitted_by_policy(const Job& job, PlannedJob& planned) {
    const auto refuse = [&](Decision decision, PolicyPart part) {
      planned.decision = decision;
      planned.policy_part = part;
      planned.included = false;
      return false;
    };
    if (!job.only && !pipeline_.workflow.rules && !run_.branch && !run_.tag) {
      return refuse(Decision::implicit_only, PolicyPart::refs);
    }
    if (!job.only && !job.except) return true;
    planned.decision = Decision::policy;
    const RuleVariables variables = variables_of(job);
    if (job.only) {
      if (const auto part = policies_.missed(*job.only, variables)) return refuse(Decision::only, *part);
    }
    if (job.except) {
      if (const auto part = policies_.hit(*job.except, variables)) return refuse(Decision::except, *part);
    }
    return true;
  }

  // In or out by the job's own rules, and what they say of `when` and `allow_failure`.
  void decide(const Job& job, PlannedJob& planned) {
    planned.when = job.when;
    planned.included = true;
    const Rule* rule = nullptr;
    if (job.rules) {
      const std::optional<std::uint32_t> matched = rules_.first_match(*job.rules, variables_of(job));
      planned.decision = matched ? Decision::rule : Decision::no_rule_matched;
      planned.included = matched.has_value();
      if (!matched) return;
      planned.rule = *matched;
      rule = &(*job.rules)[*matched];
      planned.when = rule->when.value_or(job.when);
    } else if (!admitted_by_policy(job, planned)) {
      return;
    }
    if (planned.when == When::never) {
      planned.decision = Decision::never;
      planned.included = false;
      return;
    }
    if (planned.when == When::delayed) planned.start_in = rule && rule->start_in ? rule->start_in : job.start_in;
    if (rule && rule->allow_failure) {
      planned.allow_failure = *rule->allow_failure;
    } else if (job.allow_failure) {
      planned.allow_failure = *job.allow_failure;
    } else {
      // A job that is manual itself may fail, whatever a rule makes of it; one that only a rule makes manual blocks
      // (lib/gitlab/ci/config/entry/job.rb, ignored?).
      planned.allow_failure.any = job.when == When::manual;
    }
    planned.interruptible = rule && rule->interruptible ? *rule->interruptible : job.interruptible.value_or(false);
    planned.dag = needs_of(job, planned) != nullptr;
  }

  void refuse_only_pre_post() {
    const auto runs = [&](const PlannedJob& job) {
      const std::string& stage = job_of(job).stage;
      return job.included && stage != ".pre" && stage != ".post";
    };
    if (std::any_of(plan_.jobs.begin(), plan_.jobs.end(), runs)) return;
    for (PlannedJob& job : plan_.jobs) {
      if (!job.included) continue;
      job.included = false;
      job.decision = Decision::only_pre_post;
      plan_.empty_reason = "only jobs in .pre and .post are left, which do not run alone";
    }
  }

  void keep_only_asked_for() {
    std::vector<bool> taken(plan_.jobs.size());
    std::vector<bool> by_name(plan_.jobs.size());  // named, or named in the `needs` of such a job
    std::vector<JobIndex> queue;
    const auto take = [&](JobIndex job, bool named) {
      if (!plan_.jobs[job].included || (taken[job] && (!named || by_name[job]))) return;
      taken[job] = true;
      by_name[job] = by_name[job] || named;
      queue.push_back(job);
    };
    for (const std::string& name : trigger_.only) {
      const auto found = names_.find(name);
      if (found.empty()) refuse_unknown(name);
      for (const JobIndex job : found) take(job, true);
    }
    std::vector<std::vector<JobIndex>> stages;
    if (trigger_.with_needs) {
      stages.resize(std::max<std::size_t>(pipeline_.stages.size(), 1));
      for (const PlannedJob& job : plan_.jobs) stages[job.stage].push_back(job.job);
    }
    std::uint32_t stages_taken = 0;  // a job without needs waits for all earlier stages: each is taken in once
    while (trigger_.with_needs && !queue.empty()) {
      const PlannedJob& job = plan_.jobs[queue.back()];
      queue.pop_back();
      if (const std::vector<Need>* needs = needs_of(job_of(job), job)) {
        for (const Need& need : *needs) {
          for (const JobIndex needed : names_.find(need)) take(needed, by_name[job.job]);
        }
        continue;
      }
      for (; stages_taken < job.stage; ++stages_taken) {
        for (const JobIndex earlier : stages[stages_taken]) take(earlier, false);
      }
    }
    for (PlannedJob& job : plan_.jobs) {
      if (by_name[job.job]) plan_.asked_for.push_back(job.job);
      if (!job.included || taken[job.job]) continue;
      job.included = false;
      job.decision = Decision::not_asked_for;
    }
  }

  void refuse_unknown(const std::string& name) {
    const std::string_view near = nearest(name, known_names(pipeline_));
    error({}, "no job is called \"" + name + '"', near.empty() ? "" : "did you mean \"" + std::string(near) + "\"?",
          {});
  }

  // Resolves the needs and dependencies of an included job. Those that were not asked for are dropped.
  void connect(PlannedJob& planned) {
    const Job& job = job_of(planned);
    if (job.dependencies) {
      planned.dependencies.emplace();
      for (const std::string& name : *job.dependencies) {
        for (const JobIndex other : names_.find(name)) {
          if (plan_.jobs[other].included) planned.dependencies->push_back(other);
        }
      }
    }
    const std::vector<Need>* needs = needs_of(job, planned);
    if (!needs) return;
    for (const Need& need : *needs) {
      for (const JobIndex other : names_.find(need)) connect(planned, need, other);  // none: parse() saw to that
    }
  }

  void connect(PlannedJob& planned, const Need& need, JobIndex needed) {
    const PlannedJob& other = plan_.jobs[needed];
    if (other.included) {
      planned.needs.push_back({needed, need.artifacts});
    } else if (!need.optional && other.decision != Decision::not_asked_for &&
               (trigger_.only.empty() || trigger_.with_needs)) {
      const std::string& name = job_of(other).name;
      error(need.mark,
            "job \"" + job_of(planned).name + "\" needs \"" + name + "\", which its rules keep out (" +
                plan_.reason(pipeline_, needed) + ")",
            "let both have the same rules, or write `needs: [{job: " + job_of(other).written_name() +
                ", optional: true}]`",
            {job_of(other).mark});
    }
  }

  // Only `rules:needs` can make one that parse() has not seen: it looks at each job's own `needs`.
  void refuse_circle() {
    const auto by_rule = [&](const PlannedJob& job) {
      const Rule* rule = deciding_rule(job_of(job), job);
      return job.included && rule && rule->needs && !rule->needs->empty();
    };
    if (std::none_of(plan_.jobs.begin(), plan_.jobs.end(), by_rule)) return;
    const std::vector<JobIndex> circle = find_circle(plan_);
    if (circle.empty()) return;
    constexpr std::size_t shown = 100;
    std::string names;
    std::vector<Mark> others;
    for (std::size_t i = 0; i < std::min(shown, circle.size()); ++i) {
      const Job& job = pipeline_.jobs[circle[i]];
      names += job.name + " -> ";
      if (i > 0) others.push_back(job.mark);
    }
    if (circle.size() > shown) names += '(' + std::to_string(circle.size() - shown) + " more) -> ";
    const PlannedJob& first = plan_.jobs[circle[0]];
    const Rule* rule = deciding_rule(job_of(first), first);
    error(rule ? rule->mark : job_of(first).mark,
          "jobs need each other in a circle by `rules:needs`: " + names + job_of(first).name,
          "remove one of these needs", std::move(others));
  }

  void refuse_bad_refs() {
    plan_.diagnostics.insert(plan_.diagnostics.end(), rules_.bad_refs().begin(), rules_.bad_refs().end());
  }

  void warn_of_unknown_projects() {
    for (const auto& [project, mark] : rules_.unknown_projects()) {
      plan_.diagnostics.push_back({Severity::warning,
                                   mark,
                                   "`exists:project`: the files of " + project + " are not known here",
                                   "the rule does not match; say where its clone is below [include.projects] in the "
                                   "configuration",
                                   {}});
    }
  }

  void find_producers() {
    for (PlannedJob& job : plan_.jobs) {
      job.leaves_artifacts = can_leave_artifacts(job_of(job));
      if (job.included && job.leaves_artifacts) plan_.producers.push_back(job.job);
    }
    std::stable_sort(plan_.producers.begin(), plan_.producers.end(),
                     [&](JobIndex a, JobIndex b) { return plan_.jobs[a].stage < plan_.jobs[b].stage; });
  }

  void explain_emptiness() {
    if (!plan_.empty_reason.empty() || has_errors(plan_.diagnostics) || plan_.included_count() > 0) return;
    if (pipeline_.jobs.empty()) {
      plan_.empty_reason = "the pipeline has no jobs";
    } else if (std::all_of(plan_.jobs.begin(), plan_.jobs.end(),
                           [](const PlannedJob& job) { return job.decision == Decision::implicit_only; })) {
      plan_.empty_reason = "without rules jobs are for branches and tags; this is " + run_.describe();
    } else if (trigger_.only.empty()) {
      plan_.empty_reason = "the rules of every job keep it out";
    } else {
      // Naming a job does not bypass its rules.
      for (const std::string& name : trigger_.only) {
        plan_.empty_reason += plan_.empty_reason.empty() ? "" : "; ";
        plan_.empty_reason +=
            "job \"" + name + "\" is kept out by its rules (" + plan_.reason(pipeline_, names_.find(name)[0]) + ")";
      }
    }
  }

  const Pipeline& pipeline_;
  const Trigger& trigger_;
  RuleMatcher rules_;
  RunKind run_;
  PolicyMatcher policies_;
  JobNames names_;
  Plan plan_;
};

}  // namespace

std::size_t Plan::included_count() const {
  return static_cast<std::size_t>(
      std::count_if(jobs.begin(), jobs.end(), [](const PlannedJob& job) { return job.included; }));
}

std::string Plan::reason(const Pipeline& pipeline, JobIndex index) const {
  const PlannedJob& planned = jobs[index];
  const Job& job = pipeline.jobs[index];
  const Expression::Lookup lookup = [&](std::string_view variable) -> std::optional<std::string> {
    const std::optional<VariableSet::Entry> entry =
        job_variable({trigger_variables, shared_variables, scoped_variables}, job, variable);
    return entry ? std::optional(shown_value(*entry)) : std::nullopt;
  };
  const auto rule = [&] { return hide(hidden, describe((*job.rules)[planned.rule], planned.rule + 1, lookup)); };
  switch (planned.decision) {
    case Decision::no_rules:
      return "has no rules";
    case Decision::policy:
      return hide(hidden, describe_admission(job, lookup));
    case Decision::only:
      return hide(hidden, describe_missed(*job.only, planned.policy_part, RunKind(trigger_variables), lookup));
    case Decision::except:
      return hide(hidden, describe_hit(*job.except, planned.policy_part, RunKind(trigger_variables), lookup));
    case Decision::implicit_only:
      return "has no rules, so it is for branches and tags; this is " + RunKind(trigger_variables).describe();
    case Decision::rule:
      return rule();
    case Decision::no_rule_matched:
      return "no rule matched";
    case Decision::never:
      return planned.rule == PlannedJob::no_rule ? "when: never" : rule() + ", when: never";
    case Decision::not_asked_for:
      return "not asked for";
    case Decision::workflow:
      return empty_reason;
    case Decision::only_pre_post:
      return "no job is left but in .pre and .post";
  }
  return {};
}

std::vector<std::string> Plan::unmatched(const Pipeline& pipeline, JobIndex index) const {
  const Job& job = pipeline.jobs[index];
  const bool by_workflow = jobs[index].decision == Decision::workflow && !workflow_rule;
  if (!by_workflow && jobs[index].decision != Decision::no_rule_matched) return {};
  const SharedVariables shared{trigger_variables, shared_variables, scoped_variables};
  const auto entry = [&](std::string_view variable) -> std::optional<VariableSet::Entry> {
    if (!by_workflow) return job_variable(shared, job, variable);
    const VariableSet::Entry* found = shared_variables.find(variable);
    return found ? std::optional(*found) : std::nullopt;
  };
  const auto value = [&](std::string_view variable) -> std::optional<std::string> {
    const std::optional<VariableSet::Entry> found = entry(variable);
    return found ? std::optional(found->value) : std::nullopt;
  };
  const auto shown = [&](std::string_view variable) -> std::optional<std::string> {
    const std::optional<VariableSet::Entry> found = entry(variable);
    return found ? std::optional(shown_value(*found)) : std::nullopt;
  };
  const std::vector<Rule>& rules = by_workflow ? *pipeline.workflow.rules : *job.rules;
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    lines.push_back(hide(hidden, describe_unmatched(rules[i], i + 1, value, shown)));
  }
  return lines;
}

VariableSet Plan::variables(const Pipeline& pipeline, JobIndex index) const {
  const Job& job = pipeline.jobs[index];
  return job_variables({trigger_variables, shared_variables, scoped_variables}, job, deciding_rule(job, jobs[index]));
}

VariableSet Plan::yaml_variables(const Pipeline& pipeline, JobIndex index) const {
  const Job& job = pipeline.jobs[index];
  const VariableSet nothing;
  const VariableSet all = job_variables({nothing, file_variables, {}}, job, deciding_rule(job, jobs[index]));
  VariableSet written;
  for (const auto& [variable, entry] : all.entries()) {
    if (entry.precedence == Precedence::predefined) continue;
    written.set(variable, entry.value, entry.precedence, entry.expand, entry.masked, entry.file);
  }
  return written;
}

std::vector<JobIndex> Plan::artifacts_from(JobIndex index) const {
  const PlannedJob& planned = jobs[index];
  std::vector<JobIndex> from;
  if (planned.dag) {
    for (const PlannedNeed& need : planned.needs) {
      if (need.artifacts) from.push_back(need.job);
    }
  } else if (planned.dependencies) {
    from = *planned.dependencies;
  } else {
    const auto end = std::partition_point(producers.begin(), producers.end(),
                                          [&](JobIndex producer) { return jobs[producer].stage < planned.stage; });
    return {producers.begin(), end};
  }
  const auto unwanted = [&](JobIndex job) {
    if (!jobs[job].leaves_artifacts) return true;
    if (!planned.dag) return jobs[job].stage >= planned.stage;
    const auto& wanted = planned.dependencies;
    return wanted && std::find(wanted->begin(), wanted->end(), job) == wanted->end();
  };
  from.erase(std::remove_if(from.begin(), from.end(), unwanted), from.end());
  std::sort(from.begin(), from.end(),
            [&](JobIndex a, JobIndex b) { return std::pair(jobs[a].stage, a) < std::pair(jobs[b].stage, b); });
  from.erase(std::unique(from.begin(), from.end()), from.end());
  return from;
}

Plan make_plan(const Pipeline& pipeline, const Trigger& trigger, const Facts& facts) {
  return Planner(pipeline, trigger, facts).make();
}

}  // namespace pipelines
