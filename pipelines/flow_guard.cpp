#include "pipelines/flow_guard.h"

namespace pipelines {

void FlowGuard::restart() { *this = FlowGuard(); }

FlowGuard::Verdict FlowGuard::read(std::string_view chunk) {
  for (const char c : chunk) {
    read(c);
  }
  return open_ > most_open ? Verdict::too_deep : marks_ > most_marks ? Verdict::too_many : Verdict::good;
}

// A string begins only where a value may. When in doubt it is none: its brackets are then counted, which is the safe
// side.
bool FlowGuard::begins_string() const {
  return last_ == '[' || last_ == '{' || last_ == ',' || (last_ == ':' && (spaced_ || before_last_ == '"'));
}

void FlowGuard::read(char c) {
  const bool opens = c == '[' || c == '{';
  marks_ += opens || c == ',' ? 1 : 0;
  if (comment_) {
    comment_ = c != '\n';
    return;
  }
  if (quote_ != 0) {
    if (escaped_) {
      escaped_ = false;
    } else if (c == '\\' && quote_ == '"') {
      escaped_ = true;
    } else if (c == quote_) {
      quote_ = 0;
      before_last_ = last_;
      last_ = '"';
      spaced_ = false;
    }
    return;
  }
  if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
    spaced_ = true;
    return;
  }
  if (c == '#' && spaced_) {
    comment_ = true;
    return;
  }
  if ((c == '"' || c == '\'') && begins_string()) {
    quote_ = c;
    return;
  }
  open_ += opens ? 1 : c == ']' || c == '}' ? -1 : 0;
  before_last_ = last_;
  last_ = c;
  spaced_ = false;
}

}  // namespace pipelines
