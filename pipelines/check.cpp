#include "pipelines/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pipelines/job_names.h"
#include "pipelines/variables.h"

namespace pipelines {
namespace {

constexpr std::size_t most_needs = 50;  // GitLab's limit
constexpr std::size_t longest_name = 255;

class Checker {
 public:
  Checker(const Pipeline& pipeline, const std::vector<JobDraft>& drafts, const PipelineDraft& draft, Findings& findings)
      : pipeline_(pipeline), drafts_(drafts), draft_(draft), findings_(findings), names_(pipeline) {
    for (std::uint32_t i = 0; i < pipeline.stages.size(); ++i) {
      stages_.emplace(pipeline.stages[i], i);
    }
    stage_of_.reserve(pipeline.jobs.size());
    for (std::size_t i = 0; i < pipeline.jobs.size(); ++i) {
      stage_of_.push_back(find_stage(i));
    }
  }

  void run() {
    check_variable_names();
    for (std::size_t i = 0; i < pipeline_.jobs.size(); ++i) {
      const Job& job = pipeline_.jobs[i];
      check_name(job, drafts_[i]);
      check_needs(i);
      check_dependencies(i);
      if (is_repetition(i)) {
        continue;
      }
      check_work(job, drafts_[i]);
      check_monitor(job, drafts_[i]);
      check_delay(job, drafts_[i]);
      check_policies(job, drafts_[i]);
      check_on_stop(job, drafts_[i]);
    }
    check_circles();
    check_any_job();
  }

 private:
  // A further instance of a parallel job: what is wrong with it has been said of the first.
  bool is_repetition(std::size_t i) const {
    return i > 0 && !pipeline_.jobs[i].origin.empty() && pipeline_.jobs[i].origin == pipeline_.jobs[i - 1].origin;
  }

  // The job's stage, or none where there is no such stage, which is reported.
  std::optional<std::uint32_t> find_stage(std::size_t i) {
    const Job& job = pipeline_.jobs[i];
    if (const auto found = stages_.find(job.stage); found != stages_.end()) {
      // The default stage of a job whose `stage` may be mistyped says nothing.
      return job.stage_mark.line == 0 && drafts_[i].spoilt ? std::nullopt : std::optional(found->second);
    }
    if (draft_.stages_spoilt || draft_.incomplete || is_repetition(i)) {
      return std::nullopt;
    }
    if (job.stage_mark.line != 0) {
      const std::vector<std::string_view> known =
          findings_.suggests() ? std::vector<std::string_view>(pipeline_.stages.begin(), pipeline_.stages.end())
                               : std::vector<std::string_view>();
      findings_.error(
          job.stage_mark,
          fmt::format("job \"{}\" is in the stage \"{}\", which is not defined", job.written_name(), job.stage),
          did_you_mean(findings_.suggest(job.stage, known), stages_hint()));
    } else if (!drafts_[i].spoilt) {
      findings_.error(job.mark,
                      fmt::format("job \"{}\" has no `stage`, and there is no stage \"{}\", the default",
                                  job.written_name(), job.stage),
                      stages_hint());
    }
    return std::nullopt;
  }

  std::string stages_hint() const {
    constexpr std::size_t shown = 12;
    const bool more = pipeline_.stages.size() > shown;
    const std::vector<std::string_view> names(
        pipeline_.stages.begin(),
        pipeline_.stages.begin() + static_cast<std::ptrdiff_t>(std::min(pipeline_.stages.size(), shown)));
    return fmt::format("the stages are {}{}", more ? fmt::format("{}", fmt::join(names, ", ")) : list_words(names),
                       more ? ", …" : "");
  }

  // A service may want a variable that no shell can have (discovery.type): it sees its job's variables.
  void check_variable_names() {
    const auto has_services = [](const Job& job) { return !job.services.empty(); };
    if (std::ranges::none_of(pipeline_.jobs, has_services)) warn_of_names(pipeline_.variables);
    for (std::size_t i = 0; i < pipeline_.jobs.size(); ++i) {
      const Job& job = pipeline_.jobs[i];
      if (is_repetition(i) || has_services(job)) continue;
      warn_of_names(job.variables);
      if (!job.rules) continue;
      for (const Rule& rule : *job.rules) warn_of_names(rule.variables);
    }
  }

