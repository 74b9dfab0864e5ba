/* Many WebSocket viewers in one process that write down what came to whom and when, and do as little else as possible.
 *
 *   recorder HOST PORT PATH CONNECTIONS FRAMES_UNTIL_READY SCRIPT OUT [--deflate] [--stalled N] [--per-s N]
 *
 * Each connection upgrades, then sends its line of SCRIPT (messages separated by the byte 0x1e; the lines are used in
 * turn). When all have FRAMES_UNTIL_READY frames, `ready` is printed; when one is lost before, `lost CODE`. With
 * --stalled the first N connections stop reading then, until SIGUSR1. SIGTERM ends it: OUT gets every frame as
 * (connection, text, time), each distinct text once, and each connection's last word; a line of JSON sums up.
 *
 * It looks twice a millisecond instead of being woken: on one machine the sender would pay for waking it, with every
 * frame that finds it asleep, which no sender does over a network.
 *
 * What came is kept as recording.h says. Times are CLOCK_MONOTONIC
 * (Python's time.monotonic_ns), taken when the bytes were read. Frames are masked with the key 0 (RFC 6455, 5.3).
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "recording.h"

#define READ_BYTES (1 << 20)
#define TEXT_BYTES_MAX (64ull << 20)
#define STALLED_RECEIVE_BYTES 16384
#define EVENTS_MAX 1024
#define LOOK_EVERY_NS 500000

enum state { CONNECTING, UPGRADING, OPEN, CLOSED };

struct connection {
  int fd;
  enum state state;
  uint32_t frames;
  uint16_t close_code; /* 0 while open, 1006 without a close frame */
  int stalled;
  uint64_t asked_ns, upgraded_ns, ready_ns;
  char *rest; /* of a frame that has not come whole */
  size_t rest_len, rest_size;
};

static struct connection *connections;
static uint32_t connection_count, ready_count, frames_until_ready, stalled_count, lost_count, refused_count;
static char **script;
static uint32_t script_count;
static const char *host, *path;
static int port, epoll_fd, with_deflate;
static char *buffer;

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void send_frame(struct connection *c, int opcode, const char *bytes, size_t len) {
  char head[14] = {(char)(0x80 | opcode)};
  size_t size = 2;
  if (len < 126) {
    head[1] = (char)(0x80 | len);
  } else {
    head[1] = (char)(0x80 | 126);
    head[2] = (char)(len >> 8);
    head[3] = (char)len;
    size = 4;
  }
  size += 4; /* the masking key, 0 */
  char *whole = allocate(NULL, size + len);
  memcpy(whole, head, size);
  memcpy(whole + size, bytes, len);
  /* A few hundred bytes into an empty buffer. */
  if (len > 65535 || write(c->fd, whole, size + len) != (ssize_t)(size + len)) c->state = CLOSED;
  free(whole);
}

static void end(struct connection *c, uint16_t code) {
  if (c->fd < 0) return;
  close(c->fd);
  c->fd = -1;
  c->state = CLOSED;
  c->close_code = code;
  if (!lost_count++ && ready_count < connection_count) {
    printf("lost %u\n", code);
    fflush(stdout);
  }
}

static void connect_one(struct connection *c) {
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) die("socket");
  int yes = 1, small = STALLED_RECEIVE_BYTES;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  if (c->stalled) setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) die("expected an IPv4 address");
  c->asked_ns = now_ns();
  c->state = CONNECTING;
  if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
    refused_count++;
    end(c, 1006);
    return;
  }
  struct epoll_event event = {.events = EPOLLOUT, .data.u32 = (uint32_t)(c - connections)};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0) die("epoll_ctl");
}

static void ask_upgrade(struct connection *c) {
  char request[1024];
  int len = snprintf(request, sizeof request,
                     "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                     path, host, port,
                     with_deflate ? "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; "
                                    "server_no_context_takeover\r\n"
                                  : "");
  if (write(c->fd, request, (size_t)len) != len) {
    refused_count++;
    end(c, 1006);
    return;
  }
  c->state = UPGRADING;
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)(c - connections)};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
}

