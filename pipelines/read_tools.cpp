// The steps whose work is a tool's: `scan:retire` (github.com/RetireJS/retire.js, node/README.md), `bake:packer`
// (developer.hashicorp.com/packer/docs/commands/build), `deploy:terraform`
// (developer.hashicorp.com/terraform/cli/commands/plan).
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "pipelines/emit.h"
#include "pipelines/read_steps.h"

namespace pipelines {
namespace {

// --- scan:retire -----------------------------------------------------------------------------------------------------

constexpr Word<RetireScan::Severity> severities[] = {{"none", RetireScan::Severity::none},
                                                     {"low", RetireScan::Severity::low},
                                                     {"medium", RetireScan::Severity::medium},
                                                     {"high", RetireScan::Severity::high},
                                                     {"critical", RetireScan::Severity::critical}};

constexpr Field<RetireScan> retire_fields[] = {
    {"path", as<&RetireScan::path, some_text>},
    {"severity", as<&RetireScan::severity, OneOf<severities>{}>},
    {"ignore", as<&RetireScan::ignore, some_text>},
    {"database", as<&RetireScan::database, some_text>},
};

// --- bake:packer -----------------------------------------------------------------------------------------------------

constexpr Word<PackerBake::OnError> on_error_words[] = {
    {"cleanup", PackerBake::OnError::cleanup},
    {"abort", PackerBake::OnError::abort},
    {"run-cleanup-provisioner", PackerBake::OnError::run_cleanup_provisioner}};

// Packer's fourth word waits for a key to be pressed.
struct OnErrorWord {
  bool read(Reader& reader, const Key& key, Yaml yaml, PackerBake::OnError& out) const {
    if (yaml.is_scalar() && yaml.text() == "ask") {
      return reader.wrong(key, yaml, "cannot be ask: nobody is there to answer",
                          "cleanup, abort or run-cleanup-provisioner");
    }
    return OneOf<on_error_words>{}.read(reader, key, yaml, out);
  }
  std::string shape(const PackerBake::OnError*) const { return words<on_error_words>.json(); }
};

constexpr Field<PackerBake> packer_fields[] = {
    {"template", as<&PackerBake::template_file, some_text>},
    {"vars", member<&PackerBake::vars>},
    {"var_files", as<&PackerBake::var_files, some_texts>},
    {"when_changed", as<&PackerBake::when_changed, some_texts>},
    {"only", as<&PackerBake::only, some_texts>},
    {"except", as<&PackerBake::except, some_texts>},
    {"on_error", as<&PackerBake::on_error, OnErrorWord{}>},
    {"force", member<&PackerBake::force>},
    {"sudo", member<&PackerBake::sudo>},
    {"parallel_builds", as<&PackerBake::parallel_builds, Number{}>},
    {"manifest", as<&PackerBake::manifest, some_text>},
};

// --- deploy:terraform ------------------------------------------------------------------------------------------------

constexpr Word<Terraform::Binary> binaries[] = {{"terraform", Terraform::Binary::terraform},
                                                {"terragrunt", Terraform::Binary::terragrunt}};
constexpr Word<Terraform::Approve> approve_words[] = {{"changes", Terraform::Approve::changes},
                                                      {"always", Terraform::Approve::always},
                                                      {"never", Terraform::Approve::never}};

bool is_identifier(std::string_view text) {
  return !text.empty() && std::isdigit(static_cast<unsigned char>(text.front())) == 0 && text.front() != '-' &&
         std::ranges::all_of(text, [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-'; });
}

// Lists and mappings become JSON, which Terraform reads as its own syntax.
bool read_variables(Reader& reader, const Key& key, Yaml yaml, Terraform& out) {
  if (!yaml.is_mapping()) return reader.mistyped(key, yaml, "a mapping of names to values");
  bool good = true;
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    auto& [name, value] = out.variables.emplace_back();
    name = yaml.key(i).text();
    if (!is_identifier(name)) {
      good = reader.wrong(key, yaml.key(i), fmt::format("cannot set \"{}\": it is no name of a variable", name));
    }
    if (yaml.value(i).is_mapping() || yaml.value(i).is_sequence()) {
      value = emit_json(yaml.value(i)).value_or("");
    } else {
      good = read_value(reader, {&key, yaml.key(i).text()}, yaml.value(i), value) && good;
    }
  }
  return good;
}

// NAME: value, or a list of these and of files.
bool read_backend(Reader& reader, const Key& key, Yaml yaml, Terraform& out) {
  if (!yaml.is_mapping()) return read_texts(reader, key, yaml, not_empty, 1000, out.backend_config);
  TextMap values;
  if (!read(reader, key, yaml, values)) return false;
  for (const auto& [name, value] : values) out.backend_config.push_back(fmt::format("{}={}", name, value));
  return true;
}

constexpr Field<Terraform> terraform_fields[] = {
    {"binary", as<&Terraform::binary, OneOf<binaries>{}>},
    {"directory", as<&Terraform::directory, some_text>},
    {"workspace", as<&Terraform::workspace, some_text>},
    {"variables", read_variables, Shape{[] { return std::string(R"({"type":"object"})"); }}},
    {"var_files", as<&Terraform::var_files, some_texts>},
    {"backend_config", read_backend, Shape{[] {
       return any_shape_of({one_or_several_shape(), shape_of(static_cast<const TextMap*>(nullptr))});
     }}},
    {"approve", as<&Terraform::approve, OneOf<approve_words>{}>},
    {"destroy", member<&Terraform::destroy>},
    {"targets", as<&Terraform::targets, some_texts>},
    {"replace", as<&Terraform::replace, some_texts>},
    {"lock_timeout", as<&Terraform::lock_timeout, Lasting{}>},
    {"parallelism", as<&Terraform::parallelism, Number{1}>},
};

}  // namespace

std::string shape_of(const RetireScan*) { return mapping_shape(retire_fields); }
std::string shape_of(const PackerBake*) { return mapping_shape(packer_fields, "\"template\""); }
std::string shape_of(const Terraform*) { return mapping_shape(terraform_fields); }

bool read(Reader& reader, const Key& key, Yaml yaml, RetireScan& out) {
  return reader.fields(key, yaml, retire_fields, out);
}

bool read(Reader& reader, const Key& key, Yaml yaml, PackerBake& out) {
  if (!reader.fields(key, yaml, packer_fields, out)) return false;
  exclusive(reader, key, yaml, {"only", "except"});
  return require(reader, key, yaml, {"template"}, "for example `template: image.pkr.hcl`");
}

bool read(Reader& reader, const Key& key, Yaml yaml, Terraform& out) {
  if (!reader.fields(key, yaml, terraform_fields, out)) return false;
  return !out.destroy ||
         refuse(reader, key, yaml, {"replace"}, "does not go with `destroy: true`", "everything is removed");
}

}  // namespace pipelines
