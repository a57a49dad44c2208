// `release` and `pages` (docs.gitlab.com/ci/yaml/#release, #pages; GitLab's lib/gitlab/ci/config/entry/release.rb,
// release/assets/link.rb, pages.rb).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "pipelines/duration.h"
#include "pipelines/reader.h"

namespace pipelines {
namespace {

constexpr Word<std::string_view> link_types[] = {
    {"other", "other"}, {"runbook", "runbook"}, {"image", "image"}, {"package", "package"}};

bool read_link_type(Reader& reader, const Key& key, Yaml yaml, Release::Link& out) {
  std::string_view word;
  if (!reader.word(key, yaml, link_types, word)) {
    return false;
  }
  out.type = word;
  return true;
}

constexpr Field<Release::Link> link_fields[] = {
    {"name", member<&Release::Link::name>},
    {"url", member<&Release::Link::url>},
    {"filepath", member<&Release::Link::filepath>},
    {"link_type", read_link_type, words<link_types>},
};

bool needs(Reader& reader, const Key& key, Yaml yaml, std::string_view name, const std::string& value) {
  return !value.empty() || reader.wrong(key, yaml, fmt::format("needs `{}`", name));
}

bool read_links(Reader& reader, const Key& key, Yaml yaml, Release& out) {
  if (!yaml.is_sequence() || yaml.size() == 0) {
    return reader.mistyped(key, yaml, "a list of mappings with `name` and `url`");
  }
  bool good = true;
  for (std::size_t i = 0; i < yaml.size(); ++i) {
    Release::Link& link = out.links.emplace_back();
    good = reader.fields(key, yaml.item(i), link_fields, link, "a list of mappings with `name` and `url`") &&
           needs(reader, key, yaml.item(i), "name", link.name) && needs(reader, key, yaml.item(i), "url", link.url) &&
           good;
  }
  return good;
}

constexpr Shape links_shape{
    [] { return list_shape(mapping_shape(link_fields, R"("name","url")"), R"(,"minItems":1)"); }};
constexpr Field<Release> assets_fields[] = {{"links", read_links, links_shape}};

bool read_assets(Reader& reader, const Key& key, Yaml yaml, Release& out) {
  return reader.fields(key, yaml, assets_fields, out) &&
         (yaml.find("links") || reader.wrong(key, yaml, "needs `links`"));
}

bool read_milestones(Reader& reader, const Key& key, Yaml yaml, Release& out) {
  return read_string_or_list(reader, key, yaml, out.milestones);
}

// ISO 8601: 2021-03-15T08:00:00Z, 2021-03-15T08:00:00+02:00, or a date alone. A variable is looked at when it is known.
bool is_time(std::string_view text) {
  constexpr std::string_view date = "0000-00-00", whole = "0000-00-00T00:00";
  const auto fits = [&](std::string_view shape) {
    return text.size() >= shape.size() && std::ranges::equal(shape, text.substr(0, shape.size()), [](char s, char c) {
             return s == '0' ? std::isdigit(static_cast<unsigned char>(c)) != 0 : s == c;
           });
  };
  return fits(whole) || (text.size() == date.size() && fits(date));
}

bool read_released_at(Reader& reader, const Key& key, Yaml yaml, Release& out) {
  if (!read(reader, key, yaml, out.released_at)) {
    return false;
  }
  return out.released_at.find('$') != std::string::npos || is_time(out.released_at) ||
         reader.wrong(key, yaml, fmt::format("is no time: \"{}\"", out.released_at),
                      "for example 2021-03-15T08:00:00Z");
}

constexpr Field<Release> release_fields[] = {
    {"tag_name", member<&Release::tag_name>},
    {"description", member<&Release::description>},
    {"name", member<&Release::name>},
    {"ref", member<&Release::ref>},
    {"tag_message", member<&Release::tag_message>},
    {"milestones", read_milestones, Shape{shapes::string_or_list}},
    {"released_at", read_released_at, shape_for<std::string>},
    {"assets", read_assets, Shape{[] { return mapping_shape(assets_fields, "\"links\""); }}},
};

// One with a variable can be judged only when that is known; nothing expires here.
bool read_pages_expiry(Reader& reader, const Key& key, Yaml yaml, Pages& out) {
  if (yaml.is_string() && (is_never(yaml.text()) || yaml.text().find('$') != std::string_view::npos)) {
    out.expire_in.reset();
    return true;
  }
  return read(reader, key, yaml, out.expire_in);
}

constexpr Field<Pages> pages_fields[] = {
    {"publish", member<&Pages::publish>},
    {"path_prefix", member<&Pages::path_prefix>},
    {"expire_in", read_pages_expiry, shape_for<std::chrono::seconds>},
};

}  // namespace

std::string shape_of(const Release*) { return mapping_shape(release_fields, R"("tag_name","description")"); }
std::string shape_of(const Pages*) { return any_shape_of({R"({"type":"boolean"})", mapping_shape(pages_fields)}); }

bool read(Reader& reader, const Key& key, Yaml yaml, Release& out) {
  return reader.fields(key, yaml, release_fields, out) && needs(reader, key, yaml, "tag_name", out.tag_name) &&
         needs(reader, key, yaml, "description", out.description);
}

bool read(Reader& reader, const Key& key, Yaml yaml, Pages& out) {
  if (yaml.is_scalar() && yaml.type() == ScalarType::boolean) {
    out.enabled = scalar_is_true(yaml.text());
    return true;
  }
  return reader.fields(key, yaml, pages_fields, out, "true, false or a mapping");
}

}  // namespace pipelines
