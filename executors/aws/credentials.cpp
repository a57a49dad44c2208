#include "executors/aws/credentials.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>
#include <system_error>

#include "executors/helper_process.h"

namespace executors::aws {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::sys_seconds;
using namespace std::chrono_literals;

constexpr auto advisory = 15min;
constexpr auto mandatory = 10min;

// "2026-11-20T12:00:00Z", with or without a fraction. Absent: not understood.
std::optional<sys_seconds> iso_time(const std::string& text) {
  std::tm parts{};
  if (::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts) == nullptr) return std::nullopt;
  return std::chrono::floor<seconds>(std::chrono::system_clock::from_time_t(::timegm(&parts)));
}

std::string file_text(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in && !in.eof()) throw SetupError(fmt::format("{}: cannot be read", file.string()));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

// The answer of a container's endpoint, of IMDS and of credential_process, whose names differ in one.
std::optional<Credentials> from_document(std::string_view body, const char* token_key, std::string source) {
  const nlohmann::json document = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) return std::nullopt;
  const auto text = [&](const char* key) {
    const auto found = document.find(key);
    return found != document.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  Credentials credentials;
  credentials.key = {text("AccessKeyId"), text("SecretAccessKey"), text(token_key)};
  if (credentials.key.id.empty() || credentials.key.secret.empty()) return std::nullopt;
  credentials.expires = iso_time(text("Expiration"));
  credentials.source = std::move(source);
  return credentials;
}

Credentials from_sts(const Element& result, std::string source) {
  const Element& given = result["Credentials"];
  Credentials credentials;
  credentials.key = {given["AccessKeyId"].text, given["SecretAccessKey"].text, given["SessionToken"].text};
  credentials.expires = iso_time(given["Expiration"].text);
  credentials.source = std::move(source);
  if (credentials.key.id.empty()) throw SetupError(fmt::format("{}: STS gave no credentials", credentials.source));
  return credentials;
}

// One way to credentials. Absent: this way does not lead to any here. Throws where it should have.
using Fetch = std::function<std::optional<Credentials>(const std::stop_token&)>;

// Keeps what a way gave until it grows old.
class Refreshed : public CredentialSource {
 public:
  Refreshed(std::vector<Fetch> ways, std::string none, World world)
      : ways_(std::move(ways)), none_(std::move(none)), world_(std::move(world)) {}

  Credentials get(const std::stop_token& stop) override {
    const std::scoped_lock lock(mutex_);
    const auto left = [&] { return current_->expires ? *current_->expires - world_.now() : 24h; };
    if (current_ && left() > advisory) return *current_;
    try {
      if (std::optional<Credentials> next = fetch(stop)) current_ = std::move(next);
    } catch (const http::Cancelled&) {
      throw;
    } catch (const std::exception&) {
      if (!current_ || left() <= mandatory) throw;  // else there is time to ask once more
    }
    if (!current_) throw SetupError(none_);
    return *current_;
  }

  void refused(const AccessKey& key) override {
    const std::scoped_lock lock(mutex_);
    if (current_ && current_->key.id == key.id && current_->key.session_token == key.session_token) current_.reset();
  }

 private:
  // The way that led somewhere once is the only one from then on.
  std::optional<Credentials> fetch(const std::stop_token& stop) {
    for (std::size_t i = 0; i < ways_.size(); ++i) {
      std::optional<Credentials> found = ways_[i](stop);
      if (!found) continue;
      Fetch way = std::move(ways_[i]);
      ways_.clear();
      ways_.push_back(std::move(way));
      return found;
    }
    return std::nullopt;
  }

  std::vector<Fetch> ways_;
  std::string none_;
  World world_;
  std::mutex mutex_;
  std::optional<Credentials> current_;
};

class Chain {
 public:
  Chain(const Settings& settings, std::shared_ptr<const Profiles> profiles, World world)
      : settings_(settings), profiles_(std::move(profiles)), world_(std::move(world)) {}

