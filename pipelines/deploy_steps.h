// What the author wrote below `deploy`: one struct per kind (docs/language.md, "Steps"). All texts are unexpanded;
// for_each_text (steps.h) names those in which variables are expanded.
//
// Every number here has been checked against what AWS takes (docs.aws.amazon.com: the API references of ECS, EC2 Auto
// Scaling and CloudFormation). A number that may come from a variable is a text; its reader has checked it where it is
// written out. An absent optional means: AWS's own default, or what stands on the service or group already.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pipelines {

using TextMap = std::vector<std::pair<std::string, std::string>>;  // in the author's order, names unique

// How long a step watches what it started, unless `wait` says so.
inline constexpr std::chrono::seconds usual_wait = std::chrono::minutes(30);

// What becomes of a rollout when its job is cancelled.
enum class OnCancel : std::uint8_t { leave, rollback, cancel };

// `deploy:ecs`: services of one cluster get a new revision of their task definition.
struct EcsDeploy {
  // Which AWS ECS itself does (Service deployment circuit breaker).
  struct CircuitBreaker {
    bool enable = true;
    bool rollback = false;
  };
  // Percentages of the desired count; min < max, so that a task can be replaced.
  struct Configuration {
    std::optional<int> min_healthy;  // 0 to 100
    std::optional<int> max_healthy;  // 100 or more
    std::optional<CircuitBreaker> circuit_breaker;
    std::vector<std::string> alarms;  // CloudWatch's names: one of them fails the deployment
    bool alarm_rollback = false;      // deployment_configuration:rollback_on_alarm
  };
  // Of one container; a name that the task definition has already gets the new value.
  struct ContainerValues {
    std::string container;
    TextMap values;
  };

  std::string cluster;                // name or ARN
  std::vector<std::string> services;  // `service` or `services`: at least one, in this order
  TextMap images;                     // container: image
  std::string image;                  // in place of `images`: for all containers of the same repository
  std::string task_definition;        // a file of the project, a family or an ARN; empty: the service's current one
  std::vector<ContainerValues> environment;
  std::vector<ContainerValues> secrets;  // name: ARN in Secrets Manager or the Parameter Store
  std::string cpu, memory;               // of the task: CPU units, MiB
  TextMap tags;                          // of the registered revision
  std::string desired_count;             // empty: left to the service (and its autoscaling)
  bool force = false;                    // a new deployment also where nothing changed
  std::optional<Configuration> deployment_configuration;
  std::chrono::seconds wait = usual_wait;
  std::optional<std::chrono::seconds> rollback_wait;  // its own deadline; absent: `wait`
  std::optional<std::chrono::seconds> poll;           // between two looks; absent: 5 s, growing to 15 s
  bool rollback = false;                              // to the previous revision, on failure or timeout
  OnCancel on_cancel = OnCancel::leave;               // leave or rollback
  bool superseded_is_success = false;                 // on_superseded: success
  std::optional<int> max_failed_tasks;                // 1 or more: a failure as soon as so many tasks failed
  int log_lines = 20;                                 // of each failed container's log, 0 to 1000
};

// `deploy:ecs_task`: one task, whose exit code is the job's.
struct EcsTask {
  // Never beside `launch_type`.
  struct CapacityProvider {
    std::string name;  // capacity_provider
    int weight = 0;    // 0 to 1000
    int base = 0;      // 0 to 100,000; only one of the list has one
  };

  std::string cluster;          // name or ARN
  std::string task_definition;  // a file of the project, a family or an ARN
  std::string image;            // replaces that of `container`
  std::string container;        // whose command and so on; empty: the only one
  std::vector<std::string> command;
  TextMap environment;
  std::string cpu, memory;           // of the task: CPU units, MiB
  std::string network_from_service;  // of this service: network, launch type and platform; excludes the next three
  std::vector<std::string> subnets;
  std::vector<std::string> security_groups;
  std::optional<bool> assign_public_ip;
  std::string launch_type;  // EC2, FARGATE, EXTERNAL or empty
  std::vector<CapacityProvider> capacity_provider_strategy;
  std::string platform_version;
  TextMap tags;  // of the task
  std::chrono::seconds wait = usual_wait;
  std::chrono::seconds capacity_timeout = std::chrono::minutes(5);  // how long to ask again where there is no room
  std::optional<std::chrono::seconds> poll;                         // between two looks; absent: 3 s, growing to 6 s
  std::vector<std::string> watch;  // containers whose exit codes count; empty: every essential one
};

// `deploy:asg`: the instances of an Auto Scaling group are renewed, or it is scaled, or both.
struct AsgDeploy {
  enum class Strategy : std::uint8_t { refresh, blue_green };
  enum class ScaleInProtected : std::uint8_t { refresh, ignore, wait };
  enum class Standby : std::uint8_t { terminate, ignore, wait };
  // Where a refresh of somebody else's runs already.
  enum class InProgress : std::uint8_t { wait, cancel, rollback, fail };
  // overlap: both groups serve until green is well. switch_over: green gets the target groups when it is up.
  enum class Mode : std::uint8_t { overlap, switch_over };
  struct Capacity {
    std::string min, max, desired;  // numbers or variables; empty: as it is
  };

