// What several commands set up the same way.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runner/cli/commands.h"
#include "runner/config/config.h"
#include "runner/hosts/include_files.h"
#include "runner/run/credentials.h"
#include "runner/store/store.h"

namespace runner {

// The configuration with --config and --database applied. Throws ConfigError.
Config configuration(const CommandLine&);
// The store the configuration names, made when it is missing. Throws StoreError.
std::unique_ptr<Store> open_store(const Config&);
// The same for who only looks, or removes: null where there is none, and nothing is made. `make_room`:
// Store::Options::make_room.
std::unique_ptr<Store> open_existing_store(const Config&, bool make_room = false);
// The same for who cannot do without: throws UsageError where there is none.
std::unique_ptr<Store> open_recorded_store(const Config&);
// What the configuration says of `include`.
IncludeSettings include_settings(const Config&);
// What the configuration and the environment say of ID tokens and of servers that have secrets. Throws ConfigError.
CredentialSettings credential_settings(const Config&, const EnvironmentLookup& = process_environment());
// The run to be resumed so that this one goes on: a child pipeline is taken up by its parent. `orphans`: those of the
// store (Store::orphaned_runs).
RunId resumed_with(const Store&, const std::vector<RunId>& orphans, RunId);
std::string utc_text(UnixMs);    // ISO 8601, UTC, milliseconds
std::string local_text(UnixMs);  // for people: 2024-05-01 14:03
std::string now_text();          // utc_text of now

}  // namespace runner
