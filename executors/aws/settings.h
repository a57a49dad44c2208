// What the AWS client is told from outside. Nothing in this directory reads the environment by itself.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace executors::aws {

using Variables = std::map<std::string, std::string, std::less<>>;

struct Settings {
  Variables environment;  // AWS_*, SSL_CERT_FILE and HOME, as the tools of AWS read them
  // The job's `aws` block; empty: not said. All of it is stronger than the environment.
  std::string region, profile, role_arn, external_id, endpoint;
  std::string session_name;  // of roles that are assumed; the run and the job

  std::string_view variable(std::string_view name) const {
    const auto found = environment.find(name);
    return found == environment.end() ? std::string_view() : std::string_view(found->second);
  }
};

enum class Protocol { json, query, ec2, rest_xml };

// One line per service (botocore's service-2.json, "metadata").
struct Service {
  std::string_view name;  // in messages and in the default host
  std::string_view signing_name;
  std::string_view id;  // AWS_ENDPOINT_URL_<id>; in lower case the key of a profile's `services`
  Protocol protocol;
  std::string_view version;  // query and ec2: the parameter Version
  std::string_view target;   // json: X-Amz-Target is TARGET.Operation
};

namespace services {
inline constexpr Service ecs{"ecs", "ecs", "ECS", Protocol::json, "", "AmazonEC2ContainerServiceV20141113"};
inline constexpr Service ecr{"api.ecr", "ecr", "ECR", Protocol::json, "", "AmazonEC2ContainerRegistry_V20150921"};
inline constexpr Service logs{"logs", "logs", "CLOUDWATCH_LOGS", Protocol::json, "", "Logs_20140328"};
inline constexpr Service auto_scaling{"autoscaling", "autoscaling", "AUTO_SCALING", Protocol::query, "2011-01-01", ""};
inline constexpr Service cloudformation{"cloudformation", "cloudformation", "CLOUDFORMATION",
                                        Protocol::query,  "2010-05-15",     ""};
inline constexpr Service cloudwatch{"monitoring", "monitoring", "CLOUDWATCH", Protocol::query, "2010-08-01", ""};
inline constexpr Service load_balancing{"elasticloadbalancing", "elasticloadbalancing", "ELASTIC_LOAD_BALANCING_V2",
                                        Protocol::query,        "2015-12-01",           ""};
inline constexpr Service sts{"sts", "sts", "STS", Protocol::query, "2011-06-15", ""};
inline constexpr Service ec2{"ec2", "ec2", "EC2", Protocol::ec2, "2016-11-15", ""};
inline constexpr Service s3{"s3", "s3", "S3", Protocol::rest_xml, "", ""};
}  // namespace services

}  // namespace executors::aws