  void warn_of_names(const Variables& variables) {
    for (const Variable& variable : variables) {
      if (is_variable_name(variable.name)) continue;
      findings_.warning(
          variable.mark,
          fmt::format("no script sees the variable \"{}\": a shell has none of such a name", variable.name),
          "use letters, digits and _ only, no digit first");
    }
  }

  void check_name(const Job& job, const JobDraft& draft) {
    static constexpr std::string_view misread[] = {"true", "false", "nil"};
    if (job.name == "pages:deploy" && job.stage == "deploy") {
      findings_.error(job.mark, fmt::format("\"{}\" cannot be a job's name: GitLab reserves it", job.name),
                      "rename the job");
    } else if (!draft.spoilt && std::ranges::find(misread, job.name) != std::end(misread)) {
      findings_.warning(job.mark, fmt::format("\"{}\" is easily misread as a job's name", job.name), "rename the job");
    } else if (job.name.empty()) {
      findings_.error(job.mark, "a job's name cannot be empty", "name the job");
    } else if (job.name.size() > longest_name) {
      findings_.error(
          job.mark, fmt::format("the job's name has {} bytes; at most {} are allowed", job.name.size(), longest_name));
    }
  }

  // What a job that runs another pipeline may have besides (GitLab's lib/gitlab/ci/config/entry/bridge.rb).
  void check_trigger(const Job& job, const JobDraft& draft) {
    static constexpr std::string_view allowed[] = {"trigger",
                                                   "extends",
                                                   "stage",
                                                   "needs",
                                                   "rules",
                                                   "only",
                                                   "except",
                                                   "when",
                                                   "start_in",
                                                   "variables",
                                                   "allow_failure",
                                                   "inherit",
                                                   "parallel",
                                                   "resource_group",
                                                   "environment",
                                                   "interruptible",
                                                   "manual_confirmation",
                                                   "tags",
                                                   "inputs"};
    for (std::size_t i = 0; i < draft.body.size(); ++i) {
      const Yaml key = draft.body.key(i);
      if (!is_job_keyword(key.text()) || std::ranges::find(allowed, key.text()) != std::end(allowed)) {
        continue;
      }
      findings_.error(key.mark(),
                      fmt::format("job \"{}\" has `{}` and `{}`, which exclude each other", job.written_name(),
                                  job.trigger->upstream ? "needs:pipeline" : "trigger", key.text()),
                      job.trigger->upstream
                          ? "a job that takes over how another pipeline ended runs no script of its own"
                          : "a job that starts another pipeline runs no script of its own",
                      {job.trigger->mark});
    }
    check_trigger_values(job, draft);
  }

  // What such a job has no use for, though its keyword is allowed.
  void check_trigger_values(const Job& job, const JobDraft& draft) {
    if (job.allow_failure && !job.allow_failure->exit_codes.empty()) {
      findings_.error(draft.body.find_key("allow_failure").mark(),
                      fmt::format("job \"{}\" has no exit code: it runs another pipeline", job.written_name()),
                      "write `allow_failure: true`");
    }
    if (const Yaml parallel = draft.body.find("parallel"); parallel && parallel.is_scalar()) {
      findings_.error(parallel.mark(),
                      fmt::format("`parallel` of job \"{}\", which runs another pipeline, can only be a `matrix`",
                                  job.written_name()),
                      "for example `parallel: { matrix: [{ PART: [one, two] }] }`");
    }
  }

  // docs.gitlab.com/ci/yaml/#run: in place of a script (lib/gitlab/ci/config/entry/job.rb).
  void check_run(const Job& job, const JobDraft& draft) {
    for (const std::string_view keyword : {"script", "before_script", "after_script"}) {
      if (const Yaml key = draft.body.find_key(keyword); key && !draft.body.find(keyword).is_null()) {
        findings_.error(
            key.mark(),
            fmt::format("job \"{}\" has `run` and `{}`, which exclude each other", job.written_name(), keyword),
            "make a step of it", {draft.body.find_key("run").mark()});
      }
    }
  }

