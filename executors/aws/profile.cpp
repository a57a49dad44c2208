#include "executors/aws/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

namespace executors::aws {
namespace {

constexpr std::string_view blank = " \t\r";

std::string_view trimmed(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(blank), text.size()));
  return text.substr(0, text.find_last_not_of(blank) + 1);
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return result;
}

std::string_view find(const Sections& sections, std::string_view name, std::string_view key) {
  const auto section = sections.find(name);
  if (section == sections.end()) return {};
  const auto value = section->second.find(key);
  return value == section->second.end() ? std::string_view() : std::string_view(value->second);
}

// [default] is the one profile that is written without the word.
std::string config_section(std::string_view profile) {
  return profile == "default" ? "default" : fmt::format("profile {}", profile);
}

class Reader {
 public:
  Reader(std::string_view text, std::string_view file) : text_(text), file_(file) {}

  Sections read() {
    for (std::size_t begin = 0; begin < text_.size();) {
      const std::size_t end = std::min(text_.find('\n', begin), text_.size());
      ++line_;
      take(text_.substr(begin, end - begin));
      begin = end + 1;
    }
    return std::move(sections_);
  }

 private:
  void take(std::string_view line) {
    const std::string_view content = trimmed(line);
    if (content.empty() || content.front() == '#' || content.front() == ';') return;
    if (content.front() == '[') return open(content);
    if (section_ == nullptr) fail("a setting before the first [section]");
    const bool indented = blank.find(line.front()) != std::string_view::npos;
    const std::size_t equals = content.find('=');
    if (indented && outer_.empty()) fail("an indented line that belongs to no key");
    if (equals == std::string_view::npos) {
      if (indented) return;  // a value's further line: no key that is read here has any
      fail("no `key = value`");
    }
    const std::string key = lower(trimmed(content.substr(0, equals)));
    const std::string value(trimmed(comment_cut(content.substr(equals + 1))));
    if (key.empty()) fail("no key before =");
    if (indented) {
      (*section_)[outer_ + "." + key] = value;
      return;
    }
    outer_ = key;
    (*section_)[key] = value;
  }

  void open(std::string_view content) {
    const std::size_t end = content.find(']');
    if (end == std::string_view::npos) fail("a [section] without its ]");
    std::istringstream words{std::string(content.substr(1, end - 1))};
    std::string name;
    for (std::string word; words >> word;) name += (name.empty() ? "" : " ") + word;
    if (name == "profile default") name = "default";
    section_ = &sections_[name];
    outer_.clear();
  }

  // " #" and " ;" begin a comment.
  static std::string_view comment_cut(std::string_view value) {
    for (std::size_t i = 1; i < value.size(); ++i) {
      if ((value[i] == '#' || value[i] == ';') && blank.find(value[i - 1]) != std::string_view::npos) {
        return value.substr(0, i);
      }
    }
    return value;
  }

  [[noreturn]] void fail(std::string_view what) const {
    throw SetupError(fmt::format("{}:{}: {}", file_, line_, what));
  }

  std::string_view text_, file_;
  int line_ = 0;
  Sections sections_;
  Section* section_ = nullptr;
  std::string outer_;
};

Sections read_file(const std::filesystem::path& file) {
  if (file.empty()) return {};
  std::ifstream in(file);
  if (!in) {
    if (errno == ENOENT || errno == ENOTDIR) return {};
    throw SetupError(fmt::format("{}: cannot be read: {}", file.string(), std::strerror(errno)));
  }
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  return parse_profiles(text, file.string());
}

std::filesystem::path file_of(const Settings& settings, std::string_view variable, const char* name) {
  if (const std::string_view said = settings.variable(variable); !said.empty()) return said;
  const std::string_view home = settings.variable("HOME");
  return home.empty() ? std::filesystem::path() : std::filesystem::path(home) / ".aws" / name;
}

}  // namespace

Sections parse_profiles(std::string_view text, std::string_view file) { return Reader(text, file).read(); }

Profiles::Profiles(const Settings& settings)
    : config_(read_file(file_of(settings, "AWS_CONFIG_FILE", "config"))),
      credentials_(read_file(file_of(settings, "AWS_SHARED_CREDENTIALS_FILE", "credentials"))) {}

bool Profiles::has(std::string_view profile) const {
  return config_.contains(config_section(profile)) || credentials_.contains(profile);
}

std::string_view Profiles::config(std::string_view profile, std::string_view key) const {
  return find(config_, config_section(profile), key);
}

std::string_view Profiles::credential(std::string_view profile, std::string_view key) const {
  return find(credentials_, profile, key);
}

std::string_view Profiles::service_endpoint(std::string_view profile, std::string_view service_id) const {
  const std::string_view services = config(profile, "services");
  if (services.empty()) return {};
  return find(config_, fmt::format("services {}", services), lower(service_id) + ".endpoint_url");
}

std::string profile_name(const Settings& settings) {
  if (!settings.profile.empty()) return settings.profile;
  const std::string_view named = settings.variable("AWS_PROFILE");
  return named.empty() ? "default" : std::string(named);
}

}  // namespace executors::aws