  std::shared_ptr<CredentialSource> source() {
    if (!settings_.profile.empty() && !profiles_->has(settings_.profile)) {
      throw SetupError(fmt::format("AWS: there is no profile {}", settings_.profile));
    }
    std::vector<Fetch> ways;
    const std::string profile = profile_name(settings_);
    if (settings_.profile.empty()) ways.push_back(environment_keys());
    ways.push_back(profile_role(profile, 0));
    if (settings_.profile.empty()) ways.push_back(environment_web_identity());
    ways.push_back(profile_keys(profile));
    ways.push_back(profile_process(profile));
    if (settings_.profile.empty()) {
      ways.push_back(container());
      ways.push_back(instance());
    }
    auto base = std::make_shared<Refreshed>(
        std::move(ways),
        fmt::format("AWS: no credentials: none in the environment (AWS_ACCESS_KEY_ID), in profile {}, from a container "
                    "or from an EC2 instance",
                    profile),
        world_);
    if (settings_.role_arn.empty()) return base;
    return std::make_shared<Refreshed>(
        std::vector<Fetch>{assumed(base, settings_.role_arn, settings_.external_id, settings_.session_name, "", "")},
        "", world_);
  }

 private:
  Fetch environment_keys() const {
    return [settings = settings_](const std::stop_token&) -> std::optional<Credentials> {
      const std::string id(settings.variable("AWS_ACCESS_KEY_ID"));
      if (id.empty()) return std::nullopt;
      const std::string secret(settings.variable("AWS_SECRET_ACCESS_KEY"));
      if (secret.empty()) throw SetupError("AWS: AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not");
      return Credentials{{id, secret, std::string(settings.variable("AWS_SESSION_TOKEN"))}, {}, "the environment"};
    };
  }

  Fetch environment_web_identity() const {
    const std::string file(settings_.variable("AWS_WEB_IDENTITY_TOKEN_FILE"));
    const std::string role(settings_.variable("AWS_ROLE_ARN"));
    if (file.empty()) return nothing();
    if (role.empty()) return broken("AWS: AWS_WEB_IDENTITY_TOKEN_FILE is set, AWS_ROLE_ARN is not");
    return web_identity(role, file, std::string(settings_.variable("AWS_ROLE_SESSION_NAME")));
  }

  // The token's file is read each time: whoever writes it renews it.
  Fetch web_identity(const std::string& role, const std::string& file, const std::string& session) const {
    auto sts = std::make_shared<Caller>(sts_options(nullptr));
    return [sts, role, file, name = session_name(session)](const std::stop_token& stop) -> std::optional<Credentials> {
      const Element result = sts->form(
          "AssumeRoleWithWebIdentity",
          {{"RoleArn", role}, {"RoleSessionName", name}, {"WebIdentityToken", file_text(file)}}, Repeat::read, stop);
      return from_sts(result, fmt::format("web identity, {}", role));
    };
  }

  Fetch assumed(std::shared_ptr<CredentialSource> base, const std::string& role, const std::string& external_id,
                const std::string& session, const std::string& duration, const std::string& label) const {
    auto sts = std::make_shared<Caller>(sts_options(std::move(base)));
    nlohmann::json parameters = {{"RoleArn", role}, {"RoleSessionName", session_name(session)}};
    if (!external_id.empty()) parameters["ExternalId"] = external_id;
    if (!duration.empty()) parameters["DurationSeconds"] = duration;
    const std::string source = label.empty() ? role : fmt::format("{}, {}", label, role);
    return [sts, parameters, source](const std::stop_token& stop) -> std::optional<Credentials> {
      return from_sts(sts->form("AssumeRole", parameters, Repeat::read, stop), source);
    };
  }

  // role_arn with source_profile, credential_source or web_identity_token_file.
  Fetch profile_role(const std::string& profile, int depth) const {
    const auto said = [&](std::string_view key) { return std::string(profiles_->config(profile, key)); };
    const std::string role = said("role_arn");
    if (role.empty()) return nothing();
    const std::string label = fmt::format("profile {}", profile);
    if (const std::string file = said("web_identity_token_file"); !file.empty()) {
      return web_identity(role, file, said("role_session_name"));
    }
    if (!said("mfa_serial").empty()) {
      return broken(fmt::format("AWS: {} asks for an MFA code, which nobody can give here", label));
    }
    std::vector<Fetch> ways;
    if (const std::string named = said("source_profile"); !named.empty()) {
      if (depth == 5)
        return broken(fmt::format("AWS: {}: source_profile leads from one to the next more than five times", label));
      if (!profiles_->has(named)) return broken(fmt::format("AWS: {}: there is no profile {}", label, named));
      if (named != profile) ways.push_back(profile_role(named, depth + 1));
      ways.push_back(profile_keys(named));
      ways.push_back(profile_process(named));
    } else if (const std::string place = said("credential_source"); place == "Environment") {
      ways.push_back(environment_keys());
    } else if (place == "EcsContainer") {
      ways.push_back(container());
    } else if (place == "Ec2InstanceMetadata") {
      ways.push_back(instance());
    } else {
      return broken(fmt::format("AWS: {} has a role_arn, but neither source_profile nor credential_source", label));
    }
    auto base = std::make_shared<Refreshed>(
        std::move(ways), fmt::format("AWS: {}: no credentials to assume {} with", label, role), world_);
    return assumed(std::move(base), role, said("external_id"), said("role_session_name"), said("duration_seconds"),
                   label);
  }

