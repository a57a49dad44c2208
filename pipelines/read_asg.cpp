// `deploy:asg` (docs.aws.amazon.com/autoscaling/ec2/APIReference: StartInstanceRefresh, RefreshPreferences,
// UpdateAutoScalingGroup).
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "pipelines/read_steps.h"

namespace pipelines {
namespace {

constexpr std::int64_t two_days = 172'800;  // RefreshPreferences: CheckpointDelay, BakeTime
constexpr auto usual_checkpoint_delay = std::chrono::minutes(10);

bool is_hex(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) { return std::isxdigit(c) != 0 && std::isupper(c) == 0; });
}
bool is_ami(std::string_view text) {
  constexpr std::size_t shortest = 8, longest = 17;
  if (!text.starts_with("ami-")) return false;
  text.remove_prefix(4);
  return text.size() >= shortest && text.size() <= longest && is_hex(text);
}
constexpr Form ami_id{is_ami, "is no AMI's id", "for example `ami: $AMI_ID`, or ami-0abcdef1234567890"};

using Asg = AsgDeploy;
constexpr Word<Asg::Strategy> strategies[] = {{"refresh", Asg::Strategy::refresh},
                                              {"blue_green", Asg::Strategy::blue_green}};
constexpr Word<Asg::ScaleInProtected> protected_words[] = {{"refresh", Asg::ScaleInProtected::refresh},
                                                           {"ignore", Asg::ScaleInProtected::ignore},
                                                           {"wait", Asg::ScaleInProtected::wait}};
constexpr Word<Asg::Standby> standby_words[] = {
    {"terminate", Asg::Standby::terminate}, {"ignore", Asg::Standby::ignore}, {"wait", Asg::Standby::wait}};
constexpr Word<Asg::InProgress> in_progress_words[] = {{"wait", Asg::InProgress::wait},
                                                       {"cancel", Asg::InProgress::cancel},
                                                       {"rollback", Asg::InProgress::rollback},
                                                       {"fail", Asg::InProgress::fail}};
constexpr Word<OnCancel> on_cancel_words[] = {
    {"leave", OnCancel::leave}, {"cancel", OnCancel::cancel}, {"rollback", OnCancel::rollback}};
constexpr Word<Asg::Mode> modes[] = {{"overlap", Asg::Mode::overlap}, {"switch", Asg::Mode::switch_over}};

// AWS's own words for the newest and the default one look like variables, and would be expanded to nothing.
struct Version {
  bool read(Reader& reader, const Key& key, Yaml yaml, std::string& out) const {
    const std::string_view text = yaml.is_string() ? yaml.text() : std::string_view();
    if (text == "latest" || text == "default") {
      out = text;
    } else if (text == "$Latest" || text == "$Default") {
      out = text == "$Latest" ? "latest" : "default";
    } else if (yaml.is_string() && is_literal(text) && text.find_first_not_of("0123456789") != std::string_view::npos) {
      return reader.wrong(key, yaml, fmt::format("is no version: \"{}\"", text),
                          "a number, a variable, latest or default");
    } else {
      return NumberText{1}.read(reader, key, yaml, out);
    }
    return true;
  }
  std::string shape(const std::string*) const {
    return any_shape_of(
        {R"({"type":"integer","minimum":1})", R"({"type":"string","pattern":"^[0-9]+$|[$]|^latest$|^default$"})"});
  }
};

// At each so many percent of the instances have been replaced.
struct Checkpoints {
  bool read(Reader& reader, const Key& key, Yaml yaml, std::vector<int>& out) const {
    constexpr const char* example = "for example `checkpoints: [20, 50, 100]`";
    if (!yaml.is_sequence()) return reader.mistyped(key, yaml, "a list of percentages", example);
    if (yaml.size() == 0) return reader.wrong(key, yaml, "cannot be empty", example);
    bool good = true;
    for (std::size_t i = 0; i < yaml.size(); ++i) {
      int percent = 0;
      if (!Percent{1, 100}.read(reader, key, yaml.item(i), percent)) {
        good = false;
      } else if (!out.empty() && percent <= out.back()) {
        good = reader.wrong(key, yaml.item(i), fmt::format("must ascend: {} after {}", percent, out.back()), example);
      } else {
        out.push_back(percent);
      }
    }
    return good;
  }
  std::string shape(const std::vector<int>*) const {
    return list_shape(Percent{1, 100}.shape(nullptr), R"(,"minItems":1)");
  }
};

