#include "pipelines/compose.h"

#include <fmt/format.h>

#include <algorithm>

#include "pipelines/include_path.h"
#include "pipelines/merge.h"

namespace pipelines {

struct Composer::File {
  std::string name;
  std::string text;      // as diagnostics show it
  std::string shielded;  // as the tree has it, where that differs
  std::uint32_t source = 0;
  Origin origin = 0;
  std::vector<std::pair<std::string, std::string>> component;
  Yaml header, body;
  bool parsed = false, good = false;
};

struct Composer::Level {
  const Level* above = nullptr;
  std::string identity;
  std::string name;
  Origin origin = 0;
  Mark mark;  // of the item that included it

  // "a.yml -> b.yml", from the main file.
  std::string chain() const { return above == nullptr ? name : fmt::format("{} -> {}", above->chain(), name); }
};

struct Composer::Entry {
  Yaml item;
  std::optional<std::string> local, remote, preset, component, project, artifact;
  std::string job;  // artifact: whose
  std::vector<std::string> files;
  std::string ref, integrity;
  std::chrono::seconds cache_for{};
  Yaml inputs;
  std::vector<Rule> rules;
  bool good = true;
  IncludeRequest request;
};

namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

std::string identity_of(const IncludeRequest& request, Origin from) {
  // Only a path means something else elsewhere.
  const bool local = request.kind == IncludeKind::local;
  return fmt::format("{}|{}|{}|{}|{}", static_cast<int>(request.kind), local ? from : 0, request.project, request.ref,
                     request.location);
}

}  // namespace

Composer::Composer(YamlTree& tree, Findings& findings, const Context& context)
    : tree_(tree), findings_(findings), context_(context) {}
Composer::~Composer() = default;

std::optional<Composer::Composed> Composer::compose(std::string_view text, std::string_view name) {
  File& file = add_file(std::string(name), text, 0);
  if (!parse_file(file)) {
    return std::nullopt;
  }
  if (!file.body.is_mapping()) {
    findings_.error(file.body.mark(),
                    fmt::format("a pipeline must be a mapping of keywords and jobs, not {}", describe(file.body)),
                    "for example `build: { script: make }`");
    return std::nullopt;
  }
  std::vector<GivenInput> given;
  for (const auto& [input, value] : context_.inputs) {
    given.push_back({input, Mark{file.source, 0, 0}, tree_.make_scalar({file.source, 0, 0}, value, false)});
  }
  const IncludeRequest self{IncludeKind::local, context_.path, {}, {}, {}, {}};
  const Level level{nullptr, identity_of(self, 0), file.name, 0, {}};
  const std::optional<Yaml> body = settle(file, level, std::move(given));
  if (!body) {
    return std::nullopt;
  }
  const std::optional<Yaml> root = include_all(*body, level);
  return root ? std::optional(Composed{*root, incomplete_, changed_, std::move(unclaimed_)}) : std::nullopt;
}

std::vector<Source> Composer::take_sources() {
  std::vector<Source> sources;
  for (File& file : files_) {
    sources.push_back({std::move(file.name), std::move(file.text)});
  }
  return sources;
}

Composer::File& Composer::add_file(std::string name, std::string_view text, Origin origin) {
  if (text.starts_with(byte_order_mark)) {
    text.remove_prefix(byte_order_mark.size());
  }
  File& file = files_.emplace_back();
  file.name = std::move(name);
  file.source = static_cast<std::uint32_t>(files_.size() - 1);
  file.origin = origin;
  // What is too large is not kept, only refused: a byte more than that does as well.
  file.text = text.substr(0, Limits::text_bytes + 1);
  return file;
}

// Once for each file, however often it is included.
bool Composer::parse_file(File& file) {
  if (file.parsed) {
    return file.good;
  }
  file.parsed = true;
  std::string_view text = file.text;
  if (has_blocks(text)) {
    file.shielded = shield_blocks(text);
    text = file.shielded;
  }
  std::optional<Yaml> body = tree_.load(text, file.source, findings_, &file.header);
  if (body && !file.header && !file.shielded.empty()) {
    file.shielded.clear();  // no header after all
    body = tree_.load(file.text, file.source, findings_, &file.header);
  }
  if (body) {
    file.body = *body;
    file.good = true;
  }
  if (file.text.size() > Limits::text_bytes) {
    file.text.clear();
  }
  return file.good;
}