static void say_script(struct connection *c) {
  if (!script_count) return;
  char *at = script[(uint32_t)(c - connections) % script_count];
  while (*at) {
    size_t len = strcspn(at, "\x1e");
    send_frame(c, 1, at, len);
    at += len + (at[len] != 0);
  }
}

static void on_ready(struct connection *c, uint64_t at_ns) {
  c->ready_ns = at_ns;
  if (++ready_count == connection_count) {
    for (uint32_t i = 0; i < stalled_count; i++)
      if (connections[i].fd >= 0) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, connections[i].fd, NULL);
    puts("ready");
    fflush(stdout);
  }
}

static void on_frame(struct connection *c, int first, const char *bytes, size_t len, uint64_t at_ns) {
  int opcode = first & 0x0f, is_deflated = (first & 0x40) != 0;
  if (opcode == 9) {
    send_frame(c, 10, bytes, len);
  } else if (opcode == 8) {
    uint16_t code = len >= 2 ? (uint16_t)(((uint8_t)bytes[0] << 8) | (uint8_t)bytes[1]) : 1005;
    send_frame(c, 8, bytes, len < 2 ? 0 : 2);
    end(c, code);
  } else if (opcode == 1 || opcode == 2) {
    if (len == 1 && bytes[0] == '2') { /* Engine.IO's ping */
      send_frame(c, 1, "3", 1);
      return;
    }
    record((uint32_t)(c - connections), text_number(bytes, len, is_deflated), at_ns);
    if (++c->frames == frames_until_ready) on_ready(c, at_ns);
  }
}

/* Take whole frames from `bytes`; returns how much was taken. */
static size_t take_frames(struct connection *c, const char *bytes, size_t len, uint64_t at_ns) {
  size_t at = 0;
  while (c->fd >= 0 && len - at >= 2) {
    const uint8_t *p = (const uint8_t *)bytes + at;
    uint64_t size = p[1] & 0x7f;
    size_t head = 2;
    if (size == 126) {
      if (len - at < 4) break;
      size = (uint64_t)p[2] << 8 | p[3];
      head = 4;
    } else if (size == 127) {
      if (len - at < 10) break;
      size = 0;
      for (int i = 2; i < 10; i++) size = size << 8 | p[i];
      head = 10;
    }
    errno = 0;
    if (size > TEXT_BYTES_MAX || !(p[0] & 0x80) || (p[1] & 0x80)) die("a frame that was not expected");
    if (len - at < head + size) break;
    on_frame(c, p[0], bytes + at + head, size, at_ns);
    at += head + size;
  }
  return at;
}

static size_t take_upgrade(struct connection *c, const char *bytes, size_t len, uint64_t at_ns) {
  const char *found = memmem(bytes, len, "\r\n\r\n", 4);
  if (!found) return 0;
  if (len < 12 || memcmp(bytes, "HTTP/1.1 101", 12)) {
    if (!refused_count) fprintf(stderr, "recorder: no upgrade: %.*s\n", (int)(len < 200 ? len : 200), bytes);
    refused_count++;
    end(c, 1006);
    return len;
  }
  c->state = OPEN;
  c->upgraded_ns = at_ns;
  if (!frames_until_ready) on_ready(c, at_ns);
  say_script(c);
  return (size_t)(found - bytes) + 4;
}

static void on_readable(struct connection *c) {
  memcpy(buffer, c->rest, c->rest_len);
  ssize_t got = read(c->fd, buffer + c->rest_len, READ_BYTES);
  if (got <= 0) {
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    end(c, 1006);
    return;
  }
  uint64_t at_ns = now_ns();
  size_t len = c->rest_len + (size_t)got, at = 0;
  if (c->state == UPGRADING) at = take_upgrade(c, buffer, len, at_ns);
  if (c->state == OPEN) at += take_frames(c, buffer + at, len - at, at_ns);
  c->rest_len = len - at;
  if (c->rest_len > c->rest_size) {
    c->rest_size = c->rest_len * 2;
    c->rest = allocate(c->rest, c->rest_size);
  }
  memcpy(c->rest, buffer + at, c->rest_len);
}

