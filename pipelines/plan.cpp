#include "pipelines/plan.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "pipelines/job_variables.h"
#include "pipelines/rules.h"

namespace pipelines {
namespace {

bool can_leave_artifacts(const Job& job) {
  return job.artifacts.any_paths() || std::any_of(job.artifacts.reports.begin(), job.artifacts.reports.end(),
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

std::string shown_value(const VariableSet::Entry& entry) { return entry.masked ? "[MASKED]" : entry.value; }

// Makes one plan: workflow, each job's rules, what was asked for, then what waits for what.
class Planner {
 public:
  Planner(const Pipeline& pipeline, const Trigger& trigger, const Facts& facts)
      : pipeline_(pipeline), trigger_(trigger), rules_(facts) {}

  Plan make() {
    plan_.trigger_variables = trigger_.variables;
    plan_.shared_variables = trigger_.variables;
    plan_.shared_variables.set_all(pipeline_.variables, Precedence::global);
    add_jobs();
    if (!admitted_by_workflow()) return std::move(plan_);
    for (std::size_t i = 0; i < plan_.jobs.size(); ++i) decide(pipeline_.jobs[i], plan_.jobs[i]);
    if (trigger_.only.empty()) {
      refuse_only_pre_post();
    } else {
      keep_only_asked_for();
    }
    for (PlannedJob& job : plan_.jobs) {
      if (job.included) connect(job);
    }
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
    index_.reserve(pipeline_.jobs.size());
    for (JobIndex i = 0; i < plan_.jobs.size(); ++i) {
      const auto stage = stages.find(pipeline_.jobs[i].stage);
      plan_.jobs[i].job = i;
      plan_.jobs[i].stage = stage == stages.end() ? 0 : stage->second;  // parse() refuses an unknown stage
      index_.emplace(pipeline_.jobs[i].name, i);
    }
  }

  // Lays the matching rule's variables under every job's.
  bool admitted_by_workflow() {
    if (!pipeline_.workflow.rules) return true;
    const std::vector<Rule>& rules = *pipeline_.workflow.rules;
    const auto find = [this](std::string_view name) { return plan_.shared_variables.find(name); };
    const auto value = [&](std::string_view name) -> std::optional<std::string> {
      const VariableSet::Entry* entry = find(name);
      return entry ? std::optional(entry->value) : std::nullopt;
    };
    const std::optional<std::uint32_t> matched = rules_.first_match(rules, value);
    if (matched && rules[*matched].when != When::never) {
      plan_.shared_variables.set_all(rules[*matched].variables, Precedence::workflow_rule);
      return true;
    }
    const auto shown = [&](std::string_view name) -> std::optional<std::string> {
      const VariableSet::Entry* entry = find(name);
      return entry ? std::optional(shown_value(*entry)) : std::nullopt;
    };
    plan_.empty_reason = "workflow:rules keep the pipeline from running: ";
    plan_.empty_reason +=
        matched ? describe(rules[*matched], *matched + 1, shown) + ", when: never" : "no rule matched";
    for (PlannedJob& job : plan_.jobs) job.decision = Decision::workflow;
    return false;
  }

  // In or out by the job's own rules, and what they say of `when` and `allow_failure`.
  void decide(const Job& job, PlannedJob& planned) {
    planned.when = job.when;
    planned.included = true;
    const Rule* rule = nullptr;
    if (job.rules) {
      const SharedVariables shared{plan_.trigger_variables, plan_.shared_variables};
      const std::optional<std::uint32_t> matched =
          rules_.first_match(*job.rules, [&](std::string_view name) -> std::optional<std::string> {
            std::optional<VariableSet::Entry> entry = job_variable(shared, job, name);
            return entry ? std::optional(std::move(entry->value)) : std::nullopt;
          });
      planned.decision = matched ? Decision::rule : Decision::no_rule_matched;
      planned.included = matched.has_value();
      if (!matched) return;
      planned.rule = *matched;
      rule = &(*job.rules)[*matched];
      planned.when = rule->when.value_or(job.when);
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
      // A manual job is optional, unless it is a rule that makes it manual: then it blocks.
      planned.allow_failure.any = planned.when == When::manual && !(rule && rule->when);
    }
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
      const auto found = index_.find(name);
      if (found == index_.end()) {
        refuse_unknown(name);
      } else {
        take(found->second, true);
      }
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
          const auto found = index_.find(need.job);
          if (found != index_.end()) take(found->second, by_name[job.job]);
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
    std::vector<std::string_view> names;
    names.reserve(pipeline_.jobs.size());
    for (const Job& job : pipeline_.jobs) names.push_back(job.name);
    const std::string_view near = nearest(name, names);
    error({}, "no job is called \"" + name + '"', near.empty() ? "" : "did you mean \"" + std::string(near) + "\"?",
          {});
  }

  // Resolves the needs and dependencies of an included job. Those that were not asked for are dropped.
  void connect(PlannedJob& planned) {
    const Job& job = job_of(planned);
    if (job.dependencies) {
      planned.dependencies.emplace();
      for (const std::string& name : *job.dependencies) {
        const auto found = index_.find(name);
        if (found != index_.end() && plan_.jobs[found->second].included) planned.dependencies->push_back(found->second);
      }
    }
    const std::vector<Need>* needs = needs_of(job, planned);
    if (!needs) return;
    for (const Need& need : *needs) {
      const auto found = index_.find(need.job);
      if (found == index_.end()) continue;  // parse() refuses it, unless it is optional
      const PlannedJob& other = plan_.jobs[found->second];
      if (other.included) {
        planned.needs.push_back({other.job, need.artifacts});
      } else if (!need.optional && other.decision != Decision::not_asked_for &&
                 (trigger_.only.empty() || trigger_.with_needs)) {
        error(need.mark,
              "job \"" + job.name + "\" needs \"" + need.job + "\", which its rules keep out (" +
                  plan_.reason(pipeline_, other.job) + ")",
              "let both have the same rules, or write `needs: [{job: " + need.job + ", optional: true}]`",
              {job_of(other).mark});
      }
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
    } else if (trigger_.only.empty()) {
      plan_.empty_reason = "the rules of every job keep it out";
    } else {
      // Naming a job does not bypass its rules.
      for (const std::string& name : trigger_.only) {
        plan_.empty_reason += plan_.empty_reason.empty() ? "" : "; ";
        plan_.empty_reason +=
            "job \"" + name + "\" is kept out by its rules (" + plan_.reason(pipeline_, index_.at(name)) + ")";
      }
    }
  }

  const Pipeline& pipeline_;
  const Trigger& trigger_;
  RuleMatcher rules_;
  Plan plan_;
  std::unordered_map<std::string_view, JobIndex> index_;
};

}  // namespace

std::size_t Plan::included_count() const {
  return static_cast<std::size_t>(
      std::count_if(jobs.begin(), jobs.end(), [](const PlannedJob& job) { return job.included; }));
}

std::string Plan::reason(const Pipeline& pipeline, JobIndex index) const {
  const PlannedJob& planned = jobs[index];
  const Job& job = pipeline.jobs[index];
  const auto rule = [&] {
    const SharedVariables shared{trigger_variables, shared_variables};
    return describe((*job.rules)[planned.rule], planned.rule + 1,
                    [&](std::string_view name) -> std::optional<std::string> {
                      const std::optional<VariableSet::Entry> entry = job_variable(shared, job, name);
                      return entry ? std::optional(shown_value(*entry)) : std::nullopt;
                    });
  };
  switch (planned.decision) {
    case Decision::no_rules:
      return "has no rules";
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

VariableSet Plan::variables(const Pipeline& pipeline, JobIndex index) const {
  const Job& job = pipeline.jobs[index];
  return job_variables({trigger_variables, shared_variables}, job, deciding_rule(job, jobs[index]));
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
