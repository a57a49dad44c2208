#include "runner/run/terminal.h"

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <clocale>
#include <cstdint>
#include <cstdlib>
#include <cwchar>

#include "runner/run/console.h"

namespace runner {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";

// Bytes that go to a screen as they are.
constexpr std::array<bool, 256> harmless = [] {
  std::array<bool, 256> table{};
  for (std::size_t c = 0x20; c < 0x7f; ++c) table[c] = true;
  table['\t'] = true;
  return table;
}();

bool in(char c, unsigned low, unsigned high) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= low && byte <= high;
}

// The length of the escape sequence that `text` begins with (its first byte is ESC); an unfinished one takes the rest.
std::size_t escape_sequence(std::string_view text) {
  if (text.size() < 2) return text.size();
  std::size_t at = 2;
  switch (text[1]) {
    case '[':
      while (at < text.size() && in(text[at], 0x20, 0x3f)) ++at;
      return at < text.size() && in(text[at], 0x40, 0x7e) ? at + 1 : at;
    case ']':
    case 'P':
    case 'X':
    case '^':
    case '_':  // until BEL or ESC backslash
      for (; at < text.size(); ++at) {
        if (text[at] == '\a') return at + 1;
        if (text[at] == '\x1b') return at + 1 < text.size() && text[at + 1] == '\\' ? at + 2 : at;
      }
      return at;
    default:
      at = 1;
      while (at < text.size() && in(text[at], 0x20, 0x2f)) ++at;
      return at < text.size() && in(text[at], 0x30, 0x7e) ? at + 1 : at;
  }
}

bool is_colour(std::string_view sequence) {
  return sequence.size() >= 3 && sequence[1] == '[' && sequence.back() == 'm' &&
         sequence.find_first_not_of("0123456789;:", 2) == sequence.size() - 1;
}

bool is_reset(std::string_view sequence) { return sequence.find_first_not_of("0;", 2) == sequence.size() - 1; }

// Code points that change how others are shown: C1 controls and the bidirectional overrides.
bool is_hidden(char32_t code) {
  return (code >= 0x80 && code < 0xa0) || (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
         code == 0x2028 || code == 0x2029;
}

// wcwidth() asks the thread's locale; this gives it one that knows Unicode for as long as it lives.
class UnicodeLocale {
 public:
  UnicodeLocale() : before_(unicode() ? uselocale(unicode()) : locale_t{}) {}
  ~UnicodeLocale() {
    if (before_) uselocale(before_);
  }
  UnicodeLocale(const UnicodeLocale&) = delete;
  UnicodeLocale& operator=(const UnicodeLocale&) = delete;

  std::size_t width(char32_t code) const {
    if (code < 0x80 || !before_) return code >= 0x20 || code == '\t';
    const int columns = ::wcwidth(static_cast<wchar_t>(code));
    return columns < 0 ? 1 : static_cast<std::size_t>(columns);
  }

 private:
  static locale_t unicode() {
    static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", locale_t{});
    return locale;
  }
  locale_t before_;
};

// Calls `each(bytes, columns)` for what text consists of; stops when it returns false.
template <class Each>
void walk(std::string_view text, const Each& each) {
  const UnicodeLocale locale;
  while (!text.empty()) {
    std::size_t length = 1, columns = 1;
    if (text[0] == '\x1b') {
      length = escape_sequence(text);
      columns = 0;
    } else {
      char32_t code = U'\uFFFD';
      length = utf8_sequence(text, &code);
      if (length == 0) length = 1;
      columns = locale.width(code);
    }
    if (!each(text.substr(0, length), columns)) return;
    text.remove_prefix(length);
  }
}

std::atomic<int> hidden_on{-1};
constexpr std::string_view show_cursor = "\x1b[?25h";

std::atomic<int> raw_on{-1};
termios before_raw{};  // written before raw_on is set

void leave_raw() noexcept {
  const int fd = raw_on.exchange(-1);
  // What was typed ahead for the shell is not for whoever reads next.
  if (fd >= 0) ::tcsetattr(fd, TCSAFLUSH, &before_raw);
}

void show() noexcept {
  const int fd = hidden_on.exchange(-1);
  if (fd >= 0) [[maybe_unused]]
    const ssize_t n = ::write(fd, show_cursor.data(), show_cursor.size());
}

void restore_at_exit() { restore_terminal(); }

void restore_when_exiting() {
  static const int registered = std::atexit(restore_at_exit);
  (void)registered;
}

}  // namespace