  static bool is_given(const JobDraft& draft, std::string_view keyword) {
    const Yaml value = draft.body ? draft.body.find(keyword) : Yaml();
    return value && !value.is_null();
  }

  // A built-in step is all the work of its job; one that the runner does itself has no script around it either.
  void check_step(const Job& job, const JobDraft& draft, std::string_view step) {
    std::vector<std::string_view> others = {"script", "run"};
    others.insert(others.end(), std::begin(step_keywords), std::end(step_keywords));
    for (const std::string_view other : others) {
      if (other == step || !is_given(draft, other)) continue;
      findings_.error(
          draft.body.find_key(other).mark(),
          fmt::format("job \"{}\" has `{}` and `{}`, which exclude each other", job.written_name(), step, other),
          "make a job of each", {draft.body.find_key(step).mark()});
    }
    for (std::size_t i = 0; i < draft.body.size() && !draft.has_sandbox(); ++i) {
      const Yaml key = draft.body.key(i);
      if (is_of_sandbox(key.text()) && is_given(draft, key.text())) say_without_script(job, key, step);
    }
  }

  void say_without_script(const Job& job, Yaml key, std::string_view step) {
    const std::string_view keyword = key.text();
    const std::string said = fmt::format("`{}` of job \"{}\", whose `{}` is done by the runner itself, has no effect",
                                         keyword, job.written_name(), step);
    if (keyword == "image" || keyword == "services" || keyword == "cache") {
      findings_.warning(key.mark(), said, "remove it");
    } else {
      findings_.error(key.mark(), said, "put the commands into a job of their own, and let this one need it");
    }
  }

  void check_monitor(const Job& job, const JobDraft& draft) {
    if (!is_given(draft, "monitor") || !job.monitor || !job.monitor->rollback.value_or(false)) return;
    if (draft.spoilt || (job.step && can_roll_back(*job.step))) return;
    findings_.error(draft.body.find("monitor").mark(),
                    fmt::format("`monitor:rollback` of job \"{}\", which has nothing to take back", job.written_name()),
                    "only deploy:ecs, deploy:asg and deploy:cloudformation can be rolled back");
  }

  void check_work(const Job& job, const JobDraft& draft) {
    if (job.trigger) {
      check_trigger(job, draft);
      return;
    }
    if (draft.body && draft.body.find_key("trigger")) {
      return;  // one that could not be read
    }
    for (const std::string_view step : step_keywords) {
      if (!is_given(draft, step)) continue;
      check_step(job, draft, step);
      return;
    }
    if (draft.has_run && draft.body.find("run") && !draft.body.find("run").is_null()) {
      check_run(job, draft);
      return;
    }
    const std::vector<std::string>& script = job.script.main;
    const bool empty = script.empty() || (script.size() == 1 && script[0].empty());
    // Where a file could not be had, it may have the script.
    if (!empty || draft.spoilt || (draft_.incomplete && !draft.has_script)) {
      return;
    }
    if (draft.has_script) {
      const Yaml key = draft.body.find_key("script");
      findings_.error(key.mark(), fmt::format("`script` of job \"{}\" is empty", job.written_name()),
                      "for example `script: make`");
    } else {
      findings_.error(job.mark, fmt::format("job \"{}\" has no `script`", job.written_name()),
                      "add `script: make`, or hide it with a name that begins with a dot");
    }
  }

  // A word that was read: what is no such word has been said.
  static bool is_when(Yaml when) {
    static constexpr std::string_view words[] = {"on_success", "on_failure", "always", "manual"};
    return when.is_null() || std::ranges::find(words, when.text()) != std::end(words);
  }

  void check_delay(const Job& job, const JobDraft& draft) {
    if (job.when == When::delayed && !draft.start_in && !draft.spoilt) {
      findings_.error(draft.body.find("when").mark(),
                      fmt::format("job \"{}\" has `when: delayed` without `start_in`", job.written_name()),
                      "add `start_in: 30 minutes`");
    }
    if (!draft.start_in) {
      return;
    }
    if (job.rules) {
      findings_.error(draft.body.find_key("start_in").mark(),
                      fmt::format("job \"{}\" has both `start_in` and `rules`", job.written_name()),
                      "write `when: delayed` and `start_in` in the rule");
    } else if (const Yaml when = draft.body.find("when"); job.when != When::delayed && (!when || is_when(when))) {
      findings_.error(draft.body.find_key("start_in").mark(),
                      fmt::format("job \"{}\" has `start_in` without `when: delayed`", job.written_name()),
                      "add `when: delayed`");
    }
  }