constexpr Field<Asg::Capacity> capacity_fields[] = {
    {"min", as<&Asg::Capacity::min, NumberText{}>},
    {"max", as<&Asg::Capacity::max, NumberText{}>},
    {"desired", as<&Asg::Capacity::desired, NumberText{}>},
};

bool at_most(const std::string& low, const std::string& high) {
  if (low.empty() || high.empty() || !is_literal(low) || !is_literal(high)) return true;
  int first = 0, second = 0;  // both were read as numbers
  std::from_chars(low.data(), low.data() + low.size(), first);
  std::from_chars(high.data(), high.data() + high.size(), second);
  return first <= second;
}

bool read_capacity(Reader& reader, const Key& key, Yaml yaml, Asg& out) {
  Asg::Capacity& capacity = out.capacity.emplace();
  if (!reader.fields(key, yaml, capacity_fields, capacity)) return false;
  if (!is_given(yaml, "min") && !is_given(yaml, "max") && !is_given(yaml, "desired")) {
    return reader.wrong(key, yaml, "needs `min`, `max` or `desired`", "for example `capacity: { desired: 3 }`");
  }
  const auto wrong = [&](std::string_view low, std::string_view high) {
    return reader.wrong(key, yaml, fmt::format("has a `{}` that is more than its `{}`", low, high));
  };
  return (at_most(capacity.min, capacity.max) || wrong("min", "max")) &&
         (at_most(capacity.min, capacity.desired) || wrong("min", "desired")) &&
         (at_most(capacity.desired, capacity.max) || wrong("desired", "max"));
}

constexpr Field<Asg> asg_fields[] = {
    {"group", as<&Asg::group, some_text>},
    {"ami", as<&Asg::ami, Text<ami_id>{}>},
    {"launch_template_version", as<&Asg::launch_template_version, Version{}>},
    {"strategy", as<&Asg::strategy, OneOf<strategies>{}>},
    {"capacity", read_capacity, Shape{[] { return mapping_shape(capacity_fields); }}},
    {"wait", as<&Asg::wait, some_time>},
    {"poll", as<&Asg::poll, some_time>},
    {"on_cancel", as<&Asg::on_cancel, OneOf<on_cancel_words>{}>},
    {"min_healthy", as<&Asg::min_healthy, Percent{0, 100}>},
    {"max_healthy", as<&Asg::max_healthy, Percent{100, 200}>},
    {"instance_warmup", as<&Asg::instance_warmup, Lasting{}>},
    {"checkpoints", as<&Asg::checkpoints, Checkpoints{}>},
    {"checkpoint_delay", as<&Asg::checkpoint_delay, Lasting{0, two_days}>},
    {"checkpoint_approval", member<&Asg::checkpoint_approval>},
    {"skip_matching", member<&Asg::skip_matching>},
    {"auto_rollback", member<&Asg::auto_rollback>},
    {"alarms", as<&Asg::alarms, some_texts>},
    {"bake_time", as<&Asg::bake_time, Lasting{0, two_days}>},
    {"scale_in_protected", as<&Asg::scale_in_protected, OneOf<protected_words>{}>},
    {"standby", as<&Asg::standby, OneOf<standby_words>{}>},
    {"in_progress", as<&Asg::in_progress, OneOf<in_progress_words>{}>},
    {"service", as<&Asg::service, some_text>},
    {"mode", as<&Asg::mode, OneOf<modes>{}>},
    {"ready_checks", as<&Asg::ready_checks, Number{1, 100}>},
    {"grace", as<&Asg::grace, Lasting{}>},
    {"bake", as<&Asg::bake, Lasting{}>},
    {"keep_blue", as<&Asg::keep_blue, Lasting{}>},
};

bool check_kind(Reader& reader, const Key& key, Yaml yaml, const Asg& out) {
  const std::initializer_list<std::string_view> of_refresh = {
      "min_healthy",         "max_healthy",   "instance_warmup", "checkpoints", "checkpoint_delay",
      "checkpoint_approval", "skip_matching", "auto_rollback",   "alarms",      "bake_time",
      "scale_in_protected",  "standby",       "in_progress"};
  const std::initializer_list<std::string_view> of_blue_green = {"service", "mode", "ready_checks",
                                                                 "grace",   "bake", "keep_blue"};
  if (out.blue_green()) {
    const bool other = refuse(reader, key, yaml, of_refresh, "goes with `strategy: refresh` only");
    return (out.on_cancel != OnCancel::cancel ||
            reader.wrong({&key, "on_cancel"}, yaml.find("on_cancel"), "cannot be cancel with `strategy: blue_green`",
                         "leave, or rollback: green is deleted")) &&
           other;
  }
  bool good = refuse(reader, key, yaml, of_blue_green, "goes with `strategy: blue_green` only");
  if (!out.renews()) {
    good = refuse(reader, key, yaml, of_refresh, "says how instances are renewed, and nothing renews them",
                  "add `strategy: refresh`, `ami` or `launch_template_version`") &&
           good;
  }
  return good;
}

