// Where credentials come from (AWS SDKs and Tools Reference Guide, "Standardized credential providers"), in botocore's
// order: the job's profile; the environment's keys; the role of AWS_PROFILE; a web identity
// (AWS_WEB_IDENTITY_TOKEN_FILE); the credentials file; credential_process; the config file; a container's (ECS, EKS);
// an EC2 instance's (IMDSv2 alone). Then the job's role_arn is assumed with what was found. The source is kept, not
// what it gave, so that a wait of hours does not end with a token that is too old.
#pragma once

#include <memory>

#include "executors/aws/caller.h"

namespace executors::aws {

// Thread-safe. Nothing is asked before the first `get`, which throws SetupError, naming what was looked at, when there
// are none. Asked anew 15 minutes before they expire; in the last 10 they are not used any more.
std::shared_ptr<CredentialSource> credentials_of(const Settings&, std::shared_ptr<const Profiles>, World);

// AWS_CA_BUNDLE, the profile's ca_bundle, SSL_CERT_FILE; empty: the machine's.
std::filesystem::path ca_bundle_of(const Settings&, const Profiles&);

}  // namespace executors::aws
