// The limit of the benchmarks: copies bytes between each client and a connection of its own to the
// origin, one epoll loop, no parsing. No HTTP proxy can cost less.
//
// relay PORT UPSTREAM_PORT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct side {
  int fd;
  struct side *peer;
  char *pending;  // bytes for this side that did not fit
  size_t pending_len, pending_off;
  int is_dead;
};

#define BATCH 128

static int ep;
static struct side *dead[4 * BATCH];
static int dead_count;

static void watch(struct side *s, int op) {
  // Read only while the other side has room.
  unsigned events = (s->pending_len ? EPOLLOUT : 0) | (s->peer->pending_len ? 0 : EPOLLIN);
  struct epoll_event event = {.events = events, .data = {.ptr = s}};
  epoll_ctl(ep, op, s->fd, &event);
}

static void close_both(struct side *s) {
  if (s->is_dead) return;
  struct side *both[] = {s, s->peer};
  for (int i = 0; i < 2; i++) {
    both[i]->is_dead = 1;
    close(both[i]->fd);
    dead[dead_count++] = both[i];
  }
}

static void flush(struct side *s) {
  ssize_t n = send(s->fd, s->pending + s->pending_off, s->pending_len, MSG_NOSIGNAL);
  if (n < 0) {
    if (errno != EAGAIN) close_both(s);
    return;
  }
  s->pending_off += n;
  s->pending_len -= n;
  if (s->pending_len == 0) {
    free(s->pending);
    s->pending = NULL;
    watch(s, EPOLL_CTL_MOD);
    watch(s->peer, EPOLL_CTL_MOD);
  }
}

static void copy(struct side *s) {
  static char buffer[65536];
  struct side *to = s->peer;
  ssize_t n = recv(s->fd, buffer, sizeof buffer, 0);
  if (n <= 0) {
    if (n == 0 || errno != EAGAIN) close_both(s);
    return;
  }
  ssize_t sent = send(to->fd, buffer, n, MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno != EAGAIN) return close_both(s);
    sent = 0;
  }
  if (sent < n) {
    to->pending = malloc(n - sent);
    memcpy(to->pending, buffer + sent, n - sent);
    to->pending_len = n - sent;
    to->pending_off = 0;
    watch(to, EPOLL_CTL_MOD);
    watch(s, EPOLL_CTL_MOD);
  }
}

static void accept_all(int listener, struct sockaddr_in *upstream) {
  int client, one = 1;
  while ((client = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    int origin = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(origin, (void *)upstream, sizeof *upstream)) {
      close(origin);
      close(client);
      continue;
    }
    fcntl(origin, F_SETFL, O_NONBLOCK);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(origin, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct side *a = calloc(1, sizeof *a), *b = calloc(1, sizeof *b);
    *a = (struct side){.fd = client, .peer = b};
    *b = (struct side){.fd = origin, .peer = a};
    watch(a, EPOLL_CTL_ADD);
    watch(b, EPOLL_CTL_ADD);
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return fprintf(stderr, "usage: relay PORT UPSTREAM_PORT\n"), 2;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in at = {.sin_family = AF_INET,
                           .sin_port = htons(atoi(argv[1])),
                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_in upstream = at;
  upstream.sin_port = htons(atoi(argv[2]));
  if (bind(listener, (void *)&at, sizeof at) || listen(listener, 4096)) return perror("bind"), 1;
  ep = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = NULL}}, events[BATCH];
  epoll_ctl(ep, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    int n = epoll_wait(ep, events, BATCH, -1);
    for (int i = 0; i < n; i++) {
      struct side *s = events[i].data.ptr;
      if (!s) {
        accept_all(listener, &upstream);
      } else if (!s->is_dead) {
        if (events[i].events & EPOLLOUT && s->pending_len)
          flush(s);
        else
          copy(s);
      }
    }
    // Freed only now: a later event of this batch may name them.
    while (dead_count > 0) {
      struct side *s = dead[--dead_count];
      free(s->pending);
      free(s);
    }
  }
}
