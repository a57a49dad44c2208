#include "pipelines/parse.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_set>
#include <utility>

#include "pipelines/check.h"
#include "pipelines/compose.h"
#include "pipelines/emit.h"
#include "pipelines/extends.h"
#include "pipelines/findings.h"
#include "pipelines/job_inputs.h"
#include "pipelines/keywords.h"
#include "pipelines/parallel.h"
#include "pipelines/reader.h"
#include "pipelines/reference.h"
#include "pipelines/written_out.h"
#include "pipelines/yaml_tree.h"

namespace pipelines {
namespace {

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
  // With `incomplete`, what is not defined may be defined in a file that could not be read.
  PipelineParser(YamlTree& tree, const Composer::Composed& composed, const Context& context, Parsed& parsed,
                 Findings& findings)
      : tree_(tree),
        root_(composed.root),
        unclaimed_(composed.unclaimed),
        context_(context),
        parsed_(parsed),
        pipeline_(parsed.pipeline),
        findings_(findings),
        reader_(findings, root_),
        extends_(tree, root_, findings, composed.incomplete),
        references_(tree, root_, extends_, findings, composed.incomplete) {
    draft_.pipeline = &pipeline_;
    draft_.incomplete = composed.incomplete;
  }

  void run() {
    read_globals(reader_, with_globals_resolved(), draft_);
    pipeline_.stages = complete_stages(std::move(pipeline_.stages), draft_.has_stages);
    check_defaults();
    read_jobs();
    refuse_unclaimed_inputs();
    for (const JobDraft& draft : drafts_) {
      if (draft.parallel) {
        parallels_.emplace(draft.job->name, *draft.parallel);
      }
    }
    expand_parallel(pipeline_, drafts_, findings_);
    check(pipeline_, drafts_, draft_, findings_);
  }

  // The file as it was read: globals and jobs with everything resolved, parallel ones as their instances.
  std::optional<Yaml> resolved_root() {
    WrittenOut jobs(tree_, pipeline_, parallels_);
    std::vector<YamlTree::Entry> entries;
    for (std::uint32_t i = 0; i < root_.size(); ++i) {
      const Yaml key = root_.key(i);
      if (is_global_keyword(key.text())) {
        entries.push_back({key.index(), resolved(root_.value(i)).index()});
      } else if (!key.text().starts_with('.')) {
        const std::optional<Yaml> body = body_of(i);
        if (!body || !jobs.add(key, *body, entries)) {
          return std::nullopt;
        }
      }
    }
    return tree_.make_mapping(root_.mark(), entries);
  }

 private:
  // The value as it is after `!reference`; null where that is wrong.
  Yaml resolved(Yaml value) {
    if (!tree_.has_references()) {
      return value;
    }
    const std::optional<Yaml> found = references_.resolve(value);
    return found ? *found : null();
  }

  Yaml null() {
    if (!null_) {
      null_ = tree_.make_null(root_.mark());
    }
    return null_;
  }

  Yaml with_globals_resolved() {
    if (!tree_.has_references()) {
      return root_;
    }
    std::vector<YamlTree::Entry> entries;
    for (std::size_t i = 0; i < root_.size(); ++i) {
      const Yaml key = root_.key(i);
      if (is_global_keyword(key.text())) {
        entries.push_back({key.index(), resolved(root_.value(i)).index()});
      }
    }
    return tree_.make_mapping(root_.mark(), entries).value_or(root_);
  }

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
    // Drafts point to their jobs, which therefore must not move.
    pipeline_.jobs.reserve(root_.size());
    drafts_.reserve(root_.size());
    for (std::uint32_t i = 0; i < root_.size(); ++i) {
      const Yaml key = root_.key(i);
      if (is_global_keyword(key.text())) {
        continue;
      }
      if (key.text().starts_with('.')) {
        if (tree_.has_references()) {
          body_of(i);  // for what is wrong in it
        }
        continue;
      }
      const std::optional<Yaml> body = body_of(i);
      const Yaml value = root_.value(i).is_reference() && body ? *body : root_.value(i);
      if (value.is_reference() || !is_job(findings_, key, value)) {
        draft_.unfit.push_back(key.text());
      } else if (!read_one(key, body)) {
        break;
      }
    }
  }

  // With its bases merged in and its references replaced.
  std::optional<Yaml> body_of(std::uint32_t entry) {
    const Yaml value = root_.value(entry);
    const std::optional<Yaml> body = value.is_mapping() ? extends_.resolve(entry) : value;
    return body && tree_.has_references() ? references_.resolve(*body) : body;
  }

  // False when the jobs read so far take so much that it is enough.
  bool read_one(Yaml key, std::optional<Yaml> body) {
    Job& job = pipeline_.jobs.emplace_back();
    job.name = key.text();
    job.mark = key.mark();
    JobDraft& draft = drafts_.emplace_back();
    draft.job = &job;
    const bool boolean = key.type() == ScalarType::boolean && (job.name == "true" || job.name == "false");
    if (boolean) {  // quoted it is a name (docs.gitlab.com/ci/jobs/#job-names)
      findings_.error(key.mark(), fmt::format("\"{}\" cannot be a job's name: GitLab reserves it", job.name),
                      "rename the job");
      draft.spoilt = true;
    }
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
    if (const Yaml inputs = body->find("inputs"); inputs && !inputs.is_null()) {
      read_with_inputs(inputs, draft);
    } else {
      read_job(reader_, draft_.defaults, draft);
    }
    return !draft.parallel || reader_.charge(*body, draft.parallel->count - 1);
  }