  // The credentials file's, else the config file's.
  Fetch profile_keys(const std::string& profile) const {
    return [profiles = profiles_, profile](const std::stop_token&) -> std::optional<Credentials> {
      const auto said = [&](std::string_view key) {
        const std::string_view first = profiles->credential(profile, key);
        return std::string(first.empty() ? profiles->config(profile, key) : first);
      };
      const std::string id = said("aws_access_key_id");
      if (id.empty()) return std::nullopt;
      const std::string secret = said("aws_secret_access_key");
      if (secret.empty()) {
        throw SetupError(
            fmt::format("AWS: profile {} has an aws_access_key_id without aws_secret_access_key", profile));
      }
      return Credentials{{id, secret, said("aws_session_token")}, {}, fmt::format("profile {}", profile)};
    };
  }

  Fetch profile_process(const std::string& profile) const {
    std::string command(profiles_->config(profile, "credential_process"));
    if (command.empty()) command = profiles_->credential(profile, "credential_process");
    if (command.empty()) {
      if (profiles_->config(profile, "sso_start_url").empty() && profiles_->config(profile, "sso_session").empty()) {
        return nothing();
      }
      return broken(
          fmt::format("AWS: profile {0} signs in by SSO, which is not done here; put `credential_process = aws "
                      "configure export-credentials --profile {0} --format process` into another profile",
                      profile));
    }
    return [command, profile](const std::stop_token&) -> std::optional<Credentials> {
      const std::string source = fmt::format("credential_process of profile {}", profile);
      HelperResult result;
      try {
        result = run_helper({"/bin/sh", "-c", command}, "", 60s, std::size_t{1} << 20U);
      } catch (const std::system_error& error) {
        throw SetupError(fmt::format("AWS: {}: {}", source, error.what()));
      }
      if (result.timed_out) throw SetupError(fmt::format("AWS: {} did not answer within a minute", source));
      if (result.exit_code != 0) {
        throw SetupError(fmt::format("AWS: {} failed (exit code {})", source, result.exit_code));
      }
      std::optional<Credentials> found = from_document(result.output, "SessionToken", source);
      if (!found) throw SetupError(fmt::format("AWS: {} gave no credentials", source));
      return found;
    };
  }