// The file's body with its inputs put in.
std::optional<Yaml> Composer::settle(File& file, const Level& level, std::vector<GivenInput> given) {
  const bool jobs_may_have = level.above == nullptr && !context_.jobs.empty();
  if (!file.header) {
    for (const GivenInput& input : given) {
      if (jobs_may_have) {
        unclaimed_.push_back(input.name);
        continue;
      }
      findings_.error(input.mark, fmt::format("{} has no input \"{}\"", file.name, input.name),
                      "it has no header with `spec:inputs`");
    }
    return given.empty() || jobs_may_have ? std::optional(file.body) : std::nullopt;
  }
  changed_ = true;
  InputSurroundings around;
  around.file = file.name;
  around.given = std::move(given);
  around.unknown = jobs_may_have ? &unclaimed_ : nullptr;
  around.component = file.component;
  around.variables = [this]() -> const VariableSet& { return variables(); };
  around.read_text = [this](const std::string& name, std::string_view text) -> std::optional<Yaml> {
    File& list = add_file(fmt::format("input {}", name), text, 0);
    return parse_file(list) ? std::optional(list.body) : std::nullopt;
  };
  Reader reader(findings_, file.header);
  Inputs inputs(tree_, findings_, around);
  read_header(file, inputs, reader, level);
  inputs.settle(reader);
  return inputs.interpolate(file.body);
}

void Composer::read_header(File& file, Inputs& inputs, Reader& reader, const Level& level) {
  const Key spec_key{nullptr, "spec"};
  for (std::size_t i = 0; i < file.header.size(); ++i) {
    if (file.header.key(i).text() != "spec") {
      reader.unknown("the header", file.header.key(i), {"spec"});
    }
  }
  const Yaml spec = file.header.find("spec");
  if (!spec.is_mapping()) {
    if (!spec.is_null()) {
      reader.mistyped(spec_key, spec, "a mapping");
    }
    return;
  }
  if (const Yaml include = spec.find("include"); include && !include.is_null()) {
    include_definitions(include, inputs, reader, level);
  }
  for (std::size_t i = 0; i < spec.size(); ++i) {
    const std::string_view name = spec.key(i).text();
    const Yaml value = spec.value(i);
    if (value.is_null() || name == "include") {
      continue;
    }
    if (name == "inputs") {
      inputs.define(reader, value);
    } else if (name == "component") {
      inputs.allow_component(reader, {&spec_key, "component"}, value);
    } else {
      reader.unknown(spec_key.quoted(), spec.key(i), {"inputs", "include", "component"});
    }
  }
}

// `spec:include`: files that hold nothing but `inputs`.
void Composer::include_definitions(Yaml include, Inputs& inputs, Reader& reader, const Level& level) {
  for (const Entry& entry : read_entries(include, level)) {
    File* file = fetch(entry, level);
    if (file == nullptr || !parse_file(*file)) {
      incomplete_ = true;
      continue;
    }
    const Yaml body = file->body;
    if (!body.is_mapping()) {
      findings_.error(body.mark(),
                      fmt::format("{} must be a mapping with `inputs`, not {}", file->name, describe(body)));
      continue;
    }
    for (std::size_t i = 0; i < body.size(); ++i) {
      if (body.key(i).text() == "inputs") {
        inputs.define(reader, body.value(i));
      } else {
        reader.unknown(fmt::format("{}, which `spec:include` includes", file->name), body.key(i), {"inputs"});
      }
    }
  }
}

// The body with all that it includes merged under it.
std::optional<Yaml> Composer::include_all(Yaml body, const Level& level) {
  const Yaml include = body.find("include");
  if (!include) {
    return body;
  }
  changed_ = true;
  std::optional<Yaml> merged;
  bool good = true;
  if (!include.is_null()) {
    for (const Entry& entry : read_entries(include, level)) {
      const std::optional<Yaml> included = include_one(entry, level);
      if (included) {
        merge(merged, *included, good);
      } else {
        incomplete_ = true;
      }
    }
  }
  if (const std::optional<Yaml> own = without_include(body)) {
    merge(merged, *own, good);
  } else {
    good = false;
  }
  return good ? merged : std::nullopt;
}

void Composer::merge(std::optional<Yaml>& merged, Yaml over, bool& good) {
  if (!good) {
    return;
  }
  merged = merged ? deep_merge(tree_, *merged, over) : over;
  if (!merged || merged->weight() > Limits::weight) {
    good = false;
    findings_.error(over.mark(), "the included files are far too much together",
                    fmt::format("at most {} million entries are merged", Limits::merged_entries / 1'000'000));
  }
}

