#include "pipelines/steps.h"

#include <fmt/format.h>

#include <algorithm>

namespace pipelines {
namespace {

template <class... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <class... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

// --- texts -----------------------------------------------------------------------------------------------------------

class Texts {
 public:
  explicit Texts(const TextVisitor& visit) : visit_(visit) {}

  void operator()(RetireScan& s) const { each(s.path, s.ignore, s.database); }
  void operator()(ImageBuild& s) const {
    each(s.context, s.dockerfile, s.target, s.repository, s.tags, s.build_args, s.labels, s.platform, s.network,
         s.cache_from);
    for (ImageBuild::Secret& secret : s.secrets) each(secret.value, secret.file);
  }
  void operator()(PackerBake& s) const {
    each(s.template_file, s.vars, s.var_files, s.when_changed, s.only, s.except, s.manifest);
  }
  void operator()(EcsDeploy& s) const {
    each(s.cluster, s.services, s.images, s.image, s.task_definition, s.cpu, s.memory, s.tags, s.desired_count);
    for (auto* all : {&s.environment, &s.secrets}) {
      for (EcsDeploy::ContainerValues& one : *all) each(one.values);
    }
    if (s.deployment_configuration) each(s.deployment_configuration->alarms);
  }
  void operator()(EcsTask& s) const {
    each(s.cluster, s.task_definition, s.image, s.container, s.command, s.environment, s.cpu, s.memory,
         s.network_from_service, s.subnets, s.security_groups, s.platform_version, s.tags, s.watch);
    for (EcsTask::CapacityProvider& provider : s.capacity_provider_strategy) each(provider.name);
  }
  void operator()(AsgDeploy& s) const {
    each(s.group, s.ami, s.launch_template_version, s.alarms, s.service);
    if (s.capacity) each(s.capacity->min, s.capacity->max, s.capacity->desired);
  }
  void operator()(CloudFormation& s) const {
    each(s.stack, s.template_file, s.parameters, s.tags, s.role_arn, s.resources_to_skip, s.rollback_triggers,
         s.template_bucket);
    if (s.record) each(s.record->branch, s.record->file);
    // `verify` is a script: its shell expands it.
    if (s.rehearse) each(s.rehearse->stack, s.rehearse->parameters);
  }
  void operator()(Terraform& s) const {
    each(s.directory, s.workspace, s.variables, s.var_files, s.backend_config, s.targets, s.replace);
  }
  void operator()(RollbackStep& s) const { each(s.environment, s.to); }

  template <class... All>
  void each(All&... all) const {
    (one(all), ...);
  }

 private:
  void one(std::string& text) const { visit_(text); }
  void one(std::vector<std::string>& texts) const {
    for (std::string& text : texts) visit_(text);
  }
  void one(TextMap& texts) const {
    for (auto& entry : texts) visit_(entry.second);
  }

  const TextVisitor& visit_;
};

// --- names -----------------------------------------------------------------------------------------------------------

// Of an ARN what stands behind its resource's type: `cluster/prod` is prod, `service/prod/web` is web.
std::string_view name_in(std::string_view text, bool last = true) {
  if (!text.starts_with("arn:")) return text;
  const std::size_t slash = last ? text.rfind('/') : text.find('/');
  return slash == std::string_view::npos ? text.substr(text.rfind(':') + 1) : text.substr(slash + 1);
}

std::string_view cluster_in(std::string_view cluster) { return name_in(cluster); }

std::string_view stack_in(std::string_view stack) {
  const std::string_view name = name_in(stack, /*last=*/false);
  return stack.starts_with("arn:") ? name.substr(0, name.find('/')) : name;  // arn:…:stack/NAME/ID
}

std::string_view family_in(std::string_view definition) {
  if (is_task_definition_file(definition)) return definition;
  const std::string_view name = name_in(definition);
  return name.substr(0, name.find(':'));
}

// `./a//b/` and `a/b` are one place.
std::string folder(std::string_view path) {
  std::string result = path.starts_with('/') ? "/" : "";
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    if (!part.empty() && part != ".") {
      if (!result.empty() && result.back() != '/') result += '/';
      result += part;
    }
    at = end + 1;
  }
  return result.empty() ? "." : result;
}

std::string lock_of(const AsgDeploy& step) { return step.group.empty() ? step.service : step.group; }

std::string tagged(const ImageBuild& step) {
  return step.tags.empty() ? step.repository : fmt::format("{}:{}", step.repository, step.tags.front());
}

std::string what_of(const CloudFormation& step) {
  return step.delete_stack ? fmt::format("{} (delete)", step.stack) : step.stack;
}

std::string what_of(const AsgDeploy& step) {
  std::string what = lock_of(step);
  if (step.blue_green()) what += " (blue/green)";
  if (!step.renews()) what += " (capacity)";
  return what;
}

std::string what_of(const Terraform& step) {
  std::string what = step.directory;
  if (!step.workspace.empty()) what += fmt::format(" ({})", step.workspace);
  if (step.destroy) what += " (destroy)";
  return what;
}

}  // namespace

void for_each_text(Step& step, const TextVisitor& visit) { std::visit(Texts(visit), step); }

