// What stands beside a script or a step: `aws`, `monitor`, `notify`, `s3_artifacts`, `cloudwatch_logs`
// (docs.aws.amazon.com: STS AssumeRole, S3 PutObject, CloudWatch Logs PutRetentionPolicy, CloudWatch DescribeAlarms).
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "pipelines/read_steps.h"

namespace pipelines {
namespace {

bool is_word(std::string_view text, std::string_view besides) {
  return std::ranges::all_of(text, [&](unsigned char c) {
    return std::isalnum(c) != 0 || besides.find(static_cast<char>(c)) != std::string_view::npos;
  });
}

// --- aws -------------------------------------------------------------------------------------------------------------

constexpr std::int64_t shortest_session = 900, longest_session = 43'200;  // AssumeRole: DurationSeconds

bool is_region(std::string_view text) { return is_word(text, "-") && text.find('-') != std::string_view::npos; }
bool is_session_name(std::string_view text) {
  return text.size() >= 2 && text.size() <= 64 && is_word(text, "_+=,.@-");
}
constexpr Form region{is_region, "is no region", "for example eu-west-1"};
constexpr Form session_name{is_session_name, "is no session's name", "2 to 64 letters, digits and _+=,.@-"};

constexpr Field<AwsSettings> aws_fields[] = {
    {"region", as<&AwsSettings::region, Text<region>{}>},
    {"profile", as<&AwsSettings::profile, some_text>},
    {"role_arn", as<&AwsSettings::role_arn, Text<forms::arn>{}>},
    {"endpoint", as<&AwsSettings::endpoint, Text<forms::address>{}>},
    {"external_id", as<&AwsSettings::external_id, some_text>},
    {"session_name", as<&AwsSettings::session_name, Text<session_name>{}>},
    {"duration", as<&AwsSettings::duration, Lasting{shortest_session, longest_session}>},
    {"pass", member<&AwsSettings::pass>},
    {"policy", as<&AwsSettings::policy, some_text>},
};

// --- monitor ---------------------------------------------------------------------------------------------------------

constexpr std::size_t most_alarms = 100;  // DescribeAlarms: AlarmNames

constexpr Field<Monitor> monitor_fields[] = {
    {"cloudwatch_alarms", as<&Monitor::cloudwatch_alarms, Texts<not_empty>{most_alarms}>},
    {"for", as<&Monitor::duration, some_time>},
    {"every", as<&Monitor::every, some_time>},
    {"rollback", member<&Monitor::rollback>},
};

// --- notify ----------------------------------------------------------------------------------------------------------

bool is_mail_address(std::string_view text) {
  const std::size_t at = text.find('@');
  return at != std::string_view::npos && at > 0 && at + 1 < text.size() && text.find_first_of(" \r\n") == text.npos;
}
constexpr Form mail_address{is_mail_address, "is no e-mail address", "for example ops@example.com"};

constexpr Word<Notify::Event> events[] = {
    {"started", Notify::Event::started}, {"waiting", Notify::Event::waiting}, {"succeeded", Notify::Event::succeeded},
    {"failed", Notify::Event::failed},   {"fixed", Notify::Event::fixed},     {"canceled", Notify::Event::canceled}};

bool read_events(Reader& reader, const Key& key, Yaml yaml, Notify& out) {
  if (yaml.is_sequence() && yaml.size() == 0) return reader.wrong(key, yaml, "cannot be empty");
  out.on.clear();
  bool good = true;
  for (std::size_t i = 0; i < (yaml.is_sequence() ? yaml.size() : 1); ++i) {
    Notify::Event event{};
    const bool read = reader.word(key, yaml.is_sequence() ? yaml.item(i) : yaml, events, event);
    if (read) out.on.push_back(event);
    good = read && good;
  }
  return good;
}

template <Notify::Channel Which>
bool read_url(Reader& reader, const Key& key, Yaml yaml, Notify& out) {
  out.channel = Which;
  return Text<forms::address>{}.read(reader, key, yaml, out.url);
}

bool read_mail(Reader& reader, const Key& key, Yaml yaml, Notify& out) {
  out.channel = Notify::Channel::email;
  return Texts<mail_address>{}.read(reader, key, yaml, out.to);
}

constexpr Shape url_shape{[] { return std::string(R"({"type":"string","minLength":1})"); }};
constexpr Field<Notify> notify_fields[] = {
    {"webhook", read_url<Notify::Channel::webhook>, url_shape},
    {"slack", read_url<Notify::Channel::slack>, url_shape},
    {"email", read_mail, Shape{one_or_several_shape}},
    {"secret", as<&Notify::secret, some_text>},
    {"on", read_events, Shape{[] {
       return any_shape_of({words<events>.json(), list_shape(words<events>.json(), R"(,"minItems":1)")});
     }}},
};

bool read_one(Reader& reader, const Key& key, Yaml yaml, Notify& out) {
  constexpr const char* example = "for example `notify: [{ webhook: $HOOK, on: [failed, fixed] }]`";
  out.on = {Notify::Event::failed, Notify::Event::fixed};
  if (!yaml.is_mapping()) return reader.mistyped(key, yaml, "a mapping, or a list of mappings", example);
  reader.fields(key, yaml, notify_fields, out);
  if (!is_given(yaml, "webhook") && !is_given(yaml, "slack") && !is_given(yaml, "email")) {
    return reader.wrong(key, yaml, "needs `webhook`, `slack` or `email`", example);
  }
  if (!is_given(yaml, "webhook")) refuse(reader, key, yaml, {"secret"}, "goes with `webhook` only");
  return exclusive(reader, key, yaml, {"webhook", "slack", "email"}, "make an item of the list for each");
}

// --- s3_artifacts ----------------------------------------------------------------------------------------------------

bool is_prefix(std::string_view text) { return text.front() != '/'; }
constexpr Form prefix{is_prefix, "begins with a slash, which would be a folder without a name", "for example app/"};

constexpr Word<std::string_view> encryptions[] = {{"AES256", "AES256"}, {"aws:kms", "aws:kms"}};
constexpr Word<std::string_view> storage_classes[] = {
    {"STANDARD", "STANDARD"},
    {"STANDARD_IA", "STANDARD_IA"},
    {"ONEZONE_IA", "ONEZONE_IA"},
    {"INTELLIGENT_TIERING", "INTELLIGENT_TIERING"},
    {"REDUCED_REDUNDANCY", "REDUCED_REDUNDANCY"},
    {"GLACIER_IR", "GLACIER_IR"},
    {"GLACIER", "GLACIER"},
    {"DEEP_ARCHIVE", "DEEP_ARCHIVE"},
};

constexpr Field<S3Artifacts> s3_fields[] = {
    {"bucket", as<&S3Artifacts::bucket, Text<forms::bucket>{}>},
    {"prefix", as<&S3Artifacts::prefix, Text<prefix>{}>},
    {"encryption", as<&S3Artifacts::encryption, OneOf<encryptions>{}>},
    {"kms_key", as<&S3Artifacts::kms_key, some_text>},
    {"storage_class", as<&S3Artifacts::storage_class, OneOf<storage_classes>{}>},
    {"required", member<&S3Artifacts::required>},
};

// --- cloudwatch_logs -------------------------------------------------------------------------------------------------

constexpr int retention_days[] = {1,   3,   5,   7,   14,   30,   60,   90,   120,  150,  180,
                                  365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653};

bool is_log_group(std::string_view text) { return text.size() <= 512 && is_word(text, "_/.#-"); }
bool is_log_stream(std::string_view text) {
  return text.size() <= 512 && text.find_first_of(":*") == std::string_view::npos;
}
constexpr Form log_group{is_log_group, "is no log group's name", "letters, digits and _/.#-, at most 512"};
constexpr Form log_stream{is_log_stream, "is no log stream's name", "at most 512 characters, no `:` and no `*`"};

struct Retention {
  bool read(Reader& reader, const Key& key, Yaml yaml, int& out) const {
    if (!Number{1}.read(reader, key, yaml, out)) return false;
    return std::ranges::find(retention_days, out) != std::end(retention_days) ||
           reader.wrong(key, yaml, fmt::format("cannot be {}", out),
                        fmt::format("CloudWatch knows {}", fmt::join(retention_days, ", ")));
  }
  std::string shape(const int*) const { return fmt::format(R"({{"enum":[{}]}})", fmt::join(retention_days, ",")); }
};

constexpr Field<CloudwatchLogs> logs_fields[] = {
    {"group", as<&CloudwatchLogs::group, Text<log_group>{}>},
    {"stream", as<&CloudwatchLogs::stream, Text<log_stream>{}>},
    {"retention_days", as<&CloudwatchLogs::retention_days, Retention{}>},
};

}  // namespace

std::string shape_of(const AwsSettings*) { return mapping_shape(aws_fields); }
std::string shape_of(const Monitor*) { return mapping_shape(monitor_fields, "\"cloudwatch_alarms\""); }
std::string shape_of(const std::vector<Notify>*) {
  const std::string one = mapping_shape(notify_fields);
  return any_shape_of({one, list_shape(one)});
}
std::string shape_of(const S3Artifacts*) { return mapping_shape(s3_fields, "\"bucket\""); }
std::string shape_of(const CloudwatchLogs*) { return mapping_shape(logs_fields, "\"group\""); }

bool read(Reader& reader, const Key& key, Yaml yaml, AwsSettings& out) {
  if (!reader.fields(key, yaml, aws_fields, out)) return false;
  bool good = is_given(yaml, "role_arn") ||
              refuse(reader, key, yaml, {"external_id"}, "goes with `role_arn` only", "it is asked for by the role");
  if (!out.pass) {
    good = refuse(reader, key, yaml, {"policy"}, "goes with `pass: true` only",
                  "it narrows what the job's container gets") &&
           good;
  }
  return good;
}

bool read(Reader& reader, const Key& key, Yaml yaml, Monitor& out) {
  constexpr auto usual = std::chrono::minutes(5);
  out.duration = usual;
  if (!reader.fields(key, yaml, monitor_fields, out)) return false;
  if (out.every > out.duration) {
    if (is_given(yaml, "every")) return reader.wrong({&key, "every"}, yaml.find("every"), "is longer than `for`");
    out.every = out.duration;
  }
  return require(reader, key, yaml, {"cloudwatch_alarms"},
                 "for example `monitor: { cloudwatch_alarms: [backend-5xx], for: 10m }`");
}

bool read(Reader& reader, const Key& key, Yaml yaml, std::vector<Notify>& out) {
  out.clear();
  bool good = true;
  for (std::size_t i = 0; i < (yaml.is_sequence() ? yaml.size() : 1); ++i) {
    good = read_one(reader, key, yaml.is_sequence() ? yaml.item(i) : yaml, out.emplace_back()) && good;
  }
  return good;
}

bool read(Reader& reader, const Key& key, Yaml yaml, S3Artifacts& out) {
  if (!reader.fields(key, yaml, s3_fields, out)) return false;
  if (out.encryption != "aws:kms") {
    refuse(reader, key, yaml, {"kms_key"}, "goes with `encryption: aws:kms` only");
  }
  return require(reader, key, yaml, {"bucket"}, "for example `bucket: ci-artifacts`");
}

bool read(Reader& reader, const Key& key, Yaml yaml, CloudwatchLogs& out) {
  return reader.fields(key, yaml, logs_fields, out) &&
         require(reader, key, yaml, {"group"}, "for example `group: /ci/app`");
}

}  // namespace pipelines
