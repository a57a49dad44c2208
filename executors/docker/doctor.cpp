#include "executors/doctor.h"

#include <charconv>

#include "executors/docker/engine.h"
#include "executors/docker/janitor.h"

namespace executors {

using docker::Endpoint;
using docker::Engine;
using docker::Listed;

struct EngineDoctor::Impl {
  Engine engine;
  std::string owner;
  std::filesystem::path state;

  void add(std::vector<Leftover>& all, Leftover::Kind kind, const std::vector<Listed>& listed) const {
    for (const Listed& found : listed) {
      const auto label = [&](const char* name) {
        const auto at = found.labels.find(name);
        return at == found.labels.end() ? std::string() : at->second;
      };
      // The engine was asked for this owner only; what is to be removed is looked at twice.
      if (label("runner.owner") != owner) continue;
      Leftover leftover{kind, found.id, found.name, found.state, 0, label("runner.job")};
      const std::string run = label("runner.run");
      std::from_chars(run.data(), run.data() + run.size(), leftover.run);
      if (leftover.id.empty()) leftover.id = found.name;
      all.push_back(std::move(leftover));
    }
  }
};

EngineDoctor::EngineDoctor(const DockerSettings& settings)
    : impl_(new Impl{Engine(Endpoint::from_environment(settings.host, settings.cert_path, settings.tls_verify)),
                     settings.owner, settings.state}) {}
EngineDoctor::~EngineDoctor() = default;

std::string EngineDoctor::endpoint() const { return impl_->engine.endpoint().display(); }

EngineReport EngineDoctor::report() {
  const docker::EngineInfo info = impl_->engine.info();
  EngineReport report;
  report.endpoint = endpoint();
  report.local = impl_->engine.endpoint().local();
  report.version = info.version;
  report.api_version = info.api_version;
  report.storage_driver = info.storage_driver;
  report.cgroup_version = info.cgroup_version;
  report.operating_system = info.operating_system;
  report.live_restore = info.live_restore;
  return report;
}

std::vector<Leftover> EngineDoctor::leftovers() {
  std::vector<Leftover> all;
  if (impl_->owner.empty()) return all;
  const std::string filter = "runner.owner=" + impl_->owner;
  impl_->add(all, Leftover::Kind::container, impl_->engine.containers(filter));
  impl_->add(all, Leftover::Kind::network, impl_->engine.networks(filter));
  impl_->add(all, Leftover::Kind::volume, impl_->engine.volumes(filter));
  return all;
}

void EngineDoctor::remove_tree(const std::filesystem::path& path, const JobId& id, const std::string& image) {
  docker::Janitor(impl_->engine, impl_->state).remove(path, id, image);
}

void EngineDoctor::remove(const Leftover& leftover) {
  switch (leftover.kind) {
    case Leftover::Kind::container:
      impl_->engine.remove_container(leftover.id);
      return;
    case Leftover::Kind::network:
      return impl_->engine.remove_network(leftover.id);
    case Leftover::Kind::volume:
      return impl_->engine.remove_volume(leftover.name);
  }
}

}  // namespace executors