void for_each_text(AwsSettings& aws, const TextVisitor& visit) {
  Texts(visit).each(aws.region, aws.profile, aws.role_arn, aws.endpoint, aws.external_id, aws.session_name, aws.policy);
}

void for_each_text(Monitor& monitor, const TextVisitor& visit) { Texts(visit).each(monitor.cloudwatch_alarms); }

void for_each_text(std::vector<Notify>& notify, const TextVisitor& visit) {
  for (Notify& one : notify) Texts(visit).each(one.url, one.to, one.secret);
}

void for_each_text(S3Artifacts& s3, const TextVisitor& visit) { Texts(visit).each(s3.bucket, s3.prefix, s3.kms_key); }

void for_each_text(CloudwatchLogs& logs, const TextVisitor& visit) { Texts(visit).each(logs.group, logs.stream); }

std::string_view key_of(const Step& step) {
  return std::visit(
      Overloaded{[](const RetireScan&) { return "scan.retire"; }, [](const ImageBuild&) { return "image_build"; },
                 [](const PackerBake&) { return "bake.packer"; }, [](const EcsDeploy&) { return "deploy.ecs"; },
                 [](const EcsTask&) { return "deploy.ecs_task"; }, [](const AsgDeploy&) { return "deploy.asg"; },
                 [](const CloudFormation&) { return "deploy.cloudformation"; },
                 [](const Terraform&) { return "deploy.terraform"; }, [](const RollbackStep&) { return "rollback"; }},
      step);
}

std::vector<std::string> targets_of(const Step& step) {
  std::vector<std::string> targets;
  const auto add = [&](std::string target) { targets.push_back(std::move(target)); };
  std::visit(Overloaded{[](const RetireScan&) {}, [](const ImageBuild&) {}, [](const PackerBake&) {},
                        [](const RollbackStep&) {},
                        [&](const EcsDeploy& s) {
                          for (const std::string& service : s.services) {
                            add(fmt::format("ecs:{}/{}", cluster_in(s.cluster), name_in(service)));
                          }
                        },
                        [&](const EcsTask& s) {
                          add(fmt::format("ecs-task:{}/{}", cluster_in(s.cluster), family_in(s.task_definition)));
                        },
                        [&](const AsgDeploy& s) { add("asg:" + lock_of(s)); },
                        [&](const CloudFormation& s) {
                          add(fmt::format("cfn:{}", stack_in(s.stack)));
                          if (s.rehearse) add(fmt::format("cfn:{}", stack_in(s.rehearse->stack)));
                        },
                        [&](const Terraform& s) {
                          add(fmt::format("tf:{}+{}", folder(s.directory),
                                          s.workspace.empty() ? "default" : std::string_view(s.workspace)));
                        }},
             step);
  std::ranges::sort(targets);
  targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
  return targets;
}

std::string describe(const Step& step) {
  const std::string what = std::visit(
      Overloaded{
          [](const RetireScan& s) { return s.path; }, [](const ImageBuild& s) { return tagged(s); },
          [](const PackerBake& s) { return s.template_file; },
          [](const EcsDeploy& s) { return fmt::format("{}/{}", cluster_in(s.cluster), fmt::join(s.services, ",")); },
          [](const EcsTask& s) {
            return fmt::format("{}/{}{}{}", cluster_in(s.cluster), family_in(s.task_definition),
                               s.command.empty() ? "" : ": ", fmt::join(s.command, " "));
          },
          [](const AsgDeploy& s) { return what_of(s); }, [](const CloudFormation& s) { return what_of(s); },
          [](const Terraform& s) { return what_of(s); },
          [](const RollbackStep& s) {
            return s.to.empty() ? s.environment : fmt::format("{} to {}", s.environment, s.to);
          }},
      step);
  return fmt::format("{} {}", key_of(step), what);
}

std::optional<std::chrono::seconds> wait_of(const Step& step) {
  return std::visit(
      [](const auto& s) -> std::optional<std::chrono::seconds> {
        if constexpr (requires { s.wait; }) {
          return s.wait;
        } else {
          return std::nullopt;
        }
      },
      step);
}

bool runs_a_tool(const Step& step) {
  return std::holds_alternative<RetireScan>(step) || std::holds_alternative<PackerBake>(step) ||
         std::holds_alternative<Terraform>(step);
}

bool needs_sandbox(const Step& step) {
  const auto* stack = std::get_if<CloudFormation>(&step);
  return runs_a_tool(step) || (stack != nullptr && stack->rehearse.has_value());
}

bool deploys(const Step& step) {
  return !std::holds_alternative<RetireScan>(step) && !std::holds_alternative<ImageBuild>(step) &&
         !std::holds_alternative<PackerBake>(step);
}

bool can_roll_back(const Step& step) {
  return std::holds_alternative<EcsDeploy>(step) || std::holds_alternative<AsgDeploy>(step) ||
         std::holds_alternative<CloudFormation>(step);
}

bool is_task_definition_file(std::string_view task_definition) {
  return !task_definition.starts_with("arn:") &&
         (task_definition.find('/') != std::string_view::npos || task_definition.ends_with(".json"));
}

}  // namespace pipelines