// AWS rolls a refresh back to what the group held before, which is the same where nothing new was named.
bool check_way_back(Reader& reader, const Key& key, Yaml yaml, const Asg& out) {
  bool good = true;
  if (!out.renews() || is_given(yaml, "ami") || is_given(yaml, "launch_template_version")) return good;
  const std::pair<std::string_view, bool> wanted[] = {{"auto_rollback", out.auto_rollback},
                                                      {"checkpoint_approval", out.checkpoint_approval},
                                                      {"on_cancel", out.on_cancel == OnCancel::rollback}};
  for (const auto& [name, asked] : wanted) {
    if (!asked) continue;
    good = reader.wrong({&key, name}, yaml.find_key(name),
                        "has nothing to go back to: the instances are renewed as they are",
                        "name what is new by `ami` or `launch_template_version`");
  }
  return good;
}

bool check_refresh(Reader& reader, const Key& key, Yaml yaml, const Asg& out) {
  bool good = true;
  if (out.max_healthy && !out.min_healthy && !is_given(yaml, "min_healthy")) {
    good = reader.wrong({&key, "max_healthy"}, yaml.find_key("max_healthy"), "needs `min_healthy` beside it",
                        "for example `min_healthy: 90%`");
  } else if (out.max_healthy && out.min_healthy && *out.max_healthy - *out.min_healthy > 100) {
    good = reader.wrong(
        {&key, "max_healthy"}, yaml.find("max_healthy"),
        fmt::format("is {} above `min_healthy`; AWS takes at most 100", *out.max_healthy - *out.min_healthy),
        fmt::format("raise `min_healthy` to {}%", *out.max_healthy - 100));
  }
  if (!is_given(yaml, "checkpoints")) {
    good = refuse(reader, key, yaml, {"checkpoint_delay", "checkpoint_approval"}, "goes with `checkpoints` only",
                  "for example `checkpoints: [20, 50, 100]`") &&
           good;
  }
  return check_way_back(reader, key, yaml, out) && good;
}

// What is waited for in any case must fit into `wait`, or no rollout could ever pass.
bool check_wait(Reader& reader, const Key& key, Yaml yaml, const Asg& out) {
  const auto too_short = [&](std::string_view name, std::chrono::seconds needed, std::string_view hint) {
    return reader.wrong(
        {&key, name}, yaml.find_key(name),
        fmt::format("takes {} minutes, and `wait` is {}", std::chrono::ceil<std::chrono::minutes>(needed).count(),
                    std::chrono::floor<std::chrono::minutes>(out.wait).count()),
        std::string(hint));
  };
  bool good = true;
  if (const auto baking = out.bake_time.value_or(std::chrono::seconds(0)); baking >= out.wait) {
    good = too_short("bake_time", baking, "raise `wait`");
  }
  if (out.bake >= out.wait) good = too_short("bake", out.bake, "raise `wait`");
  const auto stops = std::ranges::count_if(out.checkpoints, [](int percent) { return percent < 100; });
  const std::chrono::seconds resting = out.checkpoint_delay.value_or(usual_checkpoint_delay) * stops;
  const bool asked = out.checkpoint_approval && !out.checkpoint_delay;
  if (stops > 0 && !asked && resting >= out.wait) {
    good = too_short("checkpoints", resting, "raise `wait`, or write a shorter `checkpoint_delay`");
  }
  return good;
}

}  // namespace

std::string shape_of(const AsgDeploy*) { return mapping_shape(asg_fields); }

bool read(Reader& reader, const Key& key, Yaml yaml, AsgDeploy& out) {
  if (!reader.fields(key, yaml, asg_fields, out)) return false;
  if (out.blue_green() && !is_given(yaml, "group") && !is_given(yaml, "service")) {
    reader.wrong(key, yaml, "needs `group` or `service`", "for example `group: web`");
  } else if (!out.blue_green()) {
    require(reader, key, yaml, {"group"}, "for example `group: web`");
  }
  exclusive(reader, key, yaml, {"ami", "launch_template_version"}, "`ami` makes a version of its own");
  const bool good = check_kind(reader, key, yaml, out) && (out.blue_green() || check_refresh(reader, key, yaml, out));
  return check_wait(reader, key, yaml, out) && good;
}

}  // namespace pipelines
