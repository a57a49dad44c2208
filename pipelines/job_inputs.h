// A job's `inputs` (docs.gitlab.com/ci/jobs/job_inputs; lib/gitlab/ci/config/entry/job_input.rb): values that
// `${{ job.inputs.NAME }}` stands for in some of the job's keywords, and nowhere else.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipelines/inputs.h"
#include "pipelines/moa.h"
#include "pipelines/reader.h"
#include "pipelines/yaml_tree.h"

namespace pipelines {

class JobInputs {
 public:
  static constexpr std::size_t most_growth = 16 * 1024 * 1024;  // of all texts of one job together

  JobInputs(YamlTree&, Reader&);

  // Reads the definitions and gives every input its value: the given text, else its default. False after an error.
  bool define(std::string_view job, Yaml inputs, const std::vector<std::pair<std::string, std::string>>& given);

  // The keyword's value with every expression replaced, as it was where that is wrong, which is reported. With
  // `as_text` numbers and booleans become texts: commands.
  Yaml put_in(Yaml value, bool as_text);

 private:
  std::optional<Yaml> read_list(Mark, std::string_view text);
  Yaml scalar(Yaml host, bool as_text);
  Yaml container(Yaml value, bool as_text);
  Yaml to_yaml(const MoaValue&, Yaml host, bool as_text);

  YamlTree& tree_;
  Reader& reader_;
  MoaValue job_;  // what `job` stands for
  std::size_t grown_ = 0;
};

// The names that the job's `inputs` define.
std::vector<std::string_view> input_names(Yaml inputs);

}  // namespace pipelines