  void check_policies(const Job& job, const JobDraft& draft) {
    if (!draft.body) {
      return;  // its `extends` is wrong
    }
    for (const std::string_view keyword : {"only", "except"}) {
      const Yaml key = job.rules ? draft.body.find_key(keyword) : Yaml();
      if (key && !draft.body.find(keyword).is_null()) {
        findings_.error(key.mark(), fmt::format("job \"{}\" has both `rules` and `{}`", job.written_name(), keyword),
                        fmt::format("say it in `rules`, or write `{}: null`", keyword),
                        {draft.body.find_key("rules").mark()});
      }
    }
    const Yaml confirmation = draft.body.find_key("manual_confirmation");
    if (confirmation && !job.manual_confirmation.empty() && !can_be_manual(job)) {
      findings_.warning(
          confirmation.mark(),
          fmt::format("`manual_confirmation` of job \"{}\", which is never manual, has no effect", job.written_name()),
          "add `when: manual`, or remove it");
    }
  }

  static bool can_be_manual(const Job& job) {
    return job.when == When::manual ||
           (job.rules && std::ranges::any_of(*job.rules, [](const Rule& rule) { return rule.when == When::manual; }));
  }

  // The named jobs. Reports when there is none: `SAYS "name", which is not defined`.
  template <class Says>
  std::span<const std::uint32_t> find_jobs(Mark mark, std::string_view name, const Says& says) {
    const std::span<const std::uint32_t> found = names_.find(name);
    if (found.empty()) {
      report_undefined(mark, name, says, {});
    }
    return found;
  }

  template <class Says>
  void report_undefined(Mark mark, std::string_view name, const Says& says, std::string otherwise) {
    if (draft_.incomplete || std::ranges::find(draft_.unfit, name) != draft_.unfit.end()) {
      return;
    }
    std::string hint;
    if (name.starts_with('.')) {
      hint = "a hidden job does not run";
    } else if (findings_.suggests()) {
      hint = did_you_mean(findings_.suggest(name, known_names(pipeline_)), std::move(otherwise));
    }
    findings_.error(mark, fmt::format("{} \"{}\", which is not defined", says(), name), std::move(hint));
  }

  bool is_later(std::size_t job, std::uint32_t other) const {
    return stage_of_[job] && stage_of_[other] && *stage_of_[other] > *stage_of_[job];
  }

  void check_needs(std::size_t i) {
    const Job& job = pipeline_.jobs[i];
    if (job.needs) {
      check_needs(i, *job.needs);
    }
    for (const Rule& rule : job.rules ? std::span<const Rule>(*job.rules) : std::span<const Rule>()) {
      if (rule.needs) {
        check_needs(i, *rule.needs);
      }
    }
  }

  void check_needs(std::size_t i, const std::vector<Need>& needs) {
    const std::string& name = pipeline_.jobs[i].written_name();
    needed_.clear();
    std::size_t count = 0;
    for (const Need& need : needs) {
      const std::span<const std::uint32_t> others = names_.find(need);
      count += std::max<std::size_t>(others.size(), 1);
      if (count <= most_needs) {
        check_need(i, need, others);
      }
    }
    if (count > most_needs) {
      findings_.error(needs[std::min(most_needs, needs.size() - 1)].mark,
                      fmt::format("job \"{}\" needs {} jobs; at most {} are allowed", name, count, most_needs));
      return;
    }
    std::ranges::sort(needed_, {}, &std::pair<std::uint32_t, Mark>::first);
    for (std::size_t n = 1; n < needed_.size(); ++n) {
      if (needed_[n].first == needed_[n - 1].first) {
        findings_.error(needed_[n].second,
                        fmt::format("job \"{}\" needs \"{}\" twice", name, pipeline_.jobs[needed_[n].first].name),
                        "remove one of them", {needed_[n - 1].second});
      }
    }
  }

