#include "pipelines/parse.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <unordered_set>
#include <utility>

#include "pipelines/check.h"
#include "pipelines/extends.h"
#include "pipelines/findings.h"
#include "pipelines/keywords.h"
#include "pipelines/parallel.h"
#include "pipelines/reader.h"
#include "pipelines/yaml_tree.h"

namespace pipelines {
namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

// A mapping without one keyword of a job, whose name is nearly a global keyword's, is a typing mistake and no job.
bool looks_like_job(Yaml body) {
  for (std::size_t i = 0; i < body.size(); ++i) {
    if (is_job_keyword(body.key(i).text())) {
      return true;
    }
  }
  return false;
}

// Whether the entry can be read as a job; says why not.
bool is_job(Findings& findings, Yaml key, Yaml body) {
  if (body.is_mapping() && (body.size() == 0 || looks_like_job(body))) {
    return true;
  }
  const std::string_view near = findings.suggest(key.text(), global_keyword_names());
  if (!near.empty()) {
    findings.error(key.mark(), fmt::format("unknown keyword \"{}\"", key.text()), did_you_mean(near));
    return false;
  }
  if (body.is_mapping()) {
    return true;
  }
  findings.error(body.mark(), fmt::format("job \"{}\" must be a mapping, not {}", key.text(), describe(body)),
                 body.is_scalar() || body.is_sequence() ? "put the commands below `script:`" : "give it a `script`");
  return false;
}

// GitLab's stages: .pre first and .post last, whatever the author wrote.
std::vector<std::string> complete_stages(std::vector<std::string> stages, bool given) {
  if (!given) {
    stages = {"build", "test", "deploy"};
  }
  std::vector<std::string> complete = {".pre"};
  std::unordered_set<std::string> seen = {".pre", ".post"};
  for (std::string& stage : stages) {
    if (seen.insert(stage).second) {
      complete.push_back(std::move(stage));
    }
  }
  complete.emplace_back(".post");
  return complete;
}

class PipelineParser {
 public:
  PipelineParser(YamlTree& tree, Yaml root, Pipeline& pipeline, Findings& findings)
      : tree_(tree), root_(root), pipeline_(pipeline), findings_(findings), reader_(findings, root) {}

  void run() {
    draft_.pipeline = &pipeline_;
    read_globals(reader_, root_, draft_);
    pipeline_.stages = complete_stages(std::move(pipeline_.stages), draft_.has_stages);
    check_defaults();
    read_jobs();
    expand_parallel(pipeline_, drafts_, findings_);
    check(pipeline_, drafts_, draft_, findings_);
  }

 private:
  // `default` is checked also when no job takes anything from it. What jobs find again is dropped as a repetition.
  void check_defaults() {
    Job job;
    JobDraft draft;
    draft.job = &job;
    const std::optional<Yaml> empty = tree_.make_mapping(root_.mark(), {});
    if (empty) {
      draft.body = *empty;
      read_job(reader_, draft_.defaults, draft);
    }
  }

  void read_jobs() {
    Extends extends(tree_, root_, findings_, draft_.incomplete);
    // Drafts point to their jobs, which therefore must not move.
    pipeline_.jobs.reserve(root_.size());
    drafts_.reserve(root_.size());
    for (std::uint32_t i = 0; i < root_.size(); ++i) {
      const Yaml key = root_.key(i);
      if (key.text().starts_with('.') || is_global_keyword(key.text())) {
        continue;
      }
      if (!is_job(findings_, key, root_.value(i))) {
        draft_.unfit.push_back(key.text());
      } else if (!read_one(key, extends.resolve(i))) {
        break;
      }
    }
  }

  // False when the jobs read so far take so much that it is enough.
  bool read_one(Yaml key, std::optional<Yaml> body) {
    Job& job = pipeline_.jobs.emplace_back();
    job.name = key.text();
    job.mark = key.mark();
    JobDraft& draft = drafts_.emplace_back();
    draft.job = &job;
    if (!body) {
      draft.spoilt = true;
      return true;
    }
    draft.body = *body;
    bool affordable = reader_.charge(*body);
    for (const DefaultEntry& entry : draft_.defaults) {
      affordable = affordable && reader_.charge(entry.value);
    }
    if (!affordable) {
      draft.spoilt = true;
      draft_.incomplete = true;
      return false;
    }
    read_job(reader_, draft_.defaults, draft);
    return !draft.parallel || reader_.charge(*body, draft.parallel->count - 1);
  }

  YamlTree& tree_;
  Yaml root_;
  Pipeline& pipeline_;
  Findings& findings_;
  Reader reader_;
  PipelineDraft draft_;
  std::vector<JobDraft> drafts_;
};

}  // namespace

Parsed parse(std::string_view text, std::string_view name) {
  Parsed parsed;
  if (text.starts_with(byte_order_mark)) {
    text.remove_prefix(byte_order_mark.size());
  }
  Source& source = parsed.sources.emplace_back();
  source.name = name;
  if (text.size() <= Limits::text_bytes) {
    source.text = text;
    text = source.text;
  }

  Findings findings;
  YamlTree tree;
  if (const std::optional<Yaml> root = tree.load(text, 0, findings)) {
    if (root->is_mapping()) {
      PipelineParser(tree, *root, parsed.pipeline, findings).run();
    } else {
      findings.error(root->mark(),
                     fmt::format("a pipeline must be a mapping of keywords and jobs, not {}", describe(*root)),
                     "for example `build: { script: make }`");
    }
  }
  parsed.diagnostics = findings.take();
  return parsed;
}

}  // namespace pipelines
