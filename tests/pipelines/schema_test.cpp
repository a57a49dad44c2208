// docs/pipeline.schema.json: made of the parser's tables, and of one mind with the parser.
#include "pipelines/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "pipelines/parse.h"
#include "pipelines/shape.h"

namespace pipelines {
namespace {

using nlohmann::json;

// Where in the document `part` stands, as JSON pointers.
void find_parts(const json& document, const json& part, const std::string& path, std::vector<std::string>& found) {
  if (document == part) found.push_back(path);
  if (!document.is_structured()) return;
  for (const auto& [key, value] : document.items()) find_parts(value, part, path + "/" + key, found);
}

TEST(SchemaTest, EveryKeywordHasAShape) {
  std::vector<std::string> found;
  find_parts(json::parse(schema()), json::parse(missing_shape), "", found);
  EXPECT_THAT(found, testing::IsEmpty())
      << "give the keyword's row in pipelines/keywords.cpp or read_*.cpp a shape (its last column), or its type a "
         "shape_of() in pipelines/shape.h";
}

TEST(SchemaTest, TheCommittedFileIsTheGeneratedOne) {
  std::ifstream file(RUNNER_SOURCE_DIR "/docs/pipeline.schema.json");
  const std::string committed((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_TRUE(committed == nlohmann::ordered_json::parse(schema()).dump(2) + "\n")
      << "run `build/bin/runner schema >docs/pipeline.schema.json`";
}

// Snippets are JSON, which is YAML too, so that both read the very same thing.
struct Case {
  const char* text;
  bool valid;
};

// By keyword; each shape once as it may be and once as it may not.
constexpr Case cases[] = {
    {R"({"a": {"script": "make"}})", true},
    {R"({"a": {"script": ["make", ["x", ["y"]]]}})", true},
    {R"({"a": {"script": {"make": 1}}})", false},
    {R"({"a": {"script": [1]}})", false},
    {R"({"a": {"scirpt": "make"}})", false},
    {R"({"a": {"stage": "test"}})", false},
    {R"({"a": {"script": "x", "before_script": [], "after_script": "y"}})", true},
    {R"({"a": {"script": "x", "after_script": true}})", false},
    {R"({".a": {"anything": [1, {}]}, "b": {"script": "x", "extends": ".a2"}, ".a2": {}})", true},
    {R"({".a": {"script": "x"}, "b": {"extends": [".a"]}})", true},
    {R"({"a": {"script": "x", "extends": 3}})", false},
    {R"({"a": {"script": "x", "stage": "test"}})", true},
    {R"({"a": {"script": "x", "stage": ["test"]}})", false},
    {R"({"stages": ["test", ["b", "c"]], "a": {"script": "x"}})", true},
    {R"({"stages": "test", "a": {"script": "x"}})", false},
    {R"({"stages": [{"test": 1}], "a": {"script": "x"}})", false},
    {R"({"a": {"script": "x", "image": "alpine"}})", true},
    {R"({"a": {"script": "x", "image": {"name": "alpine", "entrypoint": [""], "docker": {"user": "u"}}}})", true},
    {R"({"a": {"script": "x", "image": {"entrypoint": [""]}}})", false},
    {R"({"a": {"script": "x", "image": {"name": "alpine", "pull_policy": ["always", "never"]}}})", true},
    {R"({"a": {"script": "x", "image": {"name": "alpine", "pull_policy": "sometimes"}}})", false},
    {R"({"a": {"script": "x", "image": {"name": "alpine", "docker": {"usr": "u"}}}})", false},
    {R"({"a": {"script": "x", "image": 3}})", false},
    {R"({"a": {"script": "x", "image": null}})", true},
    {R"({"a": {"script": "x", "services": ["a", {"name": "b", "alias": "c d", "variables": {"X": 1}}]}})", true},
    {R"({"a": {"script": "x", "services": "a"}})", false},
    {R"({"a": {"script": "x", "services": [{"alias": "b"}]}})", false},
    {R"({"a": {"script": "x", "services": [{"name": "b", "command": "run"}]}})", false},
    {R"({"variables": {"A": "x", "B": {"value": "y", "description": "z", "options": ["y"]}}, "a": {"script": "x"}})",
     true},
    {R"({"variables": {"A": ["x"]}, "a": {"script": "x"}})", false},
    {R"({"variables": ["A"], "a": {"script": "x"}})", false},
    {R"({"a": {"script": "x", "variables": {"A": 1, "B": true, "C": null, "D": {"value": "x", "expand": false}}}})",
     true},
    {R"({"a": {"script": "x", "variables": {"A": {"value": "x", "options": ["x"]}}}})", false},
    {R"({"a": {"script": "x", "variables": {"A": {"value": ["x"]}}}})", false},
    {R"({"default": {"image": "a", "retry": 1, "tags": ["a"]}, "a": {"script": "x"}})", true},
    {R"({"default": {"script": "x"}, "a": {"script": "x"}})", false},
    {R"({"default": {"retry": 5}, "a": {"script": "x"}})", false},
    {R"({"default": "x", "a": {"script": "x"}})", false},
    {R"({"image": "a", "before_script": ["x"], "a": {"script": "x"}})", true},
    {R"({"before_script": 3, "a": {"script": "x"}})", false},
    {R"({"workflow": {"name": "n", "rules": [{"if": "$A", "when": "never"}, [{"when": "always"}]]}, "a": {"script": "x"}})",
     true},
    {R"({"workflow": {"rules": [{"when": "manual"}]}, "a": {"script": "x"}})", false},
    {R"({"workflow": {"rules": {"if": "$A"}}, "a": {"script": "x"}})", false},
    {R"({"workflow": {"rulez": []}, "a": {"script": "x"}})", false},
    {R"({"a": {"script": "x", "rules": [{"if": "$A", "when": "manual", "allow_failure": true}, [{"exists": ["x"]}]]}})",
     true},
    {R"({"a": {"script": "x", "rules": [{"changes": {"paths": ["a"], "compare_to": "main"}, "variables": {"A": "x"}}]}})",
     true},
    {R"({"a": {"script": "x", "rules": [{"changes": {"compare_to": "main"}}]}})", false},
    {R"({"a": {"script": "x", "rules": [{"when": "sometimes"}]}})", false},
    {R"({"a": {"script": "x", "rules": [{"fi": "$A"}]}})", false},
    {R"({"a": {"script": "x", "rules": ["$A"]}})", false},
    {R"({"a": {"script": "x", "rules": [{"if": 3}]}})", false},
    {R"({"a": {"script": "x", "rules": [{"when": "delayed", "start_in": "5 minutes"}]}})", true},
    {R"({"b": {"script": "x"}, "a": {"script": "x", "needs": ["b", {"job": "c", "optional": true}]}})", true},
    {R"({"b": {"script": "x"}, "a": {"script": "x", "needs": "b"}})", false},
    {R"({"b": {"script": "x"}, "a": {"script": "x", "needs": [{"job": "b", "artefacts": true}]}})", false},
    {R"({"b": {"script": "x"}, "a": {"script": "x", "needs": [{"job": "b", "artifacts": "yes"}]}})", false},
    {R"({"a": {"script": "x", "dependencies": []}})", true},
    {R"({"a": {"script": "x", "dependencies": "b"}})", false},
    {R"({"a": {"script": "x", "artifacts": {"paths": ["a"], "exclude": [], "expire_in": "1 week", "when": "always"}}})",
     true},
    {R"({"a": {"script": "x", "artifacts": {"expire_in": "never", "untracked": true, "name": "n", "public": false}}})",
     true},
    {R"({"a": {"script": "x", "artifacts": {"reports": {"junit": ["x"], "dotenv": "y"}}}})", true},
    {R"({"a": {"script": "x", "artifacts": {"reports": {"coverage_report": {"coverage_format": "cobertura", "path": "x"}}}}})",
     true},
    {R"({"a": {"script": "x", "artifacts": {"reports": {"junti": "x"}}}})", false},
    {R"({"a": {"script": "x", "artifacts": {"paths": "a"}}})", false},
    {R"({"a": {"script": "x", "artifacts": {"when": "never"}}})", false},
    {R"({"a": {"script": "x", "artifacts": ["a"]}})", false},
    {R"({"a": {"script": "x", "when": "on_failure"}})", true},
    {R"({"a": {"script": "x", "when": "never"}})", false},
    {R"({"a": {"script": "x", "when": "delayed", "start_in": 300}})", true},
    {R"({"a": {"script": "x", "when": "delayed", "start_in": [1]}})", false},
    {R"({"a": {"script": "x", "allow_failure": {"exit_codes": [1, 137]}}})", true},
    {R"({"a": {"script": "x", "allow_failure": "yes"}})", false},
    {R"({"a": {"script": "x", "allow_failure": {"exit_codes": 256}}})", false},
    {R"({"a": {"script": "x", "retry": {"max": 2, "when": ["script_failure"], "exit_codes": 137}}})", true},
    {R"({"a": {"script": "x", "retry": 3}})", false},
    {R"({"a": {"script": "x", "retry": {"when": "bad_luck"}}})", false},
    {R"({"a": {"script": "x", "timeout": "3h 30m"}})", true},
    {R"({"a": {"script": "x", "timeout": true}})", false},
    {R"({"a": {"script": "x", "tags": ["a"], "interruptible": true, "resource_group": "g"}})", true},
    {R"({"a": {"script": "x", "tags": "a"}})", false},
    {R"({"a": {"script": "x", "interruptible": "yes"}})", false},
    {R"({"a": {"script": "x", "environment": "production"}})", true},
    {R"({"a": {"script": "x", "environment": {"name": "p", "url": "u", "action": "start", "deployment_tier": "staging"}}})",
     true},
    {R"({"a": {"script": "x", "environment": {"url": "u"}}})", false},
    {R"({"a": {"script": "x", "environment": {"name": "p", "action": "go"}}})", false},
    {R"({"a": {"script": "x", "coverage": "/\\d+%/"}})", true},
    {R"({"a": {"script": "x", "coverage": "\\d+%"}})", false},
    {R"({"a": {"script": "x", "inherit": {"default": ["image"], "variables": false}}})", true},
    {R"({"a": {"script": "x", "inherit": {"default": "image"}}})", false},
    {R"({"a": {"script": "x", "inherit": {"defaults": true}}})", false},
    {R"({"a": {"script": "x", "hooks": {"pre_get_sources_script": ["x"]}}})", true},
    {R"({"a": {"script": "x", "cache": {"key": {"files": ["a"]}, "paths": ["b"], "policy": "pull"}}})", true},
    {R"({"a": {"script": "x", "cache": [{"key": "k", "paths": ["b"], "policy": "$P", "fallback_keys": ["c"]}]}})",
     true},
    {R"({"a": {"script": "x", "cache": {"paths": "b"}}})", false},
    {R"({"a": {"script": "x", "cache": {"key": {"files": []}, "paths": ["b"]}}})", false},
    {R"({"a": {"script": "x", "cache": {"paths": ["b"], "policy": "push-pull"}}})", false},
    {R"({"a": {"script": "x", "parallel": 3}})", true},
    {R"({"a": {"script": "x", "parallel": {"matrix": [{"A": ["x", 1], "B": "y"}]}}})", true},
    {R"({"a": {"script": "x", "parallel": 201}})", false},
    {R"({"a": {"script": "x", "parallel": {"matrix": [{}]}}})", false},
    {R"({"a": {"script": "x", "only": ["main", "/^v/"]}})", true},
    {R"({"a": {"script": "x", "except": {"refs": ["tags"], "variables": ["$A"]}}})", true},
    {R"({"a": {"script": "x", "only": {"ref": ["main"]}}})", false},
    {R"({"a": {"trigger": {"include": "ci/child.yml", "strategy": "depend"}}})", true},
    {R"({"a": {"trigger": {"include": "ci/child.yml", "strategy": "hope"}}})", false},
    {R"({"a": {"script": "x", "id_tokens": {"T": {"aud": "x"}, "U": {"aud": ["x", "y"]}}}})", true},
    {R"({"default": {"id_tokens": {"T": {"aud": "x"}}}, "a": {"script": "x"}})", true},
    {R"({"a": {"script": "x", "id_tokens": {"T": {}}}})", false},
    {R"({"a": {"script": "x", "id_tokens": {"T": "x"}}})", false},
    {R"({"a": {"script": "x", "id_tokens": {"T": {"aud": 1}}}})", false},
    {R"({"a": {"script": "x", "id_tokens": {"T": {"aud": "x", "sub": "y"}}}})", false},
    {R"({"a": {"script": "x", "id_tokens": ["T"]}})", false},
    {R"({"a": {"script": "x", "secrets": {"S": {"vault": "a/b@c"}}}})", true},
    {R"({"a": {"script": "x", "secrets": {"S": {"vault": "a/b", "file": false, "token": "$T"}}}})", true},
    {R"({"a": {"script": "x", "secrets": {"S": {"vault": {"engine": {"name": "kv-v1", "path": "e"}, "path": "p", "field": "f"}}}}})",
     true},
    {R"({"a": {"script": "x", "secrets": {"S": {"vault": {"engine": {"name": "kv", "path": "e"}, "path": "p", "field": "f"}}}}})",
     false},
    {R"({"a": {"script": "x", "secrets": {"S": {"vault": {"engine": {"name": "kv-v1"}, "path": "p", "field": "f"}}}}})",
     false},
    {R"({"a": {"script": "x", "secrets": {"S": {"vault": {"path": "p", "field": "f"}}}}})", false},
    {R"({"a": {"script": "x", "secrets": {"S": {"vault": "a/b", "file": "yes"}}}})", false},
    {R"({"a": {"script": "x", "secrets": {"S": {"file": true}}}})", false},
    {R"({"a": {"script": "x", "secrets": {"S": {"vault": "a/b", "azure_key_vault": {"name": "x"}}}}})", false},
    {R"({"a": {"script": "x", "secrets": {"S": {"azure_key_vault": {"name": "x", "version": "1"}}}}})", true},
    {R"({"a": {"script": "x", "secrets": {"S": {"azure_key_vault": {"version": "1"}}}}})", false},
    {R"({"a": {"script": "x", "secrets": {"S": {"gcp_secret_manager": {"name": "x", "version": 2}, "token": "$T"}}}})",
     true},
    {R"({"a": {"script": "x", "secrets": {"S": {"gcp_secret_manager": {"name": "x"}}}}})", false},
    {R"({"a": {"script": "x", "secrets": {"S": {"aws_secrets_manager": "x#y"}}}})", true},
    {R"({"a": {"script": "x", "secrets": {"S": {"aws_secrets_manager": {"secret_id": "x", "region": "r"}}}}})", true},
    {R"({"a": {"script": "x", "secrets": {"S": {"gitlab_secrets_manager": {"name": "x"}}}}})", true},
    {R"({"a": {"script": "x", "secrets": {"S": {"akeyless": {"name": "x"}}}}})", true},
    {R"({"a": {"script": "x", "secrets": {"S": {"akeyless": {"nam": "x"}}}}})", false},
    {R"({"default": {"secrets": {"S": {"vault": "a/b"}}}, "a": {"script": "x"}})", false},
    {R"({"a": {"script": "x", "release": {"tag_name": "v1", "description": "d"}}})", true},
    {R"({"a": {"script": "x", "release": {"tag_name": "v1"}}})", false},
    {R"({"a": {"scan": {"retire": {"severity": "high"}}}})", true},
    {R"({"a": {"scan": {"retire": {"severity": "severe"}}}})", false},
    {R"({"a": {"scan": {}}})", false},
    {R"({"a": {"image_build": {"repository": "r/app", "tags": ["v1"], "build_args": {"A": 1}, "push": true}}})", true},
    {R"({"a": {"image_build": {"repository": "r/app", "secrets": {"a": "$A", "b": {"file": "c"}}}}})", true},
    {R"({"a": {"image_build": {"repository": "r/app", "secrets": {"b": {"path": "c"}}}}})", false},
    {R"({"a": {"image_build": {"context": "."}}})", false},
    {R"({"a": {"bake": {"packer": {"template": "a.json", "on_error": "abort", "parallel_builds": 2}}}})", true},
    {R"({"a": {"bake": {"packer": {"template": "a.json", "parallel_builds": "two"}}}})", false},
    {R"({"a": {"deploy": {"ecs": {"cluster": "c", "service": "s", "desired_count": 3, "wait": "20m"}}}})", true},
    {R"({"a": {"deploy": {"ecs": {"cluster": "c", "services": ["s"], "desired_count": "$COUNT"}}}})", true},
    {R"({"a": {"deploy": {"ecs": {"cluster": "c", "service": "s", "desired_count": "three"}}}})", false},
    {R"({"a": {"deploy": {"ecs": {"service": "s"}}}})", false},
    {R"({"a": {"deploy": {"ecs": {"cluster": "c", "service": "s", "on_cancel": "stop"}}}})", false},
    {R"({"a": {"deploy": {"ecs_task": {"cluster": "c", "task_definition": "t", "command": ["a"]}}}})", true},
    {R"({"a": {"deploy": {"ecs_task": {"cluster": "c", "task_definition": "t", "command": []}}}})", false},
    {R"({"a": {"deploy": {"asg": {"group": "g", "min_healthy": "90%", "max_healthy": 120, "checkpoints": [50]}}}})",
     true},
    {R"({"a": {"deploy": {"asg": {"group": "g", "min_healthy": "most"}}}})", false},
    {R"({"a": {"deploy": {"asg": {"group": "g", "launch_template_version": "latest"}}}})", true},
    {R"({"a": {"deploy": {"asg": {"group": "g", "launch_template_version": "newest"}}}})", false},
    {R"({"a": {"deploy": {"cloudformation": {"stack": "s", "template": "t", "parameters": {"A": ["b", 1]}}}}})", true},
    {R"({"a": {"deploy": {"cloudformation": {"stack": "s", "template": "t", "capabilities": "IAM"}}}})", false},
    {R"({"a": {"deploy": {"terraform": {"variables": {"a": ["b"]}, "backend_config": ["b.hcl"]}}}})", true},
    {R"({"a": {"deploy": {"terraform": {"approve": "sometimes"}}}})", false},
    {R"({"a": {"deploy": {"swarm": {}}}})", false},
    {R"({"a": {"rollback": "production"}})", true},
    {R"({"a": {"rollback": {"environment": "production", "to": 3}}})", true},
    {R"({"a": {"rollback": {"to": 3}}})", false},
    {R"({"default": {"aws": {"region": "eu-west-1"}}, "a": {"script": "x", "notify": {"email": "a@b"}}})", true},
    {R"({"a": {"script": "x", "notify": [{"webhook": "$HOOK", "on": ["failed", "fixed"]}]}})", true},
    {R"({"a": {"script": "x", "notify": [{"webhook": "$HOOK", "on": ["broken"]}]}})", false},
    {R"({"a": {"script": "x", "monitor": {"cloudwatch_alarms": ["a"], "for": "10m"}}})", true},
    {R"({"a": {"script": "x", "monitor": {"for": "10m"}}})", false},
    {R"({"a": {"script": "x", "s3_artifacts": {"bucket": "ci-artifacts"}}})", true},
    {R"({"a": {"script": "x", "s3_artifacts": {"prefix": "app/"}}})", false},
    {R"({"a": {"script": "x", "cloudwatch_logs": {"group": "/ci/app", "retention_days": 30}}})", true},
    {R"({"a": {"script": "x", "cloudwatch_logs": {"group": "/ci/app", "retention_days": 31}}})", false},
    {R"({"a": ["make"]})", false},
    {R"({"a": "make"})", false},
    {R"(["a"])", false},
};

// Whether each text is valid by the schema, as python3-jsonschema sees it; empty where that is not installed.
std::vector<bool> by_the_schema() {
  json input = {{"schema", json::parse(schema())}, {"cases", json::array()}};
  for (const Case& each : cases) input["cases"].push_back(json::parse(each.text));
  const std::string path = testing::TempDir() + "schema-test-" + std::to_string(::getpid()) + ".json";
  std::ofstream(path) << input.dump();
  const std::string command =
      "python3 -c 'import json, sys, jsonschema\n"
      "work = json.load(open(sys.argv[1]))\n"
      "jsonschema.Draft7Validator.check_schema(work[\"schema\"])\n"
      "check = jsonschema.Draft7Validator(work[\"schema\"])\n"
      "print(\"\".join(\"v\" if check.is_valid(each) else \"-\" for each in work[\"cases\"]))' '" +
      path + "' 2>&1";
  FILE* pipe = ::popen(command.c_str(), "r");
  std::string out;
  char buffer[4096];
  for (std::size_t got = 0; (got = ::fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.append(buffer, got);
  const bool failed = ::pclose(pipe) != 0;
  ::unlink(path.c_str());
  if (failed && out.find("No module named") != std::string::npos) return {};
  EXPECT_FALSE(failed) << out;
  std::vector<bool> verdicts;
  for (const char c : out) {
    if (c == 'v' || c == '-') verdicts.push_back(c == 'v');
  }
  return verdicts;
}

TEST(SchemaTest, ParserAndSchemaAreOfOneMind) {
  const std::vector<bool> verdicts = by_the_schema();
  if (verdicts.empty()) GTEST_SKIP() << "python3-jsonschema is not installed";
  ASSERT_EQ(verdicts.size(), std::size(cases));
  for (std::size_t i = 0; i < std::size(cases); ++i) {
    EXPECT_EQ(verdicts[i], cases[i].valid) << "the schema, of " << cases[i].text;
    const Parsed parsed = parse(cases[i].text, "case.json");
    EXPECT_EQ(!has_errors(parsed.diagnostics), cases[i].valid) << "the parser, of " << cases[i].text << "\n"
                                                               << render(parsed.diagnostics, parsed.sources, false);
  }
}

}  // namespace
}  // namespace pipelines