  void check_need(std::size_t i, const Need& need, std::span<const std::uint32_t> others) {
    const Job& job = pipeline_.jobs[i];
    if (others.empty()) {
      if (!need.optional) {
        report_undefined(
            need.mark, need.job, [&] { return fmt::format("job \"{}\" needs", job.written_name()); },
            matrix_hint(need));
      }
      return;
    }
    if (std::ranges::find(others, i) != others.end()) {
      findings_.error(need.mark, fmt::format("job \"{}\" needs itself", job.written_name()), "remove it from `needs`");
    } else if (is_later(i, others[0])) {
      findings_.error(need.mark,
                      fmt::format("job \"{}\" needs \"{}\", which is in a later stage", job.written_name(), need.job),
                      fmt::format("\"{}\" is in \"{}\", \"{}\" in \"{}\"", job.written_name(), job.stage, need.job,
                                  pipeline_.jobs[others[0]].stage),
                      {pipeline_.jobs[others[0]].mark});
    } else {
      for (const std::uint32_t other : others) {
        needed_.emplace_back(other, need.mark);
      }
    }
  }

  // For a `needs:parallel:matrix` that names no instance.
  std::string matrix_hint(const Need& need) const {
    const std::span<const std::uint32_t> all =
        need.origin.empty() ? std::span<const std::uint32_t>() : names_.find(need.origin);
    return all.empty() ? std::string()
                       : fmt::format("name all its values, in the order of its `parallel:matrix`: \"{}\" is one",
                                     pipeline_.jobs[all[0]].name);
  }

  void check_dependencies(std::size_t i) {
    const Job& job = pipeline_.jobs[i];
    const Yaml list = drafts_[i].dependencies;
    if (!list || !job.dependencies || is_repetition(i)) {
      return;
    }
    for (std::size_t d = 0; d < list.size(); ++d) {
      const Mark mark = list.item(d).mark();
      const std::string_view name = list.item(d).text();
      const std::span<const std::uint32_t> others =
          find_jobs(mark, name, [&] { return fmt::format("`dependencies` of job \"{}\" names", job.written_name()); });
      if (others.empty()) {
        continue;
      }
      if (std::ranges::find(others, i) != others.end() || is_later(i, others[0])) {
        findings_.error(mark,
                        fmt::format("`dependencies` of job \"{}\" names \"{}\", which does not run before it",
                                    job.written_name(), name),
                        "artifacts come from jobs of earlier stages", {pipeline_.jobs[others[0]].mark});
      } else if (job.needs && !job.needs->empty() && !is_needed(others, *job.needs)) {
        findings_.error(mark,
                        fmt::format("`dependencies` of job \"{}\" names \"{}\", which is not in its `needs`",
                                    job.written_name(), name),
                        "with `needs`, artifacts come only from the jobs in it");
      }
    }
  }

  // Whether one of the jobs is among the needed ones.
  bool is_needed(std::span<const std::uint32_t> jobs, const std::vector<Need>& needs) const {
    return std::ranges::any_of(needs, [&](const Need& need) {
      const std::span<const std::uint32_t> needed = names_.find(need);
      return std::ranges::find_first_of(needed, jobs) != needed.end();
    });
  }

  void check_on_stop(const Job& job, const JobDraft& draft) {
    if (!job.environment || job.environment->on_stop.empty()) {
      return;
    }
    const Yaml environment = draft.body.find("environment");
    const Yaml on_stop = environment ? environment.find("on_stop") : Yaml();
    const Mark mark = on_stop ? on_stop.mark() : job.mark;
    const std::span<const std::uint32_t> found = find_jobs(mark, job.environment->on_stop, [&] {
      return fmt::format("`environment:on_stop` of job \"{}\" names", job.written_name());
    });
    if (!found.empty() && !drafts_[found[0]].spoilt) {
      check_stops(job, pipeline_.jobs[found[0]], mark);
    }
  }

