/* The floor under every server that is measured: one epoll loop that reads whatever comes and sends an
   answer of the right length from memory. No parsing, no cache, no log.

     floor PORT

   The path's beginning says how long an answer is: /1k/ or /100k/. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FD = 65536, HEAD = 320 };

struct answer {
  char *bytes;
  size_t length;
};

/* What of its answer a connection has still to be sent. */
static struct {
  const struct answer *answer;
  size_t sent;
} pending[MAX_FD];

static struct answer make_answer(size_t content) {
  struct answer answer = {malloc(HEAD + content), HEAD + content};
  if (!answer.bytes) exit(1);
  memset(answer.bytes, 'a', answer.length);
  int head = sprintf(answer.bytes, "HTTP/1.1 200 OK\r\ncontent-length: %zu\r\nx-pad: ", content);
  answer.bytes[head] = 'a';
  memcpy(answer.bytes + HEAD - 4, "\r\n\r\n", 4);
  return answer;
}

static void go_on(int fd) {
  const struct answer *answer = pending[fd].answer;
  while (answer && pending[fd].sent < answer->length) {
    ssize_t count = send(
        fd, answer->bytes + pending[fd].sent, answer->length - pending[fd].sent, MSG_NOSIGNAL);
    if (count < 0) return;
    pending[fd].sent += (size_t)count;
  }
  pending[fd].answer = NULL;
}

static void accept_all(int epoll, int listener) {
  int fd, one = 1;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    if (fd >= MAX_FD) {
      close(fd);
      continue;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    pending[fd].answer = NULL;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  }
}

int main(int count, char **arguments) {
  if (count != 2) return 2;
  struct answer small = make_answer(1 << 10), large = make_answer(100 << 10);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {
      .sin_family = AF_INET,
      .sin_port = htons((unsigned short)atoi(arguments[1])),
      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
    perror("floor");
    return 1;
  }
  int epoll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[512];
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  static char buffer[65536];
  for (;;) {
    int ready = epoll_wait(epoll, events, 512, -1);
    for (int index = 0; index < ready; index++) {
      int fd = events[index].data.fd;
      if (fd == listener) {
        accept_all(epoll, listener);
        continue;
      }
      if (pending[fd].answer) go_on(fd);
      if (!(events[index].events & EPOLLIN)) continue;
      ssize_t bytes = recv(fd, buffer, sizeof buffer, 0);
      if (bytes == 0 || (bytes < 0 && errno != EAGAIN)) {
        close(fd);
      } else if (bytes > 5) {
        pending[fd].answer = memcmp(buffer + 4, "/1k", 3) == 0 ? &small : &large;
        pending[fd].sent = 0;
        go_on(fd);
      }
    }
  }
}
