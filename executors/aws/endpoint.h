// Where a service is (AWS SDKs and Tools Reference Guide, "Service-specific endpoints", "AWS Region").
#pragma once

#include <string>

#include "executors/aws/profile.h"

namespace executors::aws {

struct Endpoint {
  std::string url;      // without a slash at the end
  bool custom = false;  // not AWS's own: buckets stand in the path
};

// The job's, AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL, the profile's services, its endpoint_url, AWS's own.
Endpoint endpoint_of(const Service&, const Settings&, const Profiles&, std::string_view region);

// The job's, AWS_REGION, AWS_DEFAULT_REGION, the profile's. Empty where nobody says it. Throws SetupError for what can
// be no region.
std::string region_of(const Settings&, const Profiles&);

}  // namespace executors::aws