  // docs.aws.amazon.com, "Container credential provider".
  Fetch container() const {
    const std::string relative(settings_.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"));
    std::string url(settings_.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"));
    if (!relative.empty()) url = "http://169.254.170.2" + relative;
    if (url.empty()) return nothing();
    if (!may_be_asked(url)) {
      return broken(fmt::format("AWS: {} is not asked for credentials: neither https nor this machine", url));
    }
    return [url, settings = settings_, world = world_](const std::stop_token& stop) -> std::optional<Credentials> {
      http::Request request{.url = url, .connect_patience = 2s, .patience = 2s, .proxied = false};
      std::string token(settings.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN"));
      if (const std::string_view file = settings.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); !file.empty()) {
        token = file_text(file);
      }
      if (token.find_first_of("\r\n") != std::string::npos) {
        throw SetupError("AWS: the container's authorization token has more than one line");
      }
      if (!token.empty()) request.headers.emplace_back("Authorization", token);
      const http::Response response = asked_thrice(request, world, stop);
      std::optional<Credentials> found;
      if (response.status == 200) found = from_document(response.body, "Token", "the container");
      if (!found) throw SetupError(fmt::format("AWS: {} gave no credentials ({})", url, response.status));
      return found;
    };
  }

  // Over plain HTTP only this machine and the addresses that ECS and EKS keep for it.
  static bool may_be_asked(std::string_view url) {
    if (url.starts_with("https://")) return true;
    constexpr std::string_view scheme = "http://";
    if (!url.starts_with(scheme)) return false;
    url.remove_prefix(scheme.size());
    std::string_view host = url.substr(0, url.find_first_of("/?#"));
    if (host.find('@') != std::string_view::npos) return false;
    const std::size_t bracket = host.find(']');
    host = host.substr(0, host.find(':', bracket == std::string_view::npos ? 0 : bracket));
    constexpr std::array<std::string_view, 5> known = {"localhost", "[::1]", "169.254.170.2", "169.254.170.23",
                                                       "[fd00:ec2::23]"};
    if (std::ranges::find(known, host) != known.end()) return true;
    return host.starts_with("127.") &&
           std::ranges::all_of(host, [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
  }

  // docs.aws.amazon.com, "IMDS credential provider"; version 2 alone.
  Fetch instance() const {
    if (settings_.variable("AWS_EC2_METADATA_DISABLED") == "true") return nothing();
    std::string base(settings_.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT"));
    if (base.empty()) base = "http://169.254.169.254";
    while (base.ends_with('/')) base.pop_back();
    return [base](const std::stop_token& stop) -> std::optional<Credentials> {
      http::Client http;
      const auto ask = [&](std::string method, const std::string& path, http::Headers headers) {
        return http.send({.method = std::move(method),
                          .url = base + path,
                          .headers = std::move(headers),
                          .connect_patience = 1s,
                          .patience = 2s,
                          .proxied = false},
                         stop);
      };
      try {
        const http::Response token =
            ask("PUT", "/latest/api/token", {{"X-aws-ec2-metadata-token-ttl-seconds", "21600"}});
        if (token.status != 200) return std::nullopt;
        const http::Headers header = {{"X-aws-ec2-metadata-token", token.body}};
        const std::string place = "/latest/meta-data/iam/security-credentials/";
        const http::Response roles = ask("GET", place, header);
        if (roles.status != 200) return std::nullopt;
        const std::string role = roles.body.substr(0, roles.body.find('\n'));
        const http::Response given = ask("GET", place + role, header);
        if (given.status != 200) return std::nullopt;
        return from_document(given.body, "Token", fmt::format("this instance's role {}", role));
      } catch (const http::TransportError&) {
        return std::nullopt;  // not on EC2
      }
    };
  }

  static http::Response asked_thrice(const http::Request& request, const World& world, const std::stop_token& stop) {
    http::Client http;
    for (int number = 1;; ++number) {
      try {
        http::Response response = http.send(request, stop);
        if (response.status < 500 || number == 3) return response;
      } catch (const http::TransportError& error) {
        if (number == 3) throw SetupError(fmt::format("AWS: {}: {}", request.url, error.what()));
      }
      world.wait(std::chrono::milliseconds(200 * number), stop);
    }
  }

  Caller::Options sts_options(std::shared_ptr<CredentialSource> credentials) const {
    std::string region = region_of(settings_, *profiles_);
    if (region.empty()) region = "us-east-1";
    return {services::sts,
            endpoint_of(services::sts, settings_, *profiles_, region),
            region,
            std::move(credentials),
            ca_bundle_of(settings_, *profiles_),
            most_attempts,
            world_};
  }

  // STS allows [\w+=,.@-]{2,64}.
  std::string session_name(std::string name) const {
    if (name.empty()) name = settings_.session_name;
    if (name.empty()) name = "runner";
    for (char& c : name) {
      const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                         std::string_view("_+=,.@-").find(c) != std::string_view::npos;
      if (!plain) c = '-';
    }
    if (name.size() < 2) name += "--";
    return name.substr(0, 64);
  }

  static Fetch nothing() {
    return [](const std::stop_token&) -> std::optional<Credentials> { return std::nullopt; };
  }
  static Fetch broken(std::string why) {
    return [why = std::move(why)](const std::stop_token&) -> std::optional<Credentials> { throw SetupError(why); };
  }

  Settings settings_;
  std::shared_ptr<const Profiles> profiles_;
  World world_;
};

}  // namespace

std::shared_ptr<CredentialSource> credentials_of(const Settings& settings, std::shared_ptr<const Profiles> profiles,
                                                 World world) {
  return Chain(settings, std::move(profiles), std::move(world)).source();
}

std::filesystem::path ca_bundle_of(const Settings& settings, const Profiles& profiles) {
  for (const std::string_view file :
       {settings.variable("AWS_CA_BUNDLE"), profiles.config(profile_name(settings), "ca_bundle"),
        settings.variable("SSL_CERT_FILE")}) {
    if (!file.empty()) return file;
  }
  return {};
}

}  // namespace executors::aws