std::size_t utf8_sequence(std::string_view text, char32_t* code) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  std::size_t length = 0;
  char32_t value = 0;
  if (first < 0x80) {
    if (code) *code = first;
    return 1;
  }
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2;
    value = first & 0x1fU;
  } else if (first >= 0xe0 && first <= 0xef) {
    length = 3;
    value = first & 0x0fU;
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4;
    value = first & 0x07U;
  } else {
    return 0;
  }
  if (text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) return 0;
    value = (value << 6) | (byte(i) & 0x3fU);
  }
  const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
  if (overlong || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) return 0;
  if (code) *code = value;
  return length;
}

void append_screen(std::string& out, std::string_view text, bool colour, std::string& carry) {
  if (colour) out += carry;
  while (!text.empty()) {
    std::size_t plain = 0;
    while (plain < text.size() && harmless[static_cast<unsigned char>(text[plain])]) ++plain;
    out.append(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) break;
    std::size_t length = 1;
    if (text[0] == '\x1b') {
      length = escape_sequence(text);
      const std::string_view sequence = text.substr(0, length);
      if (colour && is_colour(sequence)) {
        out.append(sequence);
        if (is_reset(sequence)) {
          carry.clear();
        } else if (carry.size() < 64) {
          carry.append(sequence);
        }
      }
    } else if (static_cast<unsigned char>(text[0]) >= 0x80) {
      char32_t code = 0;
      length = utf8_sequence(text, &code);
      if (length == 0) {
        length = 1;
        out.append(replacement);
      } else if (!is_hidden(code)) {
        out.append(text.substr(0, length));
      }
    }
    text.remove_prefix(length);
  }
  if (!carry.empty()) out += "\x1b[0m";
}

std::string on_screen(std::string_view text) {
  std::string out, carry;
  append_screen(out, text, false, carry);
  return out;
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  walk(text, [&](std::string_view, std::size_t columns) {
    width += columns;
    return true;
  });
  return width;
}

std::string cut(std::string_view text, std::size_t columns) {
  if (columns == 0) return {};
  std::string out;
  std::size_t width = 0, room = 0;  // room: bytes of `out` that leave a column for the …
  bool whole = true, coloured = false;
  walk(text, [&](std::string_view bytes, std::size_t wide) {
    if (width + wide > columns) {
      whole = false;
      return false;
    }
    if (bytes == "\t") bytes = " ";
    coloured = coloured || bytes[0] == '\x1b';
    out.append(bytes);
    width += wide;
    if (width < columns) room = out.size();
    return true;
  });
  if (whole) return out;
  out.resize(room);
  out += "…";
  if (coloured) out += "\x1b[0m";
  return out;
}

std::string paint(std::string_view text, std::string_view sgr, bool colour) {
  std::string out;
  if (!colour || sgr.empty()) return out.assign(text);
  return out.append("\x1b[").append(sgr).append("m").append(text).append("\x1b[0m");
}

TerminalSize terminal_size(int fd) {
  TerminalSize size;
  winsize window{};
  if (::ioctl(fd, TIOCGWINSZ, &window) == 0) {
    if (window.ws_col > 0) size.columns = window.ws_col;
    if (window.ws_row > 0) size.rows = window.ws_row;
  }
  return size;
}

HiddenCursor::HiddenCursor(int fd) {
  restore_when_exiting();
  hidden_on = fd;
  [[maybe_unused]] const ssize_t n = ::write(fd, "\x1b[?25l", 6);
}

HiddenCursor::~HiddenCursor() { show(); }

RawTerminal::RawTerminal(int fd) {
  restore_when_exiting();
  if (::tcgetattr(fd, &before_raw) != 0) return;  // no terminal
  termios raw = before_raw;
  ::cfmakeraw(&raw);
  raw_on = fd;
  ::tcsetattr(fd, TCSADRAIN, &raw);
}

RawTerminal::~RawTerminal() { leave_raw(); }

void restore_terminal() noexcept {
  leave_raw();
  show();
}

}  // namespace runner
