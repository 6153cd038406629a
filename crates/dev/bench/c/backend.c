// The origin of the benchmarks: a single-threaded epoll HTTP/1.1 server that is faster than any
// proxy measured here. GET /100k answers 100 KiB, anything else 200 bytes; a request body is read
// and dropped. It listens on all addresses of the loopback interface.
//
// backend PORT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_BYTES 16384
#define SMALL_BODY 200
#define BIG_BODY 102400

struct conn {
  int fd;
  size_t head_len;    // bytes in head
  size_t body_left;   // request body bytes still to drop
  int is_big;         // what to answer after the body
  const char *out;    // rest of the answer
  size_t out_len;
  char head[HEAD_BYTES];
};

static int ep;
static char *small_answer, *big_answer;
static size_t small_len, big_len;

static char *make_answer(size_t body, size_t *len) {
  char *answer = malloc(body + 512);
  int head = sprintf(answer,
                     "HTTP/1.1 200 OK\r\nServer: origin\r\n"
                     "Date: Sat, 21 Nov 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\n"
                     "Content-Length: %zu\r\nCache-Control: no-cache\r\nETag: \"abc123\"\r\n\r\n",
                     body);
  memset(answer + head, 'x', body);
  *len = head + body;
  return answer;
}

static void watch(struct conn *c, int op, unsigned events) {
  struct epoll_event event = {.events = events, .data = {.ptr = c}};
  epoll_ctl(ep, op, c->fd, &event);
}

// 0: all sent, 1: waiting for room, -1: broken
static int flush(struct conn *c) {
  while (c->out_len > 0) {
    ssize_t n = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno != EAGAIN) return -1;
      watch(c, EPOLL_CTL_MOD, EPOLLOUT);
      return 1;
    }
    c->out += n;
    c->out_len -= n;
  }
  return 0;
}

static int answer(struct conn *c) {
  c->out = c->is_big ? big_answer : small_answer;
  c->out_len = c->is_big ? big_len : small_len;
  return flush(c);
}

// Answers every complete request in the buffer; -1 when the connection is broken.
static int serve_buffered(struct conn *c) {
  for (;;) {
    c->head[c->head_len] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) return c->head_len + 1 >= HEAD_BYTES ? -1 : 0;
    size_t head = end + 4 - c->head, rest = c->head_len - head, body = 0;
    if (c->head[0] == 'P') {
      *end = 0;
      char *field = strcasestr(c->head, "\r\ncontent-length:");
      if (field) body = strtoul(field + 17, NULL, 10);
    }
    c->is_big = !strncmp(c->head, "GET /100k", 9);
    if (body > rest) {
      c->body_left = body - rest;
      c->head_len = 0;
      return 0;
    }
    memmove(c->head, c->head + head + body, rest - body);
    c->head_len = rest - body;
    int sent = answer(c);
    if (sent != 0) return sent < 0 ? -1 : 0;
  }
}

static int on_event(struct conn *c, unsigned events) {
  static char sink[65536];
  if (events & EPOLLOUT) {
    int sent = flush(c);
    if (sent != 0) return sent < 0 ? -1 : 0;
    watch(c, EPOLL_CTL_MOD, EPOLLIN);
    return c->head_len > 0 ? serve_buffered(c) : 0;
  }
  char *to = c->body_left > 0 ? sink : c->head + c->head_len;
  size_t room = c->body_left > 0 ? sizeof sink : HEAD_BYTES - 1 - c->head_len;
  if (c->body_left > 0 && room > c->body_left) room = c->body_left;
  ssize_t n = recv(c->fd, to, room, 0);
  if (n <= 0) return n < 0 && errno == EAGAIN ? 0 : -1;
  if (c->body_left > 0) {
    c->body_left -= n;
    return c->body_left == 0 && answer(c) < 0 ? -1 : 0;
  }
  c->head_len += n;
  return serve_buffered(c);
}

static void accept_all(int listener) {
  int fd, one = 1;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct conn *c = malloc(sizeof *c);
    c->fd = fd;
    c->head_len = c->body_left = c->out_len = 0;
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
  }
}

int main(int argc, char **argv) {
  if (argc != 2) return fprintf(stderr, "usage: backend PORT\n"), 2;
  small_answer = make_answer(SMALL_BODY, &small_len);
  big_answer = make_answer(BIG_BODY, &big_len);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in at = {.sin_family = AF_INET,
                           .sin_port = htons(atoi(argv[1])),
                           .sin_addr.s_addr = htonl(INADDR_ANY)};
  // Whatever the address, what comes from elsewhere is not for us.
  if (setsockopt(listener, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3)) return perror("lo"), 1;
  if (bind(listener, (void *)&at, sizeof at) || listen(listener, 4096)) return perror("bind"), 1;
  ep = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = NULL}}, events[256];
  epoll_ctl(ep, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    int n = epoll_wait(ep, events, 256, -1);
    for (int i = 0; i < n; i++) {
      struct conn *c = events[i].data.ptr;
      if (!c) {
        accept_all(listener);
      } else if (on_event(c, events[i].events) < 0) {
        close(c->fd);
        free(c);
      }
    }
  }
}
