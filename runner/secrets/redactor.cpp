#include "runner/secrets/redactor.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <utility>

#include "runner/secrets/forms.h"

namespace runner {

bool too_short(std::string_view secret) { return secret.size() < shortest_secret; }

// Aho-Corasick, with the children of a node side by side. In front of it, where no form is begun, a table of shifts
// (Wu and Manber) over blocks of four bytes: most of a log is passed five bytes at a time.
struct SecretSet::Automaton {
  using State = std::uint32_t;
  static constexpr State root = 0;
  static constexpr std::size_t block = 4;
  static constexpr std::size_t window = shortest_secret;  // no form is shorter
  static constexpr std::uint8_t widest = window - block + 1;

  struct Node {
    State first_child = 0;
    State fail = root;
    std::uint32_t depth = 0;
    std::uint32_t found = 0;  // length of the longest form that ends here; 0: none
    std::uint16_t children = 0;
    unsigned char byte = 0;  // that leads here
  };

  std::vector<std::string> forms;
  std::vector<Node> nodes;  // children of one node are neighbours, sorted by byte
  std::array<State, 256> from_root{};
  std::vector<std::uint8_t> shifts;

  static std::size_t hash(const char* at) {
    std::uint32_t word = 0;
    std::memcpy(&word, at, block);
    return (word * 2654435761U) >> 16U;
  }

  State child(const Node& node, unsigned char byte) const {
    const Node* first = nodes.data() + node.first_child;
    for (const Node* each = first; each != first + node.children; ++each) {
      if (each->byte == byte) {
        return static_cast<State>(each - nodes.data());
      }
    }
    return root;
  }

  State next(State state, unsigned char byte) const {
    while (state != root) {
      if (const State to = child(nodes[state], byte); to != root) {
        return to;
      }
      state = nodes[state].fail;
    }
    return from_root[byte];
  }

  // How far one can go on from `at`, where `window` bytes are readable and no form is begun, without missing a form's
  // beginning. 0: look closely.
  std::size_t shift(const char* at) const { return shifts[hash(at + window - block)]; }

  void build() {
    add_nodes();
    for (State state = 1; state < nodes.size(); ++state) {  // by depth: what `fail` leads to is finished
      Node& node = nodes[state];
      for (State to = node.first_child; to < node.first_child + node.children; ++to) {
        nodes[to].fail = next(node.fail, nodes[to].byte);
        nodes[to].found = std::max(nodes[to].found, nodes[nodes[to].fail].found);
      }
    }
    shifts.assign(1U << 16U, widest);
    for (const std::string& form : forms) {
      for (std::size_t end = block; end <= window; ++end) {
        std::uint8_t& known = shifts[hash(form.data() + end - block)];
        known = std::min(known, static_cast<std::uint8_t>(window - end));
      }
    }
  }

  // The trie of the sorted forms, breadth first: a node is a range of forms with a common beginning.
  void add_nodes() {
    struct Range {
      State state;
      std::size_t begin, end;
    };
    nodes.emplace_back();
    std::deque<Range> open{{root, 0, forms.size()}};
    while (!open.empty()) {
      const auto [state, begin, end] = open.front();
      open.pop_front();
      const std::uint32_t depth = nodes[state].depth;
      nodes[state].first_child = static_cast<State>(nodes.size());
      std::size_t at = begin;
      while (at < end && forms[at].size() == depth) {
        nodes[state].found = depth;
        ++at;
      }
      while (at < end) {
        const char byte = forms[at][depth];
        const std::size_t first = at;
        while (at < end && forms[at][depth] == byte) {
          ++at;
        }
        Node node;
        node.byte = static_cast<unsigned char>(byte);
        node.depth = depth + 1;
        const auto to = static_cast<State>(nodes.size());
        nodes.push_back(node);
        ++nodes[state].children;
        open.push_back({to, first, at});
        if (state == root) {
          from_root[node.byte] = to;
        }
      }
    }
  }
};

SecretSet::SecretSet() = default;

SecretSet::SecretSet(const std::vector<std::string>& secrets) {
  auto automaton = std::make_shared<Automaton>();
  for (const std::string& secret : secrets) {
    for (std::string& form : secret_forms(secret)) {
      automaton->forms.push_back(std::move(form));
    }
  }
  // As bytes, not as char, which may be signed; and std::string compares them so.
  std::ranges::sort(automaton->forms);
  automaton->forms.erase(std::unique(automaton->forms.begin(), automaton->forms.end()), automaton->forms.end());
  if (!automaton->forms.empty()) {
    automaton->build();
    automaton_ = std::move(automaton);
  }
}

bool SecretSet::empty() const { return !automaton_; }

const std::vector<std::string>& SecretSet::forms() const {
  static const std::vector<std::string> none;
  return automaton_ ? automaton_->forms : none;
}

// Places are counts of bytes fed since the beginning.
struct Redactor::Impl {
  using Automaton = SecretSet::Automaton;
  struct Find {
    std::uint64_t begin = 0, end = 0;
  };

