#include "executors/aws/clients.h"

#include <charconv>
#include <utility>

#include "executors/aws/credentials.h"
#include "executors/aws/endpoint.h"

namespace executors::aws {

Clients::Clients(Settings settings, World world)
    : settings_(std::move(settings)),
      world_(std::move(world)),
      profiles_(std::make_shared<const Profiles>(settings_)),
      region_(region_of(settings_, *profiles_)),
      credentials_(credentials_of(settings_, profiles_, world_)) {
  if (const std::string_view asked = settings_.variable("AWS_MAX_ATTEMPTS"); !asked.empty()) {
    const auto [end, error] = std::from_chars(asked.data(), asked.data() + asked.size(), attempts_);
    if (error != std::errc() || end != asked.data() + asked.size() || attempts_ < 1) {
      throw SetupError("AWS_MAX_ATTEMPTS is no number from 1 on");
    }
  }
}

Caller& Clients::of(const Service& service) {
  if (region_.empty()) {
    throw SetupError("no AWS region is said: write `aws: { region: … }` in the job, or set AWS_REGION");
  }
  const std::scoped_lock lock(mutex_);
  std::unique_ptr<Caller>& caller = callers_[service.name];
  if (!caller) {
    Caller::Options options;
    options.service = service;
    options.endpoint = endpoint_of(service, settings_, *profiles_, region_);
    options.region = region_;
    options.credentials = credentials_;
    options.ca_bundle = ca_bundle_of(settings_, *profiles_);
    options.world = world_;
    options.attempts = attempts_;
    caller = std::make_unique<Caller>(std::move(options));
  }
  return *caller;
}

std::string Clients::source(const std::stop_token& stop) { return credentials_->get(stop).source; }

}  // namespace executors::aws