  // GitLab's lib/gitlab/ci/yaml_processor.rb, validate_on_stop_job!.
  void check_stops(const Job& job, const Job& stop, Mark mark) {
    const auto wrong = [&](std::string_view what, std::string hint) {
      findings_.error(mark,
                      fmt::format("`environment:on_stop` of job \"{}\" names \"{}\", {}", job.written_name(),
                                  stop.written_name(), what),
                      std::move(hint), {stop.mark});
    };
    const std::string& name = job.environment->name;
    if (!stop.environment) {
      wrong("which has no `environment`", fmt::format("give it `environment: {{ name: {}, action: stop }}`", name));
    } else if (stop.environment->name != name) {
      wrong("which is of another environment", fmt::format("name it \"{}\" in both jobs", name));
    } else if (stop.environment->action != "stop") {
      wrong("which does not stop it", "add `action: stop` to its `environment`");
    }
  }

  // Depth first without recursion; a circle is named once, and jobs of a circle already named end the search.
  void check_circles() {
    enum class State : std::uint8_t { fresh, open, done, named };
    struct Visit {
      std::uint32_t job = 0;
      std::size_t next_need = 0;
      std::size_t next_instance = 0;  // of that need

      const Need& last_need(const Pipeline& pipeline) const {
        return (*pipeline.jobs[job].needs)[next_need - (next_instance == 0 ? 1 : 0)];
      }
    };
    std::vector<State> states(pipeline_.jobs.size(), State::fresh);
    std::vector<Visit> path;
    for (std::uint32_t first = 0; first < pipeline_.jobs.size(); ++first) {
      if (states[first] != State::fresh) {
        continue;
      }
      states[first] = State::open;
      path.push_back({first});
      while (!path.empty()) {
        Visit& visit = path.back();
        const Job& job = pipeline_.jobs[visit.job];
        if (!job.needs || visit.next_need == job.needs->size()) {
          states[visit.job] = states[visit.job] == State::named ? State::named : State::done;
          path.pop_back();
          continue;
        }
        const std::span<const std::uint32_t> others = names_.find((*job.needs)[visit.next_need]);
        // A job that needs itself has been told.
        const bool idle = others.empty() || std::ranges::find(others, visit.job) != others.end();
        const std::uint32_t other = idle ? visit.job : others[visit.next_instance];
        if (++visit.next_instance >= others.size()) {
          ++visit.next_need;
          visit.next_instance = 0;
        }
        if (other == visit.job) {
          continue;
        }
        if (states[other] == State::fresh) {
          states[other] = State::open;
          path.push_back({other});
        } else if (states[other] == State::open) {
          const auto begin = std::ranges::find(path, other, &Visit::job);
          std::vector<CircleMember> members;
          for (auto at = begin; at != path.end(); ++at) {
            const Job& member = pipeline_.jobs[at->job];
            members.push_back({member.name, at->last_need(pipeline_).mark});
            states[at->job] = State::named;
          }
          findings_.circle("jobs need each other in a circle", members, "remove one of these needs");
        }
      }
    }
  }

  void check_any_job() {
    if (findings_.errors() > 0) {
      return;
    }
    if (pipeline_.jobs.empty()) {
      findings_.error({}, "the pipeline has no job that runs",
                      "jobs whose names begin with a dot are hidden; add one without");
      return;
    }
    // No mistake to GitLab, which makes no pipeline then.
    const bool only_edges =
        std::ranges::all_of(pipeline_.jobs, [](const Job& job) { return job.stage == ".pre" || job.stage == ".post"; });
    if (only_edges) {
      findings_.warning(pipeline_.jobs.front().mark,
                        "all jobs are in the stages .pre and .post, so the pipeline does not run",
                        "put at least one job into another stage");
    }
  }

  const Pipeline& pipeline_;
  const std::vector<JobDraft>& drafts_;
  const PipelineDraft& draft_;
  Findings& findings_;
  std::unordered_map<std::string_view, std::uint32_t> stages_;
  JobNames names_;
  std::vector<std::optional<std::uint32_t>> stage_of_;
  std::vector<std::pair<std::uint32_t, Mark>> needed_;  // by the job that is being looked at
};

}  // namespace

void check(const Pipeline& pipeline, const std::vector<JobDraft>& drafts, const PipelineDraft& draft,
           Findings& findings) {
  Checker(pipeline, drafts, draft, findings).run();
}

}  // namespace pipelines