  std::shared_ptr<const Automaton> automaton;
  Automaton::State state = Automaton::root;
  std::uint64_t fed = 0;
  std::uint64_t told = 0;        // up to here the output stands for what was fed
  std::string tail;              // the bytes from tail_begin to fed
  std::uint64_t tail_begin = 0;  // beyond `told` when a find covers what lies between
  std::vector<Find> finds;       // not told yet; in order, none overlaps another

  void feed(std::string_view bytes, std::string& out) {
    if (!automaton) {
      out += bytes;
      fed += bytes.size();
      told = tail_begin = fed;
      return;
    }
    const std::uint64_t begin = fed;
    const char* const data = bytes.data();
    const std::size_t size = bytes.size();
    std::size_t at = 0;
    while (at < size) {
      if (state == Automaton::root) {
        while (at + Automaton::window <= size) {
          const std::size_t shift = automaton->shift(data + at);
          if (shift == 0) {
            break;
          }
          at += shift;
        }
      }
      if (at == size) {
        break;
      }
      state = automaton->next(state, static_cast<unsigned char>(data[at]));
      ++at;
      if (const std::uint32_t length = automaton->nodes[state].found; length != 0) {
        found(begin + at - length, begin + at);
      }
    }
    fed = begin + size;
    tell(fed - automaton->nodes[state].depth, bytes, out);
  }

  void found(std::uint64_t begin, std::uint64_t end) {
    while (!finds.empty() && finds.back().end > begin) {
      begin = std::min(begin, finds.back().begin);
      finds.pop_back();
    }
    finds.push_back({begin, end});
  }

  // Puts out what is certain: before `boundary` no find can begin any more. `fresh` are the newest bytes fed.
  void tell(std::uint64_t boundary, std::string_view fresh, std::string& out) {
    std::size_t done = 0;
    for (; done < finds.size() && finds[done].end <= boundary; ++done) {
      copy(finds[done].begin, fresh, out);
      out += mask;
      told = finds[done].end;
    }
    finds.erase(finds.begin(), finds.begin() + static_cast<std::ptrdiff_t>(done));
    // A find that may still grow is told when it cannot; its own bytes are not needed any more.
    std::uint64_t needed = boundary;
    if (!finds.empty()) {
      needed = std::min(boundary, finds.front().begin);
    }
    copy(needed, fresh, out);
    told = std::max(told, needed);
    if (!finds.empty() && finds.front().begin <= boundary) {
      needed = finds.front().end;
    }
    keep(needed, fresh);
  }

  // Puts out the bytes from `told` to `end`.
  void copy(std::uint64_t end, std::string_view fresh, std::string& out) const {
    std::uint64_t at = told;
    const std::uint64_t fresh_begin = fed - fresh.size();
    if (at < fresh_begin && at < end) {
      const std::uint64_t stop = std::min(end, fresh_begin);
      out.append(tail, at - tail_begin, stop - at);
      at = stop;
    }
    if (at < end) {
      out += fresh.substr(at - fresh_begin, end - at);
    }
  }

  // Keeps the bytes from `begin` on.
  void keep(std::uint64_t begin, std::string_view fresh) {
    const std::uint64_t fresh_begin = fed - fresh.size();
    if (begin >= fresh_begin) {
      tail = fresh.substr(begin - fresh_begin);
    } else {
      tail.erase(0, begin > tail_begin ? begin - tail_begin : 0);
      tail += fresh;
    }
    tail_begin = std::max(begin, tail_begin);
  }
};

Redactor::Redactor(SecretSet secrets) : impl_(std::make_unique<Impl>()) {
  impl_->automaton = std::move(secrets.automaton_);
}
Redactor::Redactor(Redactor&&) noexcept = default;
Redactor& Redactor::operator=(Redactor&&) noexcept = default;
Redactor::~Redactor() = default;

std::string Redactor::feed(std::string_view bytes) {
  std::string out;
  impl_->feed(bytes, out);
  return out;
}

void Redactor::feed(std::string_view bytes, std::string& out) { impl_->feed(bytes, out); }

std::string Redactor::finish() {
  std::string out;
  impl_->tell(impl_->fed, {}, out);
  auto fresh = std::make_unique<Impl>();
  fresh->automaton = std::move(impl_->automaton);
  impl_ = std::move(fresh);
  return out;
}

std::size_t Redactor::held() const { return static_cast<std::size_t>(impl_->fed - impl_->told); }

std::string redact(const SecretSet& secrets, std::string_view text) {
  Redactor redactor(secrets);
  std::string out = redactor.feed(text);
  return out += redactor.finish();
}

}  // namespace runner