std::optional<Yaml> Composer::without_include(Yaml body) {
  std::vector<YamlTree::Entry> entries;
  entries.reserve(body.size());
  for (std::size_t i = 0; i < body.size(); ++i) {
    if (body.key(i).text() != "include") {
      entries.push_back({body.key(i).index(), body.value(i).index()});
    }
  }
  return tree_.make_mapping(body.mark(), entries);
}

// --- One file more ---------------------------------------------------------------------------------------------------

std::optional<Yaml> Composer::include_one(const Entry& entry, const Level& level) {
  File* file = fetch(entry, level);
  if (file == nullptr || !parse_file(*file)) {
    return std::nullopt;
  }
  if (!file->body.is_mapping()) {
    findings_.error(file->body.mark(), fmt::format("an included file must be a mapping of keywords and jobs, not {}",
                                                   describe(file->body)));
    return std::nullopt;
  }
  std::vector<GivenInput> given;
  for (std::size_t i = 0; entry.inputs && i < entry.inputs.size(); ++i) {
    const Yaml key = entry.inputs.key(i);
    given.push_back({std::string(key.text()), key.mark(), entry.inputs.value(i)});
  }
  const Level below{&level, identity_of(entry.request, level.origin), file->name, file->origin, entry.item.mark()};
  const std::optional<Yaml> body = settle(*file, below, std::move(given));
  return body ? include_all(*body, below) : std::nullopt;
}

Composer::File* Composer::fetch(const Entry& entry, const Level& level) {
  const std::string identity = identity_of(entry.request, level.origin);
  if (full_ || !check_circle(entry, identity, level)) {
    return nullptr;
  }
  if (++included_ > most_includes) {
    full_ = true;
    refuse(entry.item, level, "the pipeline includes too many files",
           fmt::format("at most {} are read", most_includes));
    return nullptr;
  }
  const std::string request = identity + '|' + entry.request.integrity;
  File*& known = by_identity_[request];
  if (known != nullptr) {
    return known;
  }
  auto faulty = faults_.find(request);
  std::variant<IncludedFile, IncludeFault> answer;
  if (faulty == faults_.end()) {
    answer = context_.includes->read(entry.request, level.origin);
    if (auto* fault = std::get_if<IncludeFault>(&answer)) {
      faulty = faults_.emplace(request, std::move(*fault)).first;
    }
  }
  if (faulty != faults_.end()) {
    refuse(entry.item, level, faulty->second.message, faulty->second.hint);
    return nullptr;
  }
  auto& read = std::get<IncludedFile>(answer);
  if (!read.warning.empty()) {
    findings_.warning(entry.item.mark(), masked(read.warning));
  }
  text_bytes_ += read.text.size();
  if (text_bytes_ > Limits::all_text_bytes) {
    full_ = true;
    refuse(entry.item, level, "the included files are far too large together",
           fmt::format("at most {} MB are read", Limits::all_text_bytes / (1024 * 1024)));
    return nullptr;
  }
  known = &add_file(masked(std::move(read.name)), read.text, read.origin);
  known->component = std::move(read.component);
  return known;
}

bool Composer::check_circle(const Entry& entry, const std::string& identity, const Level& level) {
  std::vector<CircleMember> members;
  const Level* at = &level;
  Mark mark = entry.item.mark();
  while (at != nullptr) {
    members.push_back({at->name, mark});
    if (at->identity == identity) {
      break;
    }
    mark = at->mark;
    at = at->above;
  }
  if (at == nullptr) {
    return true;
  }
  std::ranges::reverse(members);
  findings_.circle("`include` goes in a circle", members, "take one of the files out of the circle");
  return false;
}

bool Composer::refuse(Yaml at, const Level& level, std::string message, std::string hint) {
  if (level.above != nullptr) {
    message += fmt::format(" ({})", level.chain());
  }
  findings_.error(at.mark(), masked(std::move(message)), masked(std::move(hint)));
  incomplete_ = true;
  return false;
}

// --- What `include` says ---------------------------------------------------------------------------------------------

std::vector<Composer::Entry> Composer::read_entries(Yaml include, const Level& level) {
  std::vector<Entry> entries;
  if (context_.includes == nullptr) {
    refuse(include, level, "`include` needs a project to look in, and there is none here", "");
    return entries;
  }
  if (!include.is_sequence()) {
    read_entry(include, level, entries);
  }
  for (std::size_t i = 0; include.is_sequence() && i < include.size() && !full_; ++i) {
    read_entry(include.item(i), level, entries);
  }
  return entries;
}