  std::string group;                    // its name; of blue_green: blue's, where `service` is not given
  std::string ami;                      // the image; a new version of the group's launch template is made with it
  std::string launch_template_version;  // a number, `latest` or `default` (resolved to a number); never beside `ami`
  std::optional<Strategy> strategy;     // see renews()
  std::optional<Capacity> capacity;
  std::chrono::seconds wait = usual_wait;
  std::optional<std::chrono::seconds> poll;  // between two looks; absent: 10 s, growing to 20 s
  OnCancel on_cancel = OnCancel::leave;      // cancel: the refresh stops where it is

  // Only of `refresh` (the API's RefreshPreferences).
  std::optional<int> min_healthy;  // percent, 0 to 100
  std::optional<int> max_healthy;  // percent, 100 to 200; never without min_healthy, at most 100 above it
  std::optional<std::chrono::seconds> instance_warmup;
  std::vector<int> checkpoints;  // percent, ascending, 1 to 100; the last need not be 100
  // At most 48 hours; absent: 10 minutes, with checkpoint_approval as long as `wait` allows.
  std::optional<std::chrono::seconds> checkpoint_delay;
  bool checkpoint_approval = false;  // somebody is asked at each; no means: roll back
  bool skip_matching = false;
  bool auto_rollback = false;
  std::vector<std::string> alarms;                // CloudWatch's names: one of them fails the refresh
  std::optional<std::chrono::seconds> bake_time;  // at most 48 hours
  std::optional<ScaleInProtected> scale_in_protected;
  std::optional<Standby> standby;
  InProgress in_progress = InProgress::wait;

  // Only of `blue_green`.
  std::string service;           // the tag by which blue is found and green is named; empty: `group`
  Mode mode = Mode::overlap;     // `switch` is switch_over
  int ready_checks = 3;          // so many looks in a row at which all of green is well, 1 to 100
  std::chrono::seconds grace{};  // so long an unhealthy target of green is no failure yet
  std::chrono::seconds bake{};   // watched so long with green serving before blue goes
  std::chrono::seconds keep_blue{};

  bool blue_green() const { return strategy == Strategy::blue_green; }
  // False: nothing but `capacity` is wanted (start, stop, scale).
  bool renews() const { return strategy.has_value() || !ami.empty() || !launch_template_version.empty() || !capacity; }
};

// `deploy:cloudformation`.
struct CloudFormation {
  enum class Approve : std::uint8_t { replacements, never, always };  // replacements: what is replaced or removed
  enum class Mode : std::uint8_t { change_set, direct };
  enum class InProgress : std::uint8_t { wait, fail };
  // What was deployed is committed: the parameters into a JSON file, or the template's own `Default`.
  struct Record {
    std::string branch;              // empty: the run's
    std::string file;                // of the parameters, in the project; empty: none
    bool template_defaults = false;  // `template: true`: the template itself keeps them
  };
  // Update, verify, roll back, verify on another stack first. Where it does not exist it is made from the current
  // template and parameters of `stack`, and deleted afterwards.
  struct Rehearse {
    std::string stack;
    std::vector<std::string> verify;  // commands, run in the job's sandbox; not empty
    bool keep = false;
    TextMap parameters;  // in place of those of the real stack
  };

  std::string stack;          // name or ARN
  std::string template_file;  // `template`: a file of the project, or an https URL in S3; empty: none
  bool use_previous_template = false;
  bool delete_stack = false;  // `delete`: the stack is deleted; excludes everything about a template
  TextMap parameters;         // the others keep their values
  std::vector<std::string> capabilities;
  TextMap tags;
  std::string role_arn;  // CloudFormation's own role
  Approve approve = Approve::replacements;
  bool protect_replacement = false, protect_remove = false;  // protect: fail instead, unless approved
  std::optional<Record> record;
  std::optional<Rehearse> rehearse;
  bool fail_on_empty = false;                  // no changes is a failure
  bool recreate_failed = false;                // ROLLBACK_COMPLETE: delete it and create it anew
  bool continue_rollback = false;              // UPDATE_ROLLBACK_FAILED: continue
  std::vector<std::string> resources_to_skip;  // only with continue_rollback
  bool disable_rollback = false;
  Mode mode = Mode::change_set;
  std::vector<std::string> rollback_triggers;           // ARNs of alarms, at most 5
  std::optional<std::chrono::seconds> monitoring_time;  // whole minutes, at most 180
  std::chrono::seconds wait = usual_wait;
  std::optional<std::chrono::seconds> poll;   // between two looks; absent: 2 s, growing to 5 s
  InProgress in_progress = InProgress::wait;  // where the stack is busy
  OnCancel on_cancel = OnCancel::rollback;    // leave or rollback (CancelUpdateStack)
  bool nested = false;                        // the change set shows nested stacks
  std::string template_bucket;                // for a template of more than 51,200 bytes
};

// `deploy:terraform`: plan, approval, exactly that plan. Runs in the job's sandbox.
struct Terraform {
  enum class Binary : std::uint8_t { terraform, terragrunt };
  enum class Approve : std::uint8_t { changes, always, never };

  Binary binary = Binary::terraform;
  std::string directory = ".";
  std::string workspace;  // empty: the one that is selected, `default`
  TextMap variables;      // become TF_VAR_…
  std::vector<std::string> var_files;
  std::vector<std::string> backend_config;  // NAME=VALUE or a file, each
  Approve approve = Approve::changes;
  bool destroy = false;  // always asked for, unless `approve: never` is written
  std::vector<std::string> targets, replace;
  std::chrono::seconds lock_timeout = std::chrono::minutes(1);
  std::optional<int> parallelism;  // 1 or more
};

}  // namespace pipelines
