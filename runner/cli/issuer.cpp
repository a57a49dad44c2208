// `runner issuer`: what a verifier of ID tokens needs.
#include <fmt/core.h>
#include <CLI/CLI.hpp>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>

#include "runner/cli/commands.h"
#include "runner/cli/load.h"
#include "runner/cli/say.h"
#include "runner/cli/setup.h"
#include "runner/secrets/id_token.h"
#include "runner/secrets/signing_key.h"

namespace runner {
namespace {

namespace fs = std::filesystem;

struct IssuerOptions {
  std::string directory;
  bool revoke = false;
};

int keys(const CommandLine& line, const IssuerOptions&) {
  std::cout << key_set(published_keys(credential_settings(configuration(line)).key));
  return exit_code::passed;
}

int configuration_document(const CommandLine& line, const IssuerOptions&) {
  std::cout << openid_configuration(credential_settings(configuration(line)).issuer);
  return exit_code::passed;
}

// By rename, so that a web server that reads it meanwhile has the old one or the new one.
void write_whole(const fs::path& file, const std::string& text) {
  std::error_code failure;
  fs::create_directories(file.parent_path(), failure);
  const fs::path part = file.string() + ".part";
  errno = 0;
  std::ofstream stream(part, std::ios::binary | std::ios::trunc);
  stream << text;
  stream.close();
  if (stream) fs::rename(part, file, failure);
  if (!stream || failure) {
    throw UsageError(fmt::format("cannot write {}: {}", file.string(),
                                 failure ? failure.message() : std::string(std::strerror(errno))));
  }
}

int write_documents(const CommandLine& line, const IssuerOptions& options) {
  const CredentialSettings settings = credential_settings(configuration(line));
  const fs::path directory = options.directory;
  write_whole(directory / keys_path, key_set(published_keys(settings.key)));
  write_whole(directory / configuration_path, openid_configuration(settings.issuer));
  for (const char* path : {configuration_path, keys_path}) {
    fmt::print("{} belongs at {}/{}\n", (directory / path).string(), settings.issuer, path);
  }
  if (settings.issuer == default_issuer) {
    say("warning: {} is no address that anybody can ask\nhint: say which it is in [id_tokens] issuer\n",
        settings.issuer);
  }
  return exit_code::passed;
}

int rotate(const CommandLine& line, const IssuerOptions& options) {
  const CredentialSettings settings = credential_settings(configuration(line));
  const SigningKey key = rotate_key(settings.key, options.revoke);
  fmt::print("ID tokens are signed with the key {} from now on{}\n", key.public_key().id,
             options.revoke ? "; tokens of the former ones are not good any more where the new key set is known"
                            : "; tokens of the former one stay good until they expire");
  fmt::print("publish the key set anew: runner issuer write DIR\n");
  return exit_code::passed;
}

}  // namespace

void add_issuer(CLI::App& app, CommandLine& line) {
  CLI::App* issuer =
      app.add_subcommand("issuer",
                         "What others need to check the ID tokens of jobs.\n"
                         "\n"
                         "Examples:\n"
                         "  runner issuer keys               the key set (JWKS), for a Vault or a cloud\n"
                         "  runner issuer write /srv/www     the documents a web server has to show\n"
                         "  runner issuer rotate             a new key; the old one's tokens stay good");
  issuer->require_subcommand(1);
  auto options = std::make_shared<IssuerOptions>();
  const auto add = [&](const char* name, const char* description,
                       int (*function)(const CommandLine&, const IssuerOptions&)) {
    CLI::App* command = issuer->add_subcommand(name, description);
    command->callback(
        [&line, options, function] { line.chosen = [&line, options, function] { return function(line, *options); }; });
    return command;
  };
  add("keys", "Prints the key set (JWKS); makes the key where there is none.", keys);
  add("configuration", "Prints the OpenID configuration.", configuration_document);
  add("write", "Writes both as files below a directory, where a web server shows them.", write_documents)
      ->add_option("directory", options->directory, "the web server's directory")
      ->type_name("DIR")
      ->required();
  add("rotate", "Makes a new key. The old one's tokens stay good until they expire.", rotate)
      ->add_flag("--revoke", options->revoke, "take the former keys out of the key set at once");
}

}  // namespace runner
