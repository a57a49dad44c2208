#include "executors/aws/ec2.h"

namespace executors::aws {
namespace {

LaunchTemplateVersion version_of(const Element& element) {
  return {element["launchTemplateId"].text, element["versionNumber"].text,
          element["launchTemplateData"]["imageId"].text};
}

}  // namespace

std::optional<Image> Ec2::image(std::string_view id, const std::stop_token& stop) {
  try {
    const Element answer = caller_.form("DescribeImages", {{"ImageId", {id}}}, Repeat::read, stop);
    const auto images = answer["imagesSet"].items();
    if (images.empty()) return std::nullopt;
    const Element& image = *images.front();
    return Image{image["imageId"].text, image["name"].text, image["imageState"].text,
                 image["stateReason"]["message"].text};
  } catch (const CallError& error) {
    if (error.is("InvalidAMIID.NotFound") || error.is("InvalidAMIID.Unavailable")) return std::nullopt;
    throw;
  }
}

std::optional<LaunchTemplateVersion> Ec2::template_version(std::string_view id, std::string_view version,
                                                           const std::stop_token& stop) {
  try {
    const Element answer =
        caller_.form("DescribeLaunchTemplateVersions", {{"LaunchTemplateId", id}, {"LaunchTemplateVersion", {version}}},
                     Repeat::read, stop);
    const auto versions = answer["launchTemplateVersionSet"].items();
    if (versions.empty()) return std::nullopt;
    return version_of(*versions.front());
  } catch (const CallError& error) {
    if (error.is("InvalidLaunchTemplateId.VersionNotFound")) return std::nullopt;
    throw;
  }
}

LaunchTemplateVersion Ec2::add_template_version(std::string_view id, std::string_view source, std::string_view image,
                                                std::string_view description, std::string_view token,
                                                const std::stop_token& stop) {
  const Element answer = caller_.form("CreateLaunchTemplateVersion",
                                      {{"LaunchTemplateId", id},
                                       {"SourceVersion", source},
                                       {"LaunchTemplateData", {{"ImageId", image}}},
                                       {"VersionDescription", description},
                                       {"ClientToken", token}},
                                      Repeat::same, stop);
  LaunchTemplateVersion made = version_of(answer["launchTemplateVersion"]);
  made.image = image;
  return made;
}

}  // namespace executors::aws
