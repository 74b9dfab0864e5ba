/* What the recorder keeps until its end: frames as (connection, text, time), and each distinct text once.
 *
 * Texts are told apart by their bytes, not by a hash alone, so equal numbers mean equal bytes.
 */

#ifndef RECORDING_H
#define RECORDING_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXTS_BYTES_MAX (2ull << 30)
#define SLOTS (1u << 20)
#define TEXTS_MAX (SLOTS / 2)

struct text {
  uint64_t hash;
  uint32_t len;
  uint8_t is_deflated;
  char *bytes;
};

struct frame {
  uint32_t connection, text;
  uint64_t at_ns;
};

static struct text *texts;
static uint32_t *slots, text_count;
static uint64_t texts_bytes;
static struct frame *frames;
static uint64_t frame_count, frame_size;

static void die(const char *what) {
  fprintf(stderr, "recorder: %s: %s\n", what, errno ? strerror(errno) : "-");
  exit(1);
}

static void *allocate(void *old, size_t size) {
  void *found = realloc(old, size);
  if (!found) die("memory");
  return found;
}

static void begin_recording(void) {
  texts = calloc(TEXTS_MAX, sizeof *texts);
  slots = calloc(SLOTS, sizeof *slots);
  if (!texts || !slots) die("memory");
}

/* Fast, not strong: equal hashes are compared byte by byte. */
static uint64_t hash_of(const char *bytes, size_t len) {
  uint64_t hash = len * 0x9e3779b97f4a7c15ull, word;
  for (; len >= 8; bytes += 8, len -= 8) {
    memcpy(&word, bytes, 8);
    hash = (hash ^ word) * 0xff51afd7ed558ccdull;
    hash ^= hash >> 32;
  }
  word = 0;
  memcpy(&word, bytes, len);
  hash = (hash ^ word) * 0xff51afd7ed558ccdull;
  return hash ^ (hash >> 29);
}

static uint32_t text_number(const char *bytes, size_t len, int is_deflated) {
  uint64_t hash = hash_of(bytes, len) + (uint64_t)is_deflated;
  uint32_t at = (uint32_t)hash & (SLOTS - 1);
  for (; slots[at]; at = (at + 1) & (SLOTS - 1)) {
    struct text *known = &texts[slots[at] - 1];
    if (known->hash == hash && known->len == len && known->is_deflated == is_deflated && !memcmp(known->bytes, bytes, len))
      return slots[at] - 1;
  }
  errno = 0;
  if (text_count == TEXTS_MAX || (texts_bytes += len) > TEXTS_BYTES_MAX) die("too many different texts");
  struct text *new = &texts[text_count];
  *new = (struct text){hash, (uint32_t)len, (uint8_t)is_deflated, allocate(NULL, len + 1)};
  memcpy(new->bytes, bytes, len);
  slots[at] = ++text_count;
  return text_count - 1;
}

static void record(uint32_t connection, uint32_t text, uint64_t at_ns) {
  if (frame_count == frame_size) {
    frame_size = frame_size ? frame_size * 2 : 1 << 16;
    frames = allocate(frames, frame_size * sizeof *frames);
  }
  frames[frame_count++] = (struct frame){connection, text, at_ns};
}

static void write_frames(FILE *file) {
  for (uint64_t i = 0; i < frame_count; i++) fwrite(&frames[i].connection, 4, 1, file);
  for (uint64_t i = 0; i < frame_count; i++) fwrite(&frames[i].text, 4, 1, file);
  for (uint64_t i = 0; i < frame_count; i++) fwrite(&frames[i].at_ns, 8, 1, file);
}

static void write_texts(FILE *file) {
  for (uint32_t i = 0; i < text_count; i++) {
    uint32_t row[2] = {texts[i].len, texts[i].is_deflated};
    fwrite(row, sizeof row, 1, file);
    fwrite(texts[i].bytes, texts[i].len, 1, file);
  }
}

#endif
