#include "executors/aws/endpoint.h"

#include <fmt/format.h>

#include <algorithm>

namespace executors::aws {
namespace {

// Botocore's endpoints.json, "partitions" and their "dnsSuffix".
std::string_view suffix_of(std::string_view region) {
  if (region.starts_with("cn-")) return "amazonaws.com.cn";
  if (region.starts_with("us-iso-")) return "c2s.ic.gov";
  if (region.starts_with("us-isob-")) return "sc2s.sgov.gov";
  return "amazonaws.com";
}

Endpoint custom(std::string_view url) {
  while (url.ends_with('/')) url.remove_suffix(1);
  if (!url.starts_with("http://") && !url.starts_with("https://")) {
    throw SetupError(fmt::format("the endpoint {} is no http:// or https:// address", url));
  }
  return {std::string(url), true};
}

}  // namespace

Endpoint endpoint_of(const Service& service, const Settings& settings, const Profiles& profiles,
                     std::string_view region) {
  if (!settings.endpoint.empty()) return custom(settings.endpoint);
  const std::string profile = profile_name(settings);
  std::string_view ignore = settings.variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
  if (ignore.empty()) ignore = profiles.config(profile, "ignore_configured_endpoint_urls");
  if (ignore != "true") {
    for (const std::string_view url :
         {settings.variable(fmt::format("AWS_ENDPOINT_URL_{}", service.id)), settings.variable("AWS_ENDPOINT_URL"),
          profiles.service_endpoint(profile, service.id), profiles.config(profile, "endpoint_url")}) {
      if (!url.empty()) return custom(url);
    }
  }
  return {fmt::format("https://{}.{}.{}", service.name, region, suffix_of(region)), false};
}

std::string region_of(const Settings& settings, const Profiles& profiles) {
  std::string_view region = settings.region;
  for (const std::string_view next : {settings.variable("AWS_REGION"), settings.variable("AWS_DEFAULT_REGION"),
                                      profiles.config(profile_name(settings), "region")}) {
    if (region.empty()) region = next;
  }
  const bool plain =
      std::ranges::all_of(region, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
  if (!plain) throw SetupError(fmt::format("\"{}\" is no region", region));  // it becomes part of a host's name
  return std::string(region);
}

}  // namespace executors::aws
