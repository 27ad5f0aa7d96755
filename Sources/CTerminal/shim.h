// Terminals: their modes and sizes (termios(3), ioctl_tty(2)), and pairs of them for tests (openpty(3)).
#ifndef WEIR_CTERMINAL_H
#define WEIR_CTERMINAL_H
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

// How a terminal is set.
struct weir_terminal { struct termios modes; };

static inline int weir_terminal_save(int fd, struct weir_terminal *saved) { return tcgetattr(fd, &saved->modes); }
// Every key by itself, nothing echoed, no signals from keys; reading waits for nothing.
static inline int weir_terminal_raw(int fd, const struct weir_terminal *saved) {
  struct termios raw = saved->modes;
  cfmakeraw(&raw);
  raw.c_cc[VMIN] = 0;
  raw.c_cc[VTIME] = 0;
  return tcsetattr(fd, TCSAFLUSH, &raw);
}
// Not waiting for output: a terminal that is stopped must not hold up the end of a program.
static inline int weir_terminal_restore(int fd, const struct weir_terminal *saved) {
  return tcsetattr(fd, TCSANOW, &saved->modes);
}
// Whether keys come by lines, are shown, and some of them are signals, as shells have it.
static inline int weir_terminal_is_usual(int fd) {
  struct termios modes;
  if (tcgetattr(fd, &modes) != 0) return 0;
  tcflag_t wanted = ICANON | ECHO | ISIG;
  return (modes.c_lflag & wanted) == wanted && (modes.c_oflag & OPOST) != 0;
}
static inline int weir_terminal_size(int fd, int *columns, int *rows) {
  struct winsize size;
  if (ioctl(fd, TIOCGWINSZ, &size) != 0) return -1;
  *columns = size.ws_col;
  *rows = size.ws_row;
  return 0;
}
static inline int weir_terminal_resize(int fd, int columns, int rows) {
  struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };
  return ioctl(fd, TIOCSWINSZ, &size);
}
// A terminal and its other end.
static inline int weir_terminal_pair(int *other_end, int *terminal) {
  return openpty(other_end, terminal, 0, 0, 0);
}
#endif
