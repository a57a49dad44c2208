// The tables of a job's keywords and of the file's. A keyword is added by one row in keywords.cpp (and, where its value
// has keywords of its own, a table in a read_*.cpp). The parser, `default`, the hints and, later, the JSON schema all
// read these tables.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "pipelines/pipeline.h"
#include "pipelines/reader.h"

namespace pipelines {

// `parallel`: how many instances, or the variables of each.
struct Parallel {
  std::uint32_t count = 1;
  std::vector<Variables> matrix;  // not empty: one instance each
  Mark mark;
};

// A job while it is read: the job, and what only the checks want to know.
struct JobDraft {
  Job* job = nullptr;
  Yaml body;          // after `extends`; its keys and values have the places
  Yaml dependencies;  // values, where present
  Yaml start_in;
  std::string publish;  // unexpanded
  std::optional<Parallel> parallel;
  bool has_script = false;  // the keyword is there, whatever its value
  bool has_run = false;
  bool spoilt = false;  // a keyword was refused, or `extends` failed: what seems to be missing may not be
  bool inherits_defaults = true;
  std::vector<std::string_view> inherited_defaults;  // when not all: these

  bool inherits(std::string_view keyword) const;
  bool has_sandbox() const;  // false: a step that the runner does itself
};

struct JobKeyword {
  Field<JobDraft> field;
  bool in_default = false;    // may stand in `default`
  bool takes_inputs = false;  // `${{ job.inputs.NAME }}` may stand in its value
};

std::span<const JobKeyword> job_keywords();
std::vector<std::string_view> job_keyword_names();
bool is_job_keyword(std::string_view name);

inline constexpr std::size_t most_job_keywords = 64;
using JobKeywordSet = std::bitset<most_job_keywords>;

// One entry of `default`, or a deprecated global keyword with the same effect.
struct DefaultEntry {
  std::size_t keyword = 0;  // index into job_keywords()
  Yaml key;
  Yaml value;
};

bool read(Reader&, const Key&, Yaml, Parallel& out);

bool takes_inputs(std::string_view keyword);
// A list of commands, in which everything is text.
bool is_commands(std::string_view keyword);
// Those that take the place of `script`.
inline constexpr std::string_view step_keywords[] = {"scan", "image_build", "bake", "deploy", "rollback"};
bool is_step_keyword(std::string_view keyword);
// Says where or around what a script runs.
bool is_of_sandbox(std::string_view keyword);

// Reads a job's body, then the defaults that it does not have itself.
void read_job(Reader&, std::span<const DefaultEntry> defaults, JobDraft&);

// The file while it is read.
struct PipelineDraft {
  Pipeline* pipeline = nullptr;
  std::vector<DefaultEntry> defaults;
  bool has_stages = false;
  bool stages_spoilt = false;           // which there are is not known
  std::vector<std::string_view> unfit;  // entries that were to be jobs and could not be read; reported
  bool incomplete = false;              // `include`: what is not defined here may be defined there
};

std::span<const Field<PipelineDraft>> global_keywords();
std::vector<std::string_view> global_keyword_names();
bool is_global_keyword(std::string_view name);

// Reads the file's global keywords (its other entries are jobs).
void read_globals(Reader&, Yaml root, PipelineDraft&);

}  // namespace pipelines
