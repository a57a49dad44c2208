#include "pipelines/parallel.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace pipelines {
namespace {

const Variable* find(const Variables& variables, std::string_view name) {
  const auto found = std::ranges::find(variables, name, &Variable::name);
  return found == variables.end() ? nullptr : &*found;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  return begin == std::string_view::npos ? std::string_view()
                                         : text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

class Expander {
 public:
  Expander(Pipeline& pipeline, std::vector<JobDraft>& drafts, Findings& findings)
      : pipeline_(pipeline), drafts_(drafts), findings_(findings) {}

  void run() {
    std::size_t total = 0;
    for (const JobDraft& draft : drafts_) {
      total += draft.parallel ? draft.parallel->count : 1;
      if (total > drafts_.size() + most_parallel_jobs) {
        findings_.error(draft.parallel ? draft.parallel->mark : draft.job->mark,
                        "the `parallel` of this file make far too many jobs",
                        fmt::format("at most {} in all", most_parallel_jobs));
        return;
      }
    }
    // Drafts point to their jobs, names are looked up where they stand: neither may move.
    jobs_.reserve(total);
    made_.reserve(total);
    by_name_.reserve(total);
    for (JobDraft& draft : drafts_) {
      if (draft.parallel) {
        add_instances(draft);
      } else {
        refuse_expressions(*draft.job);
        Job& job = *draft.job;
        const Mark mark = job.mark;
        add(std::move(job), std::move(draft), mark);
      }
    }
    pipeline_.jobs = std::move(jobs_);
    drafts_ = std::move(made_);
  }

 private:
  void add_instances(JobDraft& draft) {
    const Parallel parallel = *std::exchange(draft.parallel, std::nullopt);
    for (std::uint32_t i = 0; i < parallel.count; ++i) {
      Job job = *draft.job;
      job.origin = job.name;
      job.node_index = i + 1;
      job.node_total = parallel.count;
      if (parallel.matrix.empty()) {
        job.name = fmt::format("{} {}/{}", job.origin, job.node_index, job.node_total);
        refuse_expressions(job);
      } else {
        const Variables& row = parallel.matrix[i];
        job.name = instance_name(job.origin, row);
        lay_over(job.variables, row);
        each_need(job, [&](Need& need) { replace(job, need, row); });
      }
      add(std::move(job), draft, parallel.mark);
    }
  }

  void add(Job job, JobDraft draft, Mark mark) {
    const auto found = by_name_.find(job.name);
    if (found != by_name_.end()) {
      const std::size_t place = found->second;
      findings_.warning(
          mark, fmt::format("two jobs are called \"{}\"; the later one takes the earlier one's place", job.name),
          "names are made of the matrix's values alone: give each instance values of its own", {jobs_[place].mark});
      by_name_.erase(found);
      jobs_[place] = std::move(job);
      made_[place] = std::move(draft);
      made_[place].job = &jobs_[place];
      by_name_.emplace(jobs_[place].name, place);
      return;
    }
    jobs_.push_back(std::move(job));
    made_.push_back(std::move(draft));
    made_.back().job = &jobs_.back();
    by_name_.emplace(jobs_.back().name, jobs_.size() - 1);
  }

  static void lay_over(Variables& variables, const Variables& row) {
    for (const Variable& variable : row) {
      const auto same = std::ranges::find(variables, variable.name, &Variable::name);
      if (same == variables.end()) {
        variables.push_back(variable);
      } else {
        *same = variable;
      }
    }
  }

  template <class Function>
  static void each_need(Job& job, const Function& function) {
    if (job.needs) {
      std::ranges::for_each(*job.needs, function);
    }
    if (!job.rules) {
      return;
    }
    for (Rule& rule : *job.rules) {
      if (rule.needs) {
        std::ranges::for_each(*rule.needs, function);
      }
    }
  }

  // `$[[ matrix.NAME ]]` (docs.gitlab.com/ee/ci/yaml/matrix_expressions).
  void replace(const Job& job, Need& need, const Variables& row) {
    std::size_t at = 0;
    while ((at = need.job.find("$[[", at)) != std::string::npos) {
      const std::size_t end = need.job.find("]]", at);
      if (end == std::string::npos) {
        return;
      }
      const std::string_view inside = trimmed(std::string_view(need.job).substr(at + 3, end - at - 3));
      if (!inside.starts_with("matrix.")) {
        at = end;
        continue;
      }
      const std::string name(inside.substr(std::string_view("matrix.").size()));
      const Variable* variable = find(row, name);
      if (variable == nullptr) {
        findings_.error(need.mark,
                        fmt::format("`$[[ matrix.{} ]]` in the `needs` of job \"{}\": its `parallel:matrix` has no {}",
                                    name, job.origin, name),
                        fmt::format("it has {}", names_of(row)));
        return;
      }
      need.job.replace(at, end + 2 - at, variable->value);
      at += variable->value.size();
    }
  }

  static std::string names_of(const Variables& row) {
    std::vector<std::string_view> names;
    for (const Variable& variable : row) {
      names.emplace_back(variable.name);
    }
    return list_words(names);
  }

  void refuse_expressions(Job& job) {
    each_need(job, [&](const Need& need) {
      if (need.job.find("$[[ matrix.") != std::string::npos) {
        findings_.error(need.mark,
                        fmt::format("`$[[ matrix. ]]` in the `needs` of job \"{}\", which has no `parallel:matrix`",
                                    job.written_name()),
                        "write the values out");
      }
    });
  }

  Pipeline& pipeline_;
  std::vector<JobDraft>& drafts_;
  Findings& findings_;
  std::vector<Job> jobs_;
  std::vector<JobDraft> made_;
  std::unordered_map<std::string_view, std::size_t> by_name_;
};

}  // namespace

void expand_parallel(Pipeline& pipeline, std::vector<JobDraft>& drafts, Findings& findings) {
  const bool any = std::ranges::any_of(drafts, [](const JobDraft& draft) { return draft.parallel.has_value(); });
  if (any) {
    Expander(pipeline, drafts, findings).run();
  }
}

}  // namespace pipelines
