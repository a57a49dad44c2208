// `deploy:cloudformation` (docs.aws.amazon.com/AWSCloudFormation/latest/APIReference: CreateChangeSet, UpdateStack,
// RollbackConfiguration).
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "pipelines/read_steps.h"

namespace pipelines {
namespace {

using Cfn = CloudFormation;

constexpr std::size_t longest_stack_name = 128, most_triggers = 5, most_resources = 500;
constexpr std::int64_t longest_monitoring = 180 * 60;

bool is_stack(std::string_view text) {
  if (forms::is_arn(text)) return true;
  return text.size() <= longest_stack_name && std::isalpha(static_cast<unsigned char>(text.front())) != 0 &&
         std::ranges::all_of(text, [](unsigned char c) { return std::isalnum(c) != 0 || c == '-'; });
}
constexpr Form stack_name{is_stack, "is no stack's name", "letters, digits and hyphens, a letter first"};

constexpr Word<std::string_view> capability_words[] = {{"CAPABILITY_IAM", "CAPABILITY_IAM"},
                                                       {"CAPABILITY_NAMED_IAM", "CAPABILITY_NAMED_IAM"},
                                                       {"CAPABILITY_AUTO_EXPAND", "CAPABILITY_AUTO_EXPAND"}};
enum class Protected : std::uint8_t { replacement, remove };
constexpr Word<Protected> protect_words[] = {{"Replacement", Protected::replacement}, {"Remove", Protected::remove}};
constexpr Word<Cfn::Approve> approve_words[] = {
    {"replacements", Cfn::Approve::replacements}, {"never", Cfn::Approve::never}, {"always", Cfn::Approve::always}};
constexpr Word<Cfn::Mode> modes[] = {{"change_set", Cfn::Mode::change_set}, {"direct", Cfn::Mode::direct}};
constexpr Word<Cfn::InProgress> in_progress_words[] = {{"wait", Cfn::InProgress::wait},
                                                       {"fail", Cfn::InProgress::fail}};
constexpr Word<OnCancel> on_cancel_words[] = {{"leave", OnCancel::leave}, {"rollback", OnCancel::rollback}};

// A word, or a list of them.
template <class Value, std::size_t N, class Take>
bool read_words(Reader& reader, const Key& key, Yaml yaml, const Word<Value> (&table)[N], const Take& take) {
  bool good = true;
  for (std::size_t i = 0; i < (yaml.is_sequence() ? yaml.size() : 1); ++i) {
    Value value{};
    const bool read = reader.word(key, yaml.is_sequence() ? yaml.item(i) : yaml, table, value);
    if (read) take(value);
    good = read && good;
  }
  return good;
}

bool read_capabilities(Reader& reader, const Key& key, Yaml yaml, Cfn& out) {
  return read_words(reader, key, yaml, capability_words,
                    [&](std::string_view word) { out.capabilities.emplace_back(word); });
}

bool read_protect(Reader& reader, const Key& key, Yaml yaml, Cfn& out) {
  return read_words(reader, key, yaml, protect_words, [&](Protected what) {
    (what == Protected::replacement ? out.protect_replacement : out.protect_remove) = true;
  });
}

template <auto& Words>
constexpr Shape one_or_several_of{[] {
  return any_shape_of({words<Words>.json(), list_shape(words<Words>.json())});
}};

// Values of a list are separated by commas, as CommaDelimitedList and List<…> have them.
struct Parameters {
  bool read(Reader& reader, const Key& key, Yaml yaml, TextMap& out) const {
    if (!yaml.is_mapping()) return pipelines::read(reader, key, yaml, out);
    bool good = true;
    for (std::size_t i = 0; i < yaml.size(); ++i) {
      auto& [name, value] = out.emplace_back(yaml.key(i).text(), "");
      const Key of_one{&key, yaml.key(i).text()};
      if (!yaml.value(i).is_sequence()) {
        good = read_value(reader, of_one, yaml.value(i), value) && good;
        continue;
      }
      for (std::size_t item = 0; item < yaml.value(i).size(); ++item) {
        std::string part;
        good = read_value(reader, of_one, yaml.value(i).item(item), part) && good;
        value += (item == 0 ? "" : ",") + part;
      }
    }
    return good;
  }
  std::string shape(const TextMap*) const {
    const std::string one = R"({"type":["string","number","boolean","null"]})";
    return R"({"type":"object","additionalProperties":)" + any_shape_of({one, list_shape(one)}) + "}";
  }
};

// --- record, rehearse ------------------------------------------------------------------------------------------------

constexpr Field<Cfn::Record> record_fields[] = {
    {"branch", as<&Cfn::Record::branch, some_text>},
    {"file", as<&Cfn::Record::file, some_text>},
    {"template", member<&Cfn::Record::template_defaults>},
};

bool read_record(Reader& reader, const Key& key, Yaml yaml, Cfn& out) {
  Cfn::Record& record = out.record.emplace(Cfn::Record{});
  if (!reader.fields(key, yaml, record_fields, record)) return false;
  return is_given(yaml, "file") || record.template_defaults ||
         reader.wrong(key, yaml, "needs `file` or `template: true`",
                      "for example `record: { branch: main, file: stack.parameters.json }`");
}

constexpr Field<Cfn::Rehearse> rehearse_fields[] = {
    {"stack", as<&Cfn::Rehearse::stack, Text<stack_name>{}>},
    {"verify", as<&Cfn::Rehearse::verify, Texts<not_empty>{}>},
    {"keep", member<&Cfn::Rehearse::keep>},
    {"parameters", as<&Cfn::Rehearse::parameters, Parameters{}>},
};

bool read_rehearse(Reader& reader, const Key& key, Yaml yaml, Cfn& out) {
  Cfn::Rehearse& rehearse = out.rehearse.emplace(Cfn::Rehearse{});
  return reader.fields(key, yaml, rehearse_fields, rehearse) &&
         require(reader, key, yaml, {"stack", "verify"},
                 "for example `rehearse: { stack: hello-test, verify: ./verify.sh }`");
}

// Whole minutes, as MonitoringTimeInMinutes has them.
struct Minutes {
  bool read(Reader& reader, const Key& key, Yaml yaml, std::chrono::seconds& out) const {
    return Lasting{0, longest_monitoring}.read(reader, key, yaml, out) &&
           (out.count() % 60 == 0 || reader.wrong(key, yaml, "must be whole minutes", "for example `5 minutes`"));
  }
  std::string shape(const std::chrono::seconds* none) const { return shape_of(none); }
};

constexpr Field<Cfn> stack_fields[] = {
    {"stack", as<&Cfn::stack, Text<stack_name>{}>},
    {"template", as<&Cfn::template_file, some_text>},
    {"use_previous_template", member<&Cfn::use_previous_template>},
    {"delete", member<&Cfn::delete_stack>},
    {"parameters", as<&Cfn::parameters, Parameters{}>},
    {"capabilities", read_capabilities, one_or_several_of<capability_words>},
    {"tags", as<&Cfn::tags, Tags{}>},
    {"role_arn", as<&Cfn::role_arn, Text<forms::arn>{}>},
    {"approve", as<&Cfn::approve, OneOf<approve_words>{}>},
    {"protect", read_protect, one_or_several_of<protect_words>},
    {"record", read_record, Shape{[] { return mapping_shape(record_fields); }}},
    {"rehearse", read_rehearse, Shape{[] { return mapping_shape(rehearse_fields, R"("stack","verify")"); }}},
    {"fail_on_empty", member<&Cfn::fail_on_empty>},
    {"recreate_failed", member<&Cfn::recreate_failed>},
    {"continue_rollback", member<&Cfn::continue_rollback>},
    {"resources_to_skip", as<&Cfn::resources_to_skip, Texts<not_empty>{most_resources}>},
    {"disable_rollback", member<&Cfn::disable_rollback>},
    {"mode", as<&Cfn::mode, OneOf<modes>{}>},
    {"rollback_triggers", as<&Cfn::rollback_triggers, Texts<forms::arn>{most_triggers}>},
    {"monitoring_time", as<&Cfn::monitoring_time, Minutes{}>},
    {"wait", as<&Cfn::wait, some_time>},
    {"poll", as<&Cfn::poll, some_time>},
    {"in_progress", as<&Cfn::in_progress, OneOf<in_progress_words>{}>},
    {"on_cancel", as<&Cfn::on_cancel, OneOf<on_cancel_words>{}>},
    {"nested", member<&Cfn::nested>},
    {"template_bucket", as<&Cfn::template_bucket, Text<forms::bucket>{}>},
};

bool check_template(Reader& reader, const Key& key, Yaml yaml, const Cfn& out) {
  constexpr std::string_view choice = "a file, what the stack has already, or nothing: it is one of them";
  if (out.delete_stack) {
    return refuse(
        reader, key, yaml,
        {"template", "use_previous_template", "parameters", "capabilities", "tags", "protect", "record", "rehearse",
         "fail_on_empty", "recreate_failed", "continue_rollback", "resources_to_skip", "disable_rollback", "mode",
         "rollback_triggers", "monitoring_time", "nested", "template_bucket", "on_cancel"},
        "does not go with `delete: true`", "remove it: the stack is deleted");
  }
  if (out.use_previous_template) {
    return refuse(reader, key, yaml, {"template", "template_bucket"}, "does not go with `use_previous_template`",
                  std::string(choice));
  }
  return is_given(yaml, "template") ||
         reader.wrong(key, yaml, "needs `template`, `use_previous_template: true` or `delete: true`",
                      "for example `template: stack.yaml`");
}

// Without a change set nothing can be looked at before.
bool check_mode(Reader& reader, const Key& key, Yaml yaml, Cfn& out) {
  if (out.mode != Cfn::Mode::direct) return true;
  if (!is_given(yaml, "approve")) out.approve = Cfn::Approve::never;
  bool good = refuse(reader, key, yaml, {"protect", "nested"}, "needs a change set", "remove `mode: direct`");
  if (out.approve == Cfn::Approve::replacements) {
    good = reader.wrong({&key, "approve"}, yaml.find("approve"), "cannot be replacements with `mode: direct`",
                        "without a change set they are not known: write never or always, or remove `mode: direct`");
  }
  return good;
}

bool check_record(Reader& reader, const Key& key, Yaml yaml, const Cfn& out) {
  const Key record{&key, "record"};
  if (!out.record || !out.record->template_defaults) return true;
  const bool file = !out.template_file.empty() && !out.template_file.starts_with("https://");
  return file || reader.wrong({&record, "template"}, yaml.find("record"), "needs a `template` that is a file",
                              "the parameters' `Default` is changed in it");
}

}  // namespace

std::string shape_of(const CloudFormation*) { return mapping_shape(stack_fields, "\"stack\""); }

bool read(Reader& reader, const Key& key, Yaml yaml, CloudFormation& out) {
  if (!reader.fields(key, yaml, stack_fields, out)) return false;
  require(reader, key, yaml, {"stack"}, "for example `stack: web-prod`");
  check_template(reader, key, yaml, out);
  check_mode(reader, key, yaml, out);
  check_record(reader, key, yaml, out);
  if (out.rehearse && !out.stack.empty() && out.rehearse->stack == out.stack) {
    const Key rehearse{&key, "rehearse"};
    reader.wrong({&rehearse, "stack"}, yaml.find("rehearse"), "is the stack itself", "name another stack");
  }
  return out.continue_rollback ||
         refuse(reader, key, yaml, {"resources_to_skip"}, "goes with `continue_rollback: true` only");
}

}  // namespace pipelines