  // Whether it is one of those that were named, or one of them is an instance of it.
  bool is_named(std::string_view job) const {
    return std::ranges::any_of(context_.jobs, [&](std::string_view named) {
      const std::string_view rest = named.starts_with(job) ? named.substr(job.size()) : "?";
      return rest.empty() || rest.starts_with(": [") || (rest.starts_with(' ') && rest.find('/') != rest.npos);
    });
  }

  // Job inputs are put in before the job is read, so that what they make of it is checked as if it stood there.
  void read_with_inputs(Yaml inputs, JobDraft& draft) {
    static const std::vector<std::pair<std::string, std::string>> none;
    const bool named = is_named(draft.job->name);
    JobInputs values(tree_, reader_);
    if (!values.define(draft.job->name, inputs, named ? context_.inputs : none)) {
      draft.spoilt = true;
    }
    if (named) {
      claim_inputs(inputs);
    }
    if (draft.spoilt) {
      return;
    }
    std::vector<YamlTree::Entry> entries;
    for (std::size_t i = 0; i < draft.body.size(); ++i) {
      const std::string_view keyword = draft.body.key(i).text();
      const Yaml value = draft.body.value(i);
      entries.push_back({draft.body.key(i).index(),
                         (takes_inputs(keyword) ? values.put_in(value, is_commands(keyword)) : value).index()});
    }
    draft.body = tree_.make_mapping(draft.body.mark(), entries).value_or(draft.body);
    std::vector<DefaultEntry> defaults = draft_.defaults;
    for (DefaultEntry& entry : defaults) {
      const std::string_view keyword = job_keywords()[entry.keyword].field.name;
      if (takes_inputs(keyword) && !draft.body.find_key(keyword)) {
        entry.value = values.put_in(entry.value, is_commands(keyword));
      }
    }
    read_job(reader_, defaults, draft);
  }

  void claim_inputs(Yaml inputs) {
    const std::vector<std::string_view> names = input_names(inputs);
    const auto has = [&](std::string_view name) { return std::ranges::find(names, name) != names.end(); };
    std::erase_if(unclaimed_, has);
    for (const auto& given : context_.inputs) {
      const bool known = std::ranges::find(parsed_.job_inputs, given) != parsed_.job_inputs.end();
      if (has(given.first) && !known) {
        parsed_.job_inputs.push_back(given);
      }
    }
  }

  void refuse_unclaimed_inputs() {
    for (const std::string& name : unclaimed_) {
      std::vector<std::string_view> known;
      for (const JobDraft& draft : drafts_) {
        const Yaml inputs = draft.body ? draft.body.find("inputs") : Yaml();
        if (inputs && is_named(draft.job->name)) {
          const std::vector<std::string_view> names = input_names(inputs);
          known.insert(known.end(), names.begin(), names.end());
        }
      }
      findings_.error(Mark{}, fmt::format("neither the file nor a job that is named has an input \"{}\"", name),
                      did_you_mean(findings_.suggest(name, known),
                                   known.empty() ? std::string() : fmt::format("there is {}", list_words(known))));
    }
  }

  YamlTree& tree_;
  Yaml root_;
  std::vector<std::string> unclaimed_;
  const Context& context_;
  Parsed& parsed_;
  std::map<std::string, Parallel, std::less<>> parallels_;  // by the names that the author wrote
  Pipeline& pipeline_;
  Findings& findings_;
  Reader reader_;
  Extends extends_;
  References references_;
  PipelineDraft draft_;
  Yaml null_;
  std::vector<JobDraft> drafts_;
};

}  // namespace

namespace {

// What parse() and preview() have in common; `form`: also make the text.
Preview read_pipeline(std::string_view text, std::string_view name, const Context& context,
                      std::optional<PreviewForm> form) {
  Preview result;
  Findings findings;
  YamlTree tree;
  Composer composer(tree, findings, context);
  if (const std::optional<Composer::Composed> composed = composer.compose(text, name)) {
    PipelineParser parser(tree, *composed, context, result.parsed, findings);
    parser.run();
    const Mark whole_file{};
    if (composed->changed && findings.errors() == 0) {
      if (std::optional<std::string> whole = emit_yaml(composed->root)) {
        result.parsed.composed = std::move(*whole);
      } else {
        findings.error(whole_file, "the pipeline is too large with all that it includes",
                       fmt::format("at most {} MB in all", Limits::text_bytes / (1024 * 1024)));
      }
    }
    if (form && findings.errors() == 0) {
      const std::optional<Yaml> root = parser.resolved_root();
      const bool json = form == PreviewForm::json;
      result.text = root ? (json ? emit_json(*root) : emit_yaml(*root)).value_or("") : "";
      if (result.text.empty()) {
        findings.error(whole_file, "the pipeline is too large to be shown");
      }
    }
  }
  result.parsed.diagnostics = findings.take();
  result.parsed.sources = composer.take_sources();
  return result;
}

}  // namespace

Parsed parse(std::string_view text, std::string_view name, const Context& context) {
  return read_pipeline(text, name, context, std::nullopt).parsed;
}

Parsed parse(std::string_view text, std::string_view name) { return parse(text, name, Context{}); }

Preview preview(std::string_view text, std::string_view name, const Context& context, PreviewForm form) {
  return read_pipeline(text, name, context, form);
}

}  // namespace pipelines
