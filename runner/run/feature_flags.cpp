#include "runner/run/feature_flags.h"

#include <fmt/format.h>

#include <string_view>

#include "runner/run/source_choice.h"

namespace runner {
namespace {

struct FeatureFlag {
  std::string_view name;
  bool on;  // the default
};

// helpers/featureflags/flags.go
constexpr FeatureFlag feature_flags[] = {
    {"FF_CLEAN_UP_FAILED_CACHE_EXTRACT", false},
    {"FF_CONCRETE", false},
    {"FF_DISABLE_AUTOMATIC_TOKEN_ROTATION", false},
    {"FF_DISABLE_POWERSHELL_STDIN", false},
    {"FF_DISABLE_UMASK_FOR_DOCKER_EXECUTOR", false},
    {"FF_DISABLE_UMASK_FOR_KUBERNETES_EXECUTOR", false},
    {"FF_ENABLE_BASH_EXIT_CODE_CHECK", false},
    {"FF_ENABLE_JOB_CLEANUP", false},
    {"FF_ENABLE_JOB_INPUTS_INTERPOLATION", true},
    {"FF_EXPORT_HIGH_CARDINALITY_METRICS", false},
    {"FF_GIT_URLS_WITHOUT_TOKENS", false},
    {"FF_HASH_CACHE_KEYS", false},
    {"FF_KUBERNETES_HONOR_ENTRYPOINT", false},
    {"FF_LOG_IMAGES_CONFIGURED_FOR_JOB", false},
    {"FF_MASK_ALL_DEFAULT_TOKENS", true},
    {"FF_NETWORK_PER_BUILD", false},
    {"FF_POSIXLY_CORRECT_ESCAPES", false},
    {"FF_PRINT_POD_EVENTS", false},
    {"FF_RESOLVE_FULL_TLS_CHAIN", false},
    {"FF_SCRIPT_SECTIONS", false},
    {"FF_SCRIPT_TO_STEP_MIGRATION", false},
    {"FF_SECRET_RESOLVING_FAILS_IF_MISSING", true},
    {"FF_SUSPENDABLE_ENVIRONMENTS", false},
    {"FF_TIMESTAMPS", true},
    {"FF_USE_ADAPTIVE_REQUEST_CONCURRENCY", true},
    {"FF_USE_ADVANCED_POD_SPEC_CONFIGURATION", false},
    {"FF_USE_DIRECT_DOWNLOAD", true},
    {"FF_USE_DOCKER_AUTOSCALER_DIAL_STDIO", true},
    {"FF_USE_DUMB_INIT_WITH_KUBERNETES_EXECUTOR", false},
    {"FF_USE_DYNAMIC_TRACE_FORCE_SEND_INTERVAL", false},
    {"FF_USE_EXPONENTIAL_BACKOFF_STAGE_RETRY", true},
    {"FF_USE_FASTZIP", true},
    {"FF_USE_FLEETING_ACQUIRE_HEARTBEATS", false},
    {"FF_USE_GITALY_CORRELATION_ID", true},
    {"FF_USE_GIT_BUNDLE_URIS", true},
    {"FF_USE_GIT_NATIVE_CLONE", false},
    {"FF_USE_GIT_PROACTIVE_AUTH", false},
    {"FF_USE_INIT_WITH_DOCKER_EXECUTOR", false},
    {"FF_USE_JOB_ROUTER", false},
    {"FF_USE_LEGACY_BASH_EVAL", false},
    {"FF_USE_LEGACY_GCS_CACHE_ADAPTER", false},
    {"FF_USE_LEGACY_KUBERNETES_EXECUTION_STRATEGY", false},
    {"FF_USE_LEGACY_S3_CACHE_ADAPTER", false},
    {"FF_USE_NATIVE_CONTAINER_STOP", false},
    {"FF_USE_PARALLEL_ARTIFACT_TRANSFER", false},
    {"FF_USE_PARALLEL_CACHE_TRANSFER", false},
    {"FF_USE_POD_ACTIVE_DEADLINE_SECONDS", true},
    {"FF_USE_POWERSHELL_PATH_RESOLVER", false},
    {"FF_USE_WINDOWS_JOB_OBJECT", false},
    {"FF_USE_WINDOWS_LEGACY_PROCESS_STRATEGY", false},
    {"FF_WAIT_FOR_POD_TO_BE_REACHABLE", false},
};

std::string word(bool on) { return on ? "true" : "false"; }

}  // namespace

void add_feature_flags(pipelines::VariableSet& variables) {
  for (const FeatureFlag& flag : feature_flags) {
    variables.set(flag.name, word(flag.on), pipelines::Precedence::predefined, /*expand=*/false);
  }
}

void settle_feature_flags(pipelines::VariableSet& expanded, std::vector<std::string>& warnings) {
  for (const FeatureFlag& known : feature_flags) {
    const auto* entry = expanded.find(known.name);
    if (entry == nullptr || entry->precedence == pipelines::Precedence::predefined) {
      continue;
    }
    VariableFindings findings;
    const bool on = flag(expanded, known.name, known.on, findings);
    warnings.insert(warnings.end(), findings.warnings.begin(), findings.warnings.end());
    expanded.set(known.name, word(on), entry->precedence, /*expand=*/false);
  }
}

}  // namespace runner
