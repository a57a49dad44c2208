// The plan as a graph for Graphviz and Mermaid.
#include <fmt/format.h>

#include <functional>
#include <string>
#include <vector>

#include "runner/cli/plan_text.h"

namespace runner {
namespace {

using pipelines::PlannedJob;

// What both languages draw. A job without `needs` waits for all jobs of the earlier stages; between two stages such
// jobs meet in one point, so that the arrows stay few.
struct Graph {
  struct Stage {
    std::string name;
    std::vector<const PlannedJob*> jobs;
    bool joined = false;  // a job of a later stage waits for this whole stage
  };
  std::vector<Stage> stages;  // those with jobs
};

Graph graph_of(const Loaded& loaded) {
  const auto& pipeline = loaded.parsed.pipeline;
  std::vector<Graph::Stage> stages(pipeline.stages.size());
  for (std::size_t i = 0; i < stages.size(); ++i) stages[i].name = pipeline.stages[i];
  for (const auto& planned : loaded.plan.jobs) {
    if (planned.included) stages[planned.stage].jobs.push_back(&planned);
  }
  Graph graph;
  for (auto& stage : stages) {
    if (!stage.jobs.empty()) graph.stages.push_back(std::move(stage));
  }
  bool joined = false;
  for (std::size_t i = graph.stages.size(); i-- > 0;) {
    graph.stages[i].joined = joined;
    for (const PlannedJob* job : graph.stages[i].jobs) joined = joined || !job->dag;
  }
  return graph;
}

bool by_hand(const PlannedJob& planned) { return planned.when == pipelines::When::manual; }

std::string replaced(const std::string& text, const std::function<std::string(char)>& escape) {
  std::string result;
  for (const char c : text) result += escape(c);
  return result;
}

std::string dot_string(const std::string& text) {
  return '"' +
         replaced(text,
                  [](char c) {
                    return c == '"' || c == '\\' ? std::string("\\") + c : c == '\n' ? "\\n" : std::string(1, c);
                  }) +
         '"';
}

// Mermaid has no escapes but entities.
std::string mermaid_string(const std::string& text) {
  return '"' +
         replaced(text,
                  [](char c) {
                    constexpr std::string_view special = "\"#<>&`\\\n";
                    return special.find(c) == std::string_view::npos ? std::string(1, c)
                                                                     : fmt::format("#{};", static_cast<int>(c));
                  }) +
         '"';
}

// Calls `arrow(from, to)` for every one; points are -1 - the stage's place in the graph.
void each_arrow(const Graph& graph, const std::function<void(long from, long to)>& arrow) {
  for (std::size_t i = 0; i < graph.stages.size(); ++i) {
    const auto& stage = graph.stages[i];
    const long before = -static_cast<long>(i);  // the point of the stage before
    const long here = before - 1;
    for (const PlannedJob* job : stage.jobs) {
      for (const auto& need : job->needs) arrow(need.job, job->job);
      if (!job->dag && i > 0) arrow(before, job->job);
      if (stage.joined) arrow(job->job, here);
    }
    if (stage.joined && i > 0) arrow(before, here);
  }
}

}  // namespace

std::string plan_dot(const Loaded& loaded) {
  const Graph graph = graph_of(loaded);
  const auto& jobs = loaded.parsed.pipeline.jobs;
  std::string text = "digraph pipeline {\n  rankdir=LR;\n  node [shape=box, style=rounded];\n";
  for (std::size_t i = 0; i < graph.stages.size(); ++i) {
    text += fmt::format("  subgraph cluster_{} {{\n    label={};\n", i, dot_string(graph.stages[i].name));
    for (const PlannedJob* job : graph.stages[i].jobs) {
      text += fmt::format("    {}{};\n", dot_string(jobs[job->job].name),
                          by_hand(*job) ? " [style=\"rounded,dashed\"]" : "");
    }
    text += "  }\n";
    if (graph.stages[i].joined) text += fmt::format("  point_{} [shape=point];\n", i + 1);
  }
  const auto name = [&](long node) {
    return node < 0 ? fmt::format("point_{}", -node) : dot_string(jobs[static_cast<std::size_t>(node)].name);
  };
  each_arrow(graph, [&](long from, long to) { text += fmt::format("  {} -> {};\n", name(from), name(to)); });
  return text + "}\n";
}

std::string plan_mermaid(const Loaded& loaded) {
  const Graph graph = graph_of(loaded);
  const auto& jobs = loaded.parsed.pipeline.jobs;
  std::string text = "flowchart LR\n";
  for (std::size_t i = 0; i < graph.stages.size(); ++i) {
    text += fmt::format("  subgraph s{}[{}]\n", i, mermaid_string(graph.stages[i].name));
    for (const PlannedJob* job : graph.stages[i].jobs) {
      text += fmt::format("    j{}[{}]{}\n", job->job, mermaid_string(jobs[job->job].name),
                          by_hand(*job) ? ":::manual" : "");
    }
    text += "  end\n";
    if (graph.stages[i].joined) text += fmt::format("  p{}(( ))\n", i + 1);
  }
  const auto name = [](long node) { return node < 0 ? fmt::format("p{}", -node) : fmt::format("j{}", node); };
  each_arrow(graph, [&](long from, long to) { text += fmt::format("  {} --> {}\n", name(from), name(to)); });
  return text + "  classDef manual stroke-dasharray: 5 5\n";
}

}  // namespace runner
