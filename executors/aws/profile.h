// The files that AWS's tools keep settings in (docs.aws.amazon.com, AWS SDKs and Tools Reference Guide, "Shared config
// and credentials files" and "Understanding file format"). Reading their text is pure; finding them is not.
#pragma once

#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>

#include "executors/aws/settings.h"

namespace executors::aws {

// Something that a person has to mend before any call can be made: files, profiles, regions, credentials. In one line.
class SetupError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

using Section = std::map<std::string, std::string, std::less<>>;  // a key within a key is "outer.inner"
using Sections = std::map<std::string, Section, std::less<>>;     // by what stands between the brackets

// `file` is for messages. Throws SetupError with the line.
Sections parse_profiles(std::string_view text, std::string_view file);

class Profiles {
 public:
  // AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE, else below ~/.aws. A file that does not exist is an empty one;
  // one that cannot be read is an error.
  explicit Profiles(const Settings&);
  Profiles(Sections config, Sections credentials) : config_(std::move(config)), credentials_(std::move(credentials)) {}

  bool has(std::string_view profile) const;
  // Empty where it is not said.
  std::string_view config(std::string_view profile, std::string_view key) const;
  std::string_view credential(std::string_view profile, std::string_view key) const;
  // [services NAME], NAME being the profile's `services`: the endpoint_url of one service, or empty.
  std::string_view service_endpoint(std::string_view profile, std::string_view service_id) const;

 private:
  Sections config_, credentials_;
};

// `profile` of the job, AWS_PROFILE, "default".
std::string profile_name(const Settings&);

}  // namespace executors::aws
