/* The network between PoPs and their engine: passes bytes on, in order, so long after they came.

     delay TARGET MICROSECONDS COUNT

   Listens on COUNT ports of 127.0.0.1, says which on its first line, and connects what comes to them to
   the port TARGET. On its standard input: `cut FIRST LAST` lets nothing through any more between these
   ports (by number, from 0) and the target, as a network does that is cut; `mend` lets all through again,
   also what came meanwhile. It ends with its input.

   All bytes take as long, so what is under way is one line: what came first is due first. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FD = 16384, PIECE = 65536, EVENTS = 256 };

struct piece {
  struct piece *next; /* of its way */
  int64_t due;
  size_t length, sent;
  char bytes[];
};

/* One of two descriptors of a connection: what is read from its peer and is to be written to it. */
struct end {
  int peer, port;
  int is_open, is_cut, is_waiting, has_ended;
  unsigned number; /* which of those that had this descriptor */
  struct piece *first, **last;
};

struct due {
  int64_t at;
  int fd;
  unsigned number;
};

static struct end ends[MAX_FD];
static int ports[MAX_FD]; /* of a listener's descriptor, its number and 1 */
static struct due *line;
static size_t line_first, line_count, line_room;
static int epoll, target;
static int64_t delay;

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void *need(void *memory) {
  if (!memory) exit(1);
  return memory;
}

static void line_up(int64_t at, int fd) {
  if (line_count == line_room) {
    size_t room = line_room ? 2 * line_room : 4096;
    struct due *longer = need(malloc(room * sizeof *longer));
    for (size_t index = 0; index < line_count; index++)
      longer[index] = line[(line_first + index) % line_room];
    free(line);
    line = longer, line_first = 0, line_room = room;
  }
  line[(line_first + line_count++) % line_room] = (struct due){at, fd, ends[fd].number};
}

static void watch(int fd, int operation, uint32_t what) {
  struct epoll_event event = {.events = what, .data.fd = fd};
  epoll_ctl(epoll, operation, fd, &event);
}

static void end_connection(int fd) {
  for (int turn = 0, one = fd; turn < 2; turn++) {
    int peer = ends[one].peer;
    while (ends[one].first) {
      struct piece *piece = ends[one].first;
      ends[one].first = piece->next;
      free(piece);
    }
    ends[one].is_open = 0, ends[one].number++;
    close(one);
    one = peer;
  }
}

/* Writes what is due. */
static void pass(int fd, int64_t time) {
  struct end *end = &ends[fd];
  while (end->is_open && !end->is_cut && end->first && end->first->due <= time) {
    struct piece *piece = end->first;
    if (!piece->length) return end_connection(fd);
    ssize_t sent = send(fd, piece->bytes + piece->sent, piece->length - piece->sent, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno != EAGAIN) return end_connection(fd);
      if (!end->is_waiting && !end->has_ended) watch(fd, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
      end->is_waiting = 1;
      return;
    }
    piece->sent += (size_t)sent;
    if (piece->sent < piece->length) continue;
    if (!(end->first = piece->next)) end->last = &end->first;
    free(piece);
  }
  if (end->is_open && end->is_waiting) {
    if (!end->has_ended) watch(fd, EPOLL_CTL_MOD, EPOLLIN);
    end->is_waiting = 0;
  }
}

/* Reads what has come; its end is a piece without bytes. */
static void take(int fd) {
  static char buffer[PIECE];
  if (ends[fd].is_cut || ends[fd].has_ended) return;
  ssize_t count = recv(fd, buffer, sizeof buffer, 0);
  if (count < 0 && errno == EAGAIN) return;
  if (count <= 0) {
    count = 0;
    ends[fd].has_ended = 1;
    epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
  }
  struct end *peer = &ends[ends[fd].peer];
  struct piece *piece = need(malloc(sizeof *piece + (size_t)count));
  *piece = (struct piece){.due = now() + delay, .length = (size_t)count};
  memcpy(piece->bytes, buffer, (size_t)count);
  *peer->last = piece;
  peer->last = &piece->next;
  line_up(piece->due, ends[fd].peer);
}

