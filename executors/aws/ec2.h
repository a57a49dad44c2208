// Amazon EC2 as far as groups of instances need it (docs.aws.amazon.com, Amazon EC2 API Reference): images and launch
// templates. All throw what Caller throws.
#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "executors/aws/caller.h"

namespace executors::aws {

struct Image {
  std::string id, name, state, reason;  // "available", "pending", "failed" …
};

struct LaunchTemplateVersion {
  std::string id, number, image;
};

class Ec2 {
 public:
  explicit Ec2(Caller& caller) : caller_(caller) {}

  std::optional<Image> image(std::string_view id, const std::stop_token& = {});
  // `version`: a number, $Latest or $Default. Absent: there is none.
  std::optional<LaunchTemplateVersion> template_version(std::string_view id, std::string_view version,
                                                        const std::stop_token& = {});
  // As `source`, with another image. The same `token` twice is one version.
  LaunchTemplateVersion add_template_version(std::string_view id, std::string_view source, std::string_view image,
                                             std::string_view description, std::string_view token,
                                             const std::stop_token& = {});

 private:
  Caller& caller_;
};

}  // namespace executors::aws