void Composer::read_entry(Yaml item, const Level& level, std::vector<Entry>& out) {
  if (item.is_mapping()) {
    read_mapping(item, level, out);
    return;
  }
  if (item.is_null()) {
    return;
  }
  if (!item.is_string()) {
    refuse(item, level, fmt::format("`include` must be a path, an address or a mapping, not {}", describe(item)),
           "for example `include: ci/build.yml`");
    return;
  }
  Entry entry;
  entry.item = item;
  // What it is may be hidden in a variable.
  const std::string location = expand(item.text());
  (location.starts_with("http://") || location.starts_with("https://") ? entry.remote : entry.local) = location;
  make_requests(std::move(entry), level, out);
}

namespace {

template <class Out>
bool read_cache(Reader& reader, const Key& key, Yaml yaml, Out& out) {
  constexpr auto by_default = std::chrono::hours(1);  // GitLab's
  bool wanted = false;
  if (yaml.is_scalar() && yaml.type() == ScalarType::boolean) {
    if (!read(reader, key, yaml, wanted)) {
      return false;
    }
    out.cache_for = wanted ? std::chrono::seconds(by_default) : std::chrono::seconds();
    return true;
  }
  return read(reader, key, yaml, out.cache_for);
}

}  // namespace

void Composer::read_mapping(Yaml item, const Level& level, std::vector<Entry>& out) {
  static constexpr Field<Entry> fields[] = {
      {"local", member<&Entry::local>},
      {"remote", member<&Entry::remote>},
      {"template", member<&Entry::preset>},
      {"component", member<&Entry::component>},
      {"project", member<&Entry::project>},
      {"file", [](Reader& r, const Key& k, Yaml y, Entry& e) { return read_string_or_list(r, k, y, e.files); }},
      {"ref", member<&Entry::ref>},
      {"integrity", member<&Entry::integrity>},
      {"cache", read_cache<Entry>},
      {"inputs",
       [](Reader& r, const Key& k, Yaml y, Entry& e) {
         e.inputs = y;
         return y.is_mapping() || r.mistyped(k, y, "a mapping of names and values");
       }},
      {"rules", [](Reader& r, const Key& k, Yaml y, Entry& e) { return read_include_rules(r, k, y, e.rules); }},
      {"artifact", member<&Entry::artifact>},
      {"job", member<&Entry::job>},
  };
  const std::size_t errors = findings_.errors();
  const Key key{nullptr, "include"};
  Entry entry;
  entry.item = item;
  Reader reader(findings_, item);
  reader.fields(key, item, fields, entry);
  const int kinds = entry.local.has_value() + entry.remote.has_value() + entry.preset.has_value() +
                    entry.component.has_value() + entry.project.has_value() + entry.artifact.has_value();
  if (findings_.errors() != errors) {
    incomplete_ = true;
    return;
  }
  if (kinds != 1) {
    refuse(item, level,
           kinds == 0 ? "`include` does not say what to include" : "`include` names two kinds of files in one item",
           "write one of `local`, `remote`, `project` with `file`, `template` and `component` in each item");
    return;
  }
  if (entry.artifact && !context_.artifacts) {
    refuse(item, level, "`include:artifact` is for child pipelines",
           "only `trigger:include` takes files out of artifacts");
    return;
  }
  if (entry.artifact.has_value() != !entry.job.empty()) {
    refuse(item, level, "`include:artifact` needs `job`, and `job` an artifact",
           "for example `include: [{ artifact: child.yml, job: generate }]`");
    return;
  }
  const Yaml rules = item.find("rules");
  if (rules && rules.is_sequence() && !matches(entry.rules, level)) {
    return;
  }
  for (std::optional<std::string>* text :
       {&entry.local, &entry.remote, &entry.preset, &entry.component, &entry.project, &entry.artifact}) {
    if (*text) {
      **text = expand(**text);
    }
  }
  entry.ref = expand(entry.ref);
  for (std::string& file : entry.files) {
    file = expand(file);
  }
  make_requests(std::move(entry), level, out);
}

