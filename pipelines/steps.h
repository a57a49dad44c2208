// Steps that are built in: what the author wrote in place of `script` (`scan`, `image_build`, `bake`, `deploy`,
// `rollback`) and beside it (`aws`, `monitor`, `notify`, `s3_artifacts`, `cloudwatch_logs`), as values. They are
// described to authors in docs/language.md, "Steps"; GitLab has nothing like them.
//
// Read by read_steps.cpp and its siblings, carried out by the runner. Everything that AWS or a tool would refuse and
// that can be seen in the file has been refused by then, except where a text has a variable in it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "pipelines/deploy_steps.h"

namespace pipelines {

// `scan:retire` (retirejs.github.io). Runs in the job's sandbox.
struct RetireScan {
  enum class Severity : std::uint8_t { none, low, medium, high, critical };
  std::string path = ".";
  Severity severity = Severity::none;  // fails at or above; `none` at any finding, as the tool does by itself
  std::string ignore;                  // .retireignore or .retireignore.json; empty: the tool looks for it
  std::string database;                // a file or URL, or several with commas; empty: the tool's own
};

// `image_build`, by the Engine's API (docs.docker.com/engine/api, ImageBuild and ImagePush).
struct ImageBuild {
  // Ends with the build; no layer and no argument of the image has it.
  struct Secret {
    std::string id;
    std::string value;  // text; or
    std::string file;   // a file of the project
  };
  // What a repository is created with, in ECR.
  struct CreateRepository {
    bool scan_on_push = false;
    bool immutable = false;
  };

  std::string context = ".";
  std::string dockerfile;         // empty: `Dockerfile` in the context; relative to the project
  std::string target;             // a stage; empty: the last
  std::string repository;         // with the registry's host; no tag
  std::vector<std::string> tags;  // what stands for the commit never moves; not empty
  TextMap build_args, labels;
  std::vector<Secret> secrets;
  std::string platform, network;
  std::vector<std::string> cache_from;
  bool push = false;
  bool pull = false;  // look for newer base images
  bool no_cache = false;
  bool overwrite = false;  // a commit's tag that is another image already is moved after all
  std::optional<CreateRepository> create_repository;
};

// `bake:packer`. Runs in the job's sandbox.
struct PackerBake {
  enum class OnError : std::uint8_t { cleanup, abort, run_cleanup_provisioner };
  std::string template_file;  // `template`: a file or, in HCL2, a folder
  TextMap vars;
  std::vector<std::string> var_files;
  std::vector<std::string> when_changed;  // globs; not empty: what was baked from the same inputs is taken again
  std::vector<std::string> only, except;  // builders
  std::optional<OnError> on_error;
  bool force = false;
  bool sudo = false;                              // amazon-chroot
  std::optional<int> parallel_builds;             // 0 (all) or more
  std::string manifest = "packer-manifest.json";  // that of a post-processor of the template, if there is one
};

// `rollback`: the previous deployment of an environment again.
struct RollbackStep {
  std::string environment;
  std::string to;  // a deployment's number (`runner deployments`); empty: the previous good one
};

using Step = std::variant<RetireScan, ImageBuild, PackerBake, EcsDeploy, EcsTask, AsgDeploy, CloudFormation, Terraform,
                          RollbackStep>;

// --- beside a script or a step ---------------------------------------------------------------------------------------

// `aws`: which credentials, and where. An empty text: not said.
struct AwsSettings {
  std::string region, profile, role_arn, endpoint, external_id, session_name;
  std::chrono::seconds duration{};  // of a session; zero: not said; 15 minutes to 12 hours
  bool pass = false;                // the job's container gets a session of its own
  std::string policy;               // narrows that session; IAM's JSON
};

// `monitor`: watched after the job's work, which fails when an alarm goes off.
struct Monitor {
  std::vector<std::string> cloudwatch_alarms;  // at least one, at most 100
  std::chrono::seconds duration{};             // `for`
  std::chrono::seconds every = std::chrono::seconds(15);
  std::optional<bool> rollback;  // absent: where the step would roll back by itself
};

struct Notify {
  enum class Channel : std::uint8_t { webhook, slack, email };
  enum class Event : std::uint8_t { started, waiting, succeeded, failed, fixed, canceled };
  Channel channel = Channel::webhook;
  std::string url;              // of webhook and slack
  std::vector<std::string> to;  // of email; the server is a matter of the runner's configuration
  std::string secret;           // of webhook: signs the body (HMAC-SHA256)
  std::vector<Event> on;        // never empty: failed and fixed where nothing is said
};

// `s3_artifacts`: artifacts also go to a bucket.
struct S3Artifacts {
  std::string bucket, prefix;
  std::string encryption;  // AES256, aws:kms or empty: the bucket's
  std::string kms_key;     // only with aws:kms
  std::string storage_class;
  bool required = false;  // what cannot be stored fails the job
};

// `cloudwatch_logs`: the log also goes to a log group. Never fails the job.
struct CloudwatchLogs {
  std::string group;
  std::string stream;                 // empty: PIPELINE/RUN/JOB
  std::optional<int> retention_days;  // one of those that CloudWatch knows
};

// --- what can be said of any step ------------------------------------------------------------------------------------

using TextVisitor = std::function<void(std::string&)>;

// Every text in which variables are expanded: values, never names and never words of the language.
void for_each_text(Step&, const TextVisitor&);
void for_each_text(AwsSettings&, const TextVisitor&);
void for_each_text(Monitor&, const TextVisitor&);
void for_each_text(std::vector<Notify>&, const TextVisitor&);
void for_each_text(S3Artifacts&, const TextVisitor&);
void for_each_text(CloudwatchLogs&, const TextVisitor&);

// What kind it is: `deploy.ecs`, `image_build`.
std::string_view key_of(const Step&);

// What only one run at a time may change, by its texts as they are (expand them first): `ecs:CLUSTER/SERVICE`,
// `ecs-task:CLUSTER/FAMILY`, `asg:GROUP`, `cfn:STACK`, `tf:DIRECTORY+WORKSPACE`. Names for ARNs; sorted, none twice. A
// task definition that is a file stands there as its path: the family is in it. None: nothing of the kind.
std::vector<std::string> targets_of(const Step&);

// One line: `deploy.ecs prod/backend`.
std::string describe(const Step&);

// How long it watches what it started; absent: as long as the job may last. The job's timeout should not be shorter.
std::optional<std::chrono::seconds> wait_of(const Step&);

// Whether its work is a tool's (retire, packer, terraform), which runs in the job's sandbox like a script.
bool runs_a_tool(const Step&);
// Whether it needs the job's sandbox at all: also for `rehearse:verify`.
bool needs_sandbox(const Step&);
// Whether it changes what serves users: `deploy` and `rollback`.
bool deploys(const Step&);
// Whether the step can take back what it did, so that `monitor:rollback` means something.
bool can_roll_back(const Step&);

// What is a file of the project rather than a family or an ARN: it has a slash or ends in `.json`.
bool is_task_definition_file(std::string_view task_definition);

}  // namespace pipelines