static void adopt(int fd, int peer, int port, int is_cut) {
  ends[fd] = (struct end){
      .peer = peer, .port = port, .is_open = 1, .is_cut = is_cut, .number = ends[fd].number};
  ends[fd].last = &ends[fd].first;
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  /* What is cut is not even looked at: the kernel would say again and again that a peer has gone. */
  if (!is_cut) watch(fd, EPOLL_CTL_ADD, EPOLLIN);
}

static int is_cut[MAX_FD];

static void accept_all(int listener) {
  int port = ports[listener] - 1, client;
  while ((client = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((unsigned short)target),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int server = socket(AF_INET, SOCK_STREAM, 0);
    /* On loopback at once, or refused. */
    if (server < 0 || client >= MAX_FD || server >= MAX_FD ||
        connect(server, (struct sockaddr *)&address, sizeof address)) {
      close(client);
      if (server >= 0) close(server);
      continue;
    }
    adopt(client, server, port, is_cut[port]);
    adopt(server, client, port, is_cut[port]);
  }
}

static void set_cut(int first, int last, int cut) {
  int64_t time = now();
  for (int port = first; port <= last && port < MAX_FD; port++) is_cut[port] = cut;
  for (int fd = 0; fd < MAX_FD; fd++) {
    if (!ends[fd].is_open || ends[fd].port < first || ends[fd].port > last) continue;
    if (ends[fd].is_cut == cut) continue;
    ends[fd].is_cut = cut;
    ends[fd].is_waiting = 0;
    if (!ends[fd].has_ended) watch(fd, cut ? EPOLL_CTL_DEL : EPOLL_CTL_ADD, EPOLLIN);
  }
  if (!cut)
    for (int fd = 0; fd < MAX_FD; fd++)
      if (ends[fd].is_open) pass(fd, time);
}

static void obey(void) {
  static char text[4096];
  ssize_t count = read(0, text, sizeof text - 1);
  if (count <= 0) exit(0);
  text[count] = 0;
  for (char *rest = text, *order; (order = strsep(&rest, "\n"));) {
    int first, last;
    if (sscanf(order, "cut %d %d", &first, &last) == 2) set_cut(first, last, 1);
    if (!strcmp(order, "mend")) set_cut(0, MAX_FD - 1, 0);
  }
}

static void listen_on(int number) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  if (listener < 0 || listener >= MAX_FD ||
      bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64) ||
      getsockname(listener, (struct sockaddr *)&address, &length)) {
    perror("delay");
    exit(1);
  }
  ports[listener] = number + 1;
  watch(listener, EPOLL_CTL_ADD, EPOLLIN);
  printf("%d ", ntohs(address.sin_port));
}

int main(int count, char **arguments) {
  if (count != 4) return 2;
  target = atoi(arguments[1]);
  delay = atoll(arguments[2]) * 1000;
  epoll = epoll_create1(0);
  for (int number = 0; number < atoi(arguments[3]); number++) listen_on(number);
  puts("");
  fflush(stdout);
  watch(0, EPOLL_CTL_ADD, EPOLLIN);
  struct epoll_event events[EVENTS];
  for (;;) {
    struct timespec wait, *until = NULL;
    if (line_count) {
      int64_t left = line[line_first].at - now();
      if (left < 0) left = 0;
      wait = (struct timespec){left / 1000000000, left % 1000000000};
      until = &wait;
    }
    int ready = epoll_pwait2(epoll, events, EVENTS, until, NULL);
    for (int index = 0; index < ready; index++) {
      int fd = events[index].data.fd;
      if (fd == 0) {
        obey();
      } else if (ports[fd]) {
        accept_all(fd);
      } else if (ends[fd].is_open) {
        if (events[index].events & EPOLLOUT) pass(fd, now());
        if (ends[fd].is_open && events[index].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) take(fd);
      }
    }
    int64_t time = now();
    while (line_count && line[line_first].at <= time) {
      struct due due = line[line_first];
      line_first = (line_first + 1) % line_room, line_count--;
      if (ends[due.fd].number == due.number) pass(due.fd, time);
    }
  }
}