bool Composer::matches(const std::vector<Rule>& rules, const Level& level) {
  auto& matcher = matchers_[level.origin];
  if (!matcher) {
    matcher = std::make_unique<std::pair<Facts, std::optional<RuleMatcher>>>();
    matcher->first = context_.facts;
    if (level.origin != 0 || !matcher->first.source_paths) {
      matcher->first.source_paths = [this, origin = level.origin] { return context_.includes->paths(origin); };
    }
    matcher->second.emplace(matcher->first);
  }
  const std::size_t before = matcher->second->bad_refs().size();
  const std::optional<std::uint32_t> rule =
      matcher->second->first_match(rules, {[this](std::string_view name) -> std::optional<std::string> {
                                             const VariableSet::Entry* entry = variables().find(name);
                                             return entry == nullptr ? std::nullopt : std::optional(entry->value);
                                           },
                                           [this]() -> const VariableSet& { return expanded(); }});
  const std::vector<Diagnostic>& bad = matcher->second->bad_refs();
  for (std::size_t i = before; i < bad.size(); ++i) {
    findings_.error(bad[i].mark, bad[i].message, bad[i].hint);
  }
  return rule && rules[*rule].when != When::never;
}

// One item may stand for several files: a pattern, a list.
bool Composer::make_requests(Entry entry, const Level& level, std::vector<Entry>& out) {
  IncludeRequest& request = entry.request;
  request.integrity = entry.integrity;
  request.cache_for = entry.cache_for;
  if (entry.local) {
    return make_local(std::move(entry), level, out);
  }
  if (entry.project) {
    if (entry.files.empty()) {
      return refuse(entry.item, level, "`include:project` needs `file`", "for example `file: /templates/build.yml`");
    }
    request.kind = IncludeKind::project;
    request.project = *entry.project;
    request.ref = entry.ref;
    for (const std::string& file : entry.files) {
      const auto path = include_path(file);
      if (const auto* fault = std::get_if<IncludeFault>(&path)) {
        return refuse(entry.item, level, fault->message, fault->hint);
      }
      request.location = std::get<std::string>(path);
      out.push_back(entry);
    }
    return true;
  }
  if (entry.artifact) {
    const auto path = include_path(*entry.artifact);
    if (const auto* fault = std::get_if<IncludeFault>(&path)) {
      return refuse(entry.item, level, fault->message, fault->hint);
    }
    request.kind = IncludeKind::artifact;
    request.location = std::get<std::string>(path);
    request.job = entry.job;
    out.push_back(std::move(entry));
    return true;
  }
  request.kind = entry.remote ? IncludeKind::remote : entry.preset ? IncludeKind::preset : IncludeKind::component;
  request.location = entry.remote ? *entry.remote : entry.preset ? *entry.preset : *entry.component;
  if (!entry.integrity.empty() && !entry.remote) {
    return refuse(entry.item, level, "`integrity` is for `remote` only", "remove it");
  }
  out.push_back(std::move(entry));
  return true;
}

bool Composer::make_local(Entry entry, const Level& level, std::vector<Entry>& out) {
  const auto path = include_path(*entry.local);
  if (const auto* fault = std::get_if<IncludeFault>(&path)) {
    return refuse(entry.item, level, fault->message, fault->hint);
  }
  const std::string& pattern = std::get<std::string>(path);
  if (pattern.find('*') == std::string::npos) {
    entry.request.location = pattern;
    out.push_back(std::move(entry));
    return true;
  }
  bool any = false;
  for (const std::string& file : context_.includes->paths(level.origin)) {
    if (include_pattern_matches(pattern, file) && has_yaml_extension(file)) {
      any = true;
      entry.request.location = file;
      out.push_back(entry);
    }
  }
  if (!any) {
    findings_.warning(entry.item.mark(), fmt::format("no file of the project matches {}", pattern),
                      "`*` stops at a slash, `**` does not");
  }
  return true;
}

// --- Variables -------------------------------------------------------------------------------------------------------

const VariableSet& Composer::variables() {
  if (!variables_) {
    variables_ = context_.variables ? context_.variables() : VariableSet();
  }
  return *variables_;
}

const VariableSet& Composer::expanded() {
  if (!expanded_) {
    expanded_ = variables().expanded();
  }
  return *expanded_;
}

std::string Composer::masked(std::string text) {
  if (!expanded_) {
    return text;  // nothing was put in yet
  }
  for (const auto& [name, entry] : expanded_->entries()) {
    std::size_t at = entry.masked && !entry.value.empty() ? text.find(entry.value) : std::string::npos;
    while (at != std::string::npos) {
      text.replace(at, entry.value.size(), "[MASKED]");
      at = text.find(entry.value, at + 8);
    }
  }
  return text;
}

std::string Composer::expand(std::string_view text) {
  return text.find('$') == std::string_view::npos ? std::string(text) : expanded().expand(text);
}

}  // namespace pipelines
