// What is no mistake, but will not do what it seems to. For `runner lint`: a run does not need it.
#pragma once

#include <vector>

#include "pipelines/diagnostic.h"
#include "pipelines/pipeline.h"

namespace pipelines {

// Warnings, in the order of their places. They rather keep silent than warn of what was meant:
//  - rules that are never reached or never match, and comparisons with what no pipeline's source is;
//  - patterns in `changes` and `exists` that match nothing, or less than they seem to;
//  - `when: on_failure` where nothing before can fail, a `when` that every rule replaces;
//  - `needs` on a manual job that nobody is made to start, artifacts taken from jobs that leave none;
//  - artifacts that are laid over a cache of the same place;
//  - a step that waits for longer than its job may last;
//  - secrets in plain text.
// `pipeline` is one that parse() found no error in.
std::vector<Diagnostic> advise(const Pipeline& pipeline);

}  // namespace pipelines
