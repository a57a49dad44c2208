// AWS as one job sees it: its region and credentials, and a Caller for each service that is asked for.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "executors/aws/caller.h"
#include "executors/aws/profile.h"
#include "executors/aws/settings.h"

namespace executors::aws {

class Clients {
 public:
  // Reads the configuration files that the settings name. Throws SetupError.
  Clients(Settings, World);

  // One for each service, made at its first use; good as long as this object. Throws SetupError where no region is
  // said. From any thread.
  Caller& of(const Service&);
  const std::string& region() const { return region_; }
  // Who is behind the credentials: "the environment", "profile live, role arn:…". Asks for them. Throws SetupError.
  std::string source(const std::stop_token&);

 private:
  Settings settings_;
  World world_;
  std::shared_ptr<const Profiles> profiles_;
  std::string region_;
  std::shared_ptr<CredentialSource> credentials_;
  int attempts_ = most_attempts;  // AWS_MAX_ATTEMPTS
  std::mutex mutex_;
  std::map<std::string_view, std::unique_ptr<Caller>> callers_;  // by Service::name
};

}  // namespace executors::aws
