#include "executors/aws/clients.h"

#include <utility>

#include "executors/aws/credentials.h"
#include "executors/aws/endpoint.h"

namespace executors::aws {

Clients::Clients(Settings settings, World world)
    : settings_(std::move(settings)),
      world_(std::move(world)),
      profiles_(std::make_shared<const Profiles>(settings_)),
      region_(region_of(settings_, *profiles_)),
      credentials_(credentials_of(settings_, profiles_, world_)) {}

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
    caller = std::make_unique<Caller>(std::move(options));
  }
  return *caller;
}

std::string Clients::source(const std::stop_token& stop) { return credentials_->get(stop).source; }

}  // namespace executors::aws