static void wake_stalled(void) {
  for (uint32_t i = 0; i < stalled_count; i++) {
    if (connections[i].fd < 0) continue;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connections[i].fd, &event);
  }
}

static void read_script(const char *name) {
  FILE *file = fopen(name, "r");
  if (!file) die(name);
  char *line = NULL;
  size_t size = 0;
  ssize_t len;
  while ((len = getline(&line, &size, file)) > 0) {
    if (line[len - 1] == '\n') line[len - 1] = 0;
    script = allocate(script, (script_count + 1) * sizeof *script);
    script[script_count++] = strdup(line);
  }
  free(line);
  fclose(file);
}

static void write_all(const char *name) {
  FILE *file = fopen(name, "wb");
  if (!file) die(name);
  uint64_t head[3] = {frame_count, text_count, connection_count};
  fwrite(head, sizeof head, 1, file);
  write_frames(file);
  for (uint32_t i = 0; i < connection_count; i++) {
    struct connection *c = &connections[i];
    uint64_t row[4] = {c->asked_ns, c->upgraded_ns, c->ready_ns, c->close_code};
    fwrite(row, sizeof row, 1, file);
  }
  write_texts(file);
  if (fclose(file)) die(name);
}

static void run(const char *out, double per_s) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGUSR1);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = UINT32_MAX}, events[EVENTS_MAX];
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, signal_fd, &event);
  const struct timespec pause = {.tv_nsec = LOOK_EVERY_NS};
  uint64_t since = now_ns();
  uint32_t begun = 0;
  for (;;) {
    double elapsed_s = (double)(now_ns() - since) / 1e9;
    while (begun < connection_count && (per_s == 0 || (double)begun <= elapsed_s * per_s)) connect_one(&connections[begun++]);
    int count = epoll_wait(epoll_fd, events, EVENTS_MAX, 0);
    if (!count) nanosleep(&pause, NULL);
    for (int i = 0; i < count; i++) {
      if (events[i].data.u32 == UINT32_MAX) {
        struct signalfd_siginfo info;
        if (read(signal_fd, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR1) {
          wake_stalled();
          continue;
        }
        write_all(out);
        return;
      }
      struct connection *c = &connections[events[i].data.u32];
      if (c->fd < 0) continue;
      if (c->state == CONNECTING)
        ask_upgrade(c);
      else
        on_readable(c);
    }
  }
}

int main(int argc, char **argv) {
  errno = 0;
  if (argc < 8) die("expected HOST PORT PATH CONNECTIONS FRAMES_UNTIL_READY SCRIPT OUT [options]");
  host = argv[1], port = atoi(argv[2]), path = argv[3];
  connection_count = (uint32_t)atoi(argv[4]), frames_until_ready = (uint32_t)atoi(argv[5]);
  double per_s = 0;
  for (int i = 8; i < argc; i++) {
    if (!strcmp(argv[i], "--deflate"))
      with_deflate = 1;
    else if (!strcmp(argv[i], "--stalled") && i + 1 < argc)
      stalled_count = (uint32_t)atoi(argv[++i]);
    else if (!strcmp(argv[i], "--per-s") && i + 1 < argc)
      per_s = atof(argv[++i]);
    else
      die(argv[i]);
  }
  read_script(argv[6]);
  signal(SIGPIPE, SIG_IGN);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  connections = calloc(connection_count, sizeof *connections);
  begin_recording();
  buffer = allocate(NULL, READ_BYTES + TEXT_BYTES_MAX + 16);
  for (uint32_t i = 0; i < stalled_count && i < connection_count; i++) connections[i].stalled = 1;
  run(argv[7], per_s);
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  printf("{\"cpu_s\": %.3f, \"frames\": %llu, \"texts\": %u, \"lost\": %u, \"refused\": %u}\n",
         (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6,
         (unsigned long long)frame_count, text_count, lost_count, refused_count);
  return 0;
}
