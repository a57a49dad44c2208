// `deploy:ecs` and `deploy:ecs_task` (docs.aws.amazon.com/AmazonECS/latest/APIReference: UpdateService, RunTask,
// RegisterTaskDefinition, DeploymentConfiguration, CapacityProviderStrategyItem).
#include <fmt/format.h>

#include <algorithm>

#include "pipelines/read_steps.h"

namespace pipelines {
namespace {

constexpr int most_cpu = 196'608, most_memory = 1'048'576;  // 192 vCPU, 1 TiB: beyond every instance
constexpr std::size_t most_groups = 5, most_subnets = 16;   // AwsVpcConfiguration

bool has_prefix(std::string_view text, std::string_view prefix) {
  return text.size() > prefix.size() && text.starts_with(prefix);
}
bool is_subnet(std::string_view text) { return has_prefix(text, "subnet-"); }
bool is_security_group(std::string_view text) { return has_prefix(text, "sg-"); }

constexpr Form subnet{is_subnet, "is no subnet's id", "for example subnet-0123456789abcdef0"};
constexpr Form security_group{is_security_group, "is no security group's id", "for example sg-0123456789abcdef0"};

constexpr Word<OnCancel> leave_or_rollback[] = {{"leave", OnCancel::leave}, {"rollback", OnCancel::rollback}};
constexpr Word<bool> superseded_words[] = {{"failure", false}, {"success", true}};

// --- deploy:ecs ------------------------------------------------------------------------------------------------------

bool read_service(Reader& reader, const Key& key, Yaml yaml, EcsDeploy& out) {
  std::string service;
  if (!some_text.read(reader, key, yaml, service)) return false;
  out.services.assign(1, std::move(service));
  return true;
}

template <auto Member>
bool read_container_values(Reader& reader, const Key& key, Yaml yaml, EcsDeploy& out) {
  constexpr std::string_view example = "for example `{}: {{ CONTAINER: {{ NAME: value }} }}`";
  if (!yaml.is_mapping()) {
    return reader.mistyped(key, yaml, "a mapping of containers to their values",
                           fmt::format(fmt::runtime(example), key.name));
  }
  bool good = true;
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    const Yaml values = yaml.value(i);
    if (values.is_scalar()) {
      good = reader.wrong(key, yaml.key(i), "goes by container", fmt::format(fmt::runtime(example), key.name));
      continue;
    }
    auto& [container, texts] = (out.*Member).emplace_back();
    container = yaml.key(i).text();
    good = read(reader, {&key, yaml.key(i).text()}, values, texts) && good;
  }
  return good;
}

bool read_images(Reader& reader, const Key& key, Yaml yaml, EcsDeploy& out) {
  if (!read(reader, key, yaml, out.images)) return false;
  bool good = !out.images.empty() || reader.wrong(key, yaml, "cannot be empty");
  for (std::size_t i = 0; i < out.images.size(); ++i) {
    good = check_form(reader, {&key, yaml.key(i).text()}, yaml.value(i), out.images[i].second, not_empty) && good;
  }
  return good;
}

constexpr Field<EcsDeploy::CircuitBreaker> breaker_fields[] = {
    {"enable", member<&EcsDeploy::CircuitBreaker::enable>},
    {"rollback", member<&EcsDeploy::CircuitBreaker::rollback>},
};

bool read_breaker(Reader& reader, const Key& key, Yaml yaml, EcsDeploy::Configuration& out) {
  out.circuit_breaker = EcsDeploy::CircuitBreaker{};  // clang 14 cannot emplace a nested struct with initializers
  if (yaml.is_scalar() && yaml.type() == ScalarType::boolean) {
    out.circuit_breaker->enable = scalar_is_true(yaml.text());
    return true;
  }
  return reader.fields(key, yaml, breaker_fields, *out.circuit_breaker, "true, false or a mapping");
}

constexpr Field<EcsDeploy::Configuration> configuration_fields[] = {
    {"min_healthy", as<&EcsDeploy::Configuration::min_healthy, Percent{0, 100}>},
    {"max_healthy", as<&EcsDeploy::Configuration::max_healthy, Percent{100, any_number}>},
    {"circuit_breaker", read_breaker, Shape{[] {
       return any_shape_of({R"({"type":"boolean"})", mapping_shape(breaker_fields)});
     }}},
    {"alarms", as<&EcsDeploy::Configuration::alarms, some_texts>},
    {"rollback_on_alarm", member<&EcsDeploy::Configuration::alarm_rollback>},
};

bool read_configuration(Reader& reader, const Key& key, Yaml yaml, EcsDeploy& out) {
  EcsDeploy::Configuration& configuration = out.deployment_configuration.emplace(EcsDeploy::Configuration{});
  if (!reader.fields(key, yaml, configuration_fields, configuration)) return false;
  if (configuration.min_healthy == 100 && configuration.max_healthy == 100) {
    return reader.wrong(key, yaml, "leaves no room: with 100% at least and at most no task can be replaced",
                        "lower `min_healthy`, or raise `max_healthy` to 200%");
  }
  return is_given(yaml, "alarms") ||
         refuse(reader, key, yaml, {"rollback_on_alarm"}, "goes with `alarms` only", "name the `alarms`");
}

constexpr Shape container_values_shape{[] {
  return R"({"type":"object","additionalProperties":)" + shape_of(static_cast<const TextMap*>(nullptr)) + "}";
}};

constexpr Field<EcsDeploy> ecs_fields[] = {
    {"cluster", as<&EcsDeploy::cluster, some_text>},
    {"service", read_service, Shape{[] { return std::string(R"({"type":"string","minLength":1})"); }}},
    {"services", as<&EcsDeploy::services, some_texts>},
    {"images", read_images, shape_for<TextMap>},
    {"image", as<&EcsDeploy::image, some_text>},
    {"task_definition", as<&EcsDeploy::task_definition, some_text>},
    {"environment", read_container_values<&EcsDeploy::environment>, container_values_shape},
    {"secrets", read_container_values<&EcsDeploy::secrets>, container_values_shape},
    {"cpu", as<&EcsDeploy::cpu, NumberText{128, most_cpu}>},
    {"memory", as<&EcsDeploy::memory, NumberText{4, most_memory}>},
    {"tags", as<&EcsDeploy::tags, Tags{}>},
    {"desired_count", as<&EcsDeploy::desired_count, NumberText{}>},
    {"force", member<&EcsDeploy::force>},
    {"deployment_configuration", read_configuration, Shape{[] { return mapping_shape(configuration_fields); }}},
    {"wait", as<&EcsDeploy::wait, some_time>},
    {"rollback_wait", as<&EcsDeploy::rollback_wait, some_time>},
    {"poll", as<&EcsDeploy::poll, some_time>},
    {"rollback", member<&EcsDeploy::rollback>},
    {"on_cancel", as<&EcsDeploy::on_cancel, OneOf<leave_or_rollback>{}>},
    {"on_superseded", as<&EcsDeploy::superseded_is_success, OneOf<superseded_words>{}>},
    {"max_failed_tasks", as<&EcsDeploy::max_failed_tasks, Number{1}>},
    {"log_lines", as<&EcsDeploy::log_lines, Number{0, 1000}>},
};

// ECS takes words, not a line for a shell.
struct Command {
  bool read(Reader& reader, const Key& key, Yaml yaml, std::vector<std::string>& out) const {
    constexpr const char* example = "for example `command: [php, artisan, migrate, --force]`";
    if (!read_string_or_list(reader, key, yaml, out)) return false;
    if (out.empty()) return reader.wrong(key, yaml, "cannot be empty", example);
    return yaml.is_sequence() || out[0].find(' ') == std::string::npos ||
           reader.wrong(key, yaml, "is a line, and no shell takes it apart", example);
  }
  std::string shape(const std::vector<std::string>*) const { return one_or_several_shape(); }
};

// --- deploy:ecs_task -------------------------------------------------------------------------------------------------

constexpr Word<std::string_view> launch_types[] = {{"EC2", "EC2"}, {"FARGATE", "FARGATE"}, {"EXTERNAL", "EXTERNAL"}};

constexpr Field<EcsTask::CapacityProvider> provider_fields[] = {
    {"capacity_provider", as<&EcsTask::CapacityProvider::name, some_text>},
    {"weight", as<&EcsTask::CapacityProvider::weight, Number{0, 1000}>},
    {"base", as<&EcsTask::CapacityProvider::base, Number{0, 100'000}>},
};

bool read_providers(Reader& reader, const Key& key, Yaml yaml, EcsTask& out) {
  constexpr std::string_view wanted = "a list of mappings with `capacity_provider`";
  constexpr std::size_t most = 20;
  if (!yaml.is_sequence()) return reader.mistyped(key, yaml, wanted);
  if (yaml.size() == 0) return reader.wrong(key, yaml, "cannot be empty");
  if (yaml.size() > most) return reader.wrong(key, yaml, fmt::format("can be at most {}", most));
  bool good = true;
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    EcsTask::CapacityProvider& provider = out.capacity_provider_strategy.emplace_back();
    good = reader.fields(key, yaml.item(i), provider_fields, provider, wanted) &&
           require(reader, key, yaml.item(i), {"capacity_provider"}) && good;
  }
  const auto& all = out.capacity_provider_strategy;
  if (std::ranges::count_if(all, [](const auto& provider) { return provider.base > 0; }) > 1) {
    good = reader.wrong(key, yaml, "can have one `base` only");
  }
  if (good && all.size() > 1 && std::ranges::all_of(all, [](const auto& provider) { return provider.weight == 0; })) {
    good = reader.wrong(key, yaml, "starts nothing: every `weight` is 0", "give one of them `weight: 1`");
  }
  return good;
}

constexpr Field<EcsTask> task_fields[] = {
    {"cluster", as<&EcsTask::cluster, some_text>},
    {"task_definition", as<&EcsTask::task_definition, some_text>},
    {"image", as<&EcsTask::image, some_text>},
    {"container", as<&EcsTask::container, some_text>},
    {"command", as<&EcsTask::command, Command{}>},
    {"environment", member<&EcsTask::environment>},
    {"cpu", as<&EcsTask::cpu, NumberText{128, most_cpu}>},
    {"memory", as<&EcsTask::memory, NumberText{4, most_memory}>},
    {"network_from_service", as<&EcsTask::network_from_service, some_text>},
    {"subnets", as<&EcsTask::subnets, Texts<subnet>{most_subnets}>},
    {"security_groups", as<&EcsTask::security_groups, Texts<security_group>{most_groups}>},
    {"assign_public_ip", member<&EcsTask::assign_public_ip>},
    {"launch_type", as<&EcsTask::launch_type, OneOf<launch_types>{}>},
    {"capacity_provider_strategy", read_providers,
     Shape{[] { return list_shape(mapping_shape(provider_fields, R"("capacity_provider")"), R"(,"minItems":1)"); }}},
    {"platform_version", as<&EcsTask::platform_version, some_text>},
    {"tags", as<&EcsTask::tags, Tags{}>},
    {"wait", as<&EcsTask::wait, some_time>},
    {"capacity_timeout", as<&EcsTask::capacity_timeout, Lasting{}>},
    {"poll", as<&EcsTask::poll, some_time>},
    {"watch", as<&EcsTask::watch, some_texts>},
};

void check_network(Reader& reader, const Key& key, Yaml yaml, const EcsTask& task) {
  if (is_given(yaml, "network_from_service")) {
    refuse(reader, key, yaml, {"subnets", "security_groups", "assign_public_ip"},
           "does not go with `network_from_service`", "the service says it: keep one of them");
    return;
  }
  if (!is_given(yaml, "subnets")) {
    refuse(reader, key, yaml, {"security_groups", "assign_public_ip"}, "goes with `subnets` only");
    if (task.launch_type == "FARGATE") {
      reader.wrong(key, yaml, "has `launch_type: FARGATE` and no network: Fargate needs one",
                   "add `network_from_service: SERVICE`, or `subnets`");
    }
  }
}

}  // namespace

std::string shape_of(const EcsDeploy*) { return mapping_shape(ecs_fields, "\"cluster\""); }
std::string shape_of(const EcsTask*) { return mapping_shape(task_fields, R"("cluster","task_definition")"); }

bool read(Reader& reader, const Key& key, Yaml yaml, EcsDeploy& out) {
  if (!reader.fields(key, yaml, ecs_fields, out)) return false;
  require(reader, key, yaml, {"cluster"}, "for example `cluster: prod`");
  if (!is_given(yaml, "service") && !is_given(yaml, "services")) {
    reader.wrong(key, yaml, "needs `service` or `services`", "for example `service: web`");
  }
  exclusive(reader, key, yaml, {"service", "services"});
  exclusive(reader, key, yaml, {"images", "image"},
            "`image` is for every container of its repository, `images` goes by container");
  return out.rollback || out.on_cancel == OnCancel::rollback ||
         refuse(reader, key, yaml, {"rollback_wait"}, "goes with `rollback: true` or `on_cancel: rollback` only");
}

bool read(Reader& reader, const Key& key, Yaml yaml, EcsTask& out) {
  if (!reader.fields(key, yaml, task_fields, out)) return false;
  require(reader, key, yaml, {"cluster", "task_definition"});
  exclusive(reader, key, yaml, {"launch_type", "capacity_provider_strategy"});
  check_network(reader, key, yaml, out);
  if (!is_given(yaml, "capacity_timeout")) out.capacity_timeout = std::min(out.capacity_timeout, out.wait);
  return out.capacity_timeout <= out.wait ||
         reader.wrong({&key, "capacity_timeout"}, yaml.find("capacity_timeout"), "is longer than `wait`");
}

}  // namespace pipelines
