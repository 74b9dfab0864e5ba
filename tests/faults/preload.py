"""A clock for each process that a test can shift, by a library that is loaded before all others."""

import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The shift in microseconds, in a file that the test writes to. */
static volatile int64_t *shift;
static int (*real)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("FAULT_CLOCK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  real = dlsym(RTLD_NEXT, "clock_gettime");
  if (file < 0) return;
  void *found = mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (found != MAP_FAILED) shift = found;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int done = real(clock, at);
  if (done || !shift || clock != CLOCK_REALTIME) return done;
  int64_t us = at->tv_sec * 1000000LL + at->tv_nsec / 1000 + *shift;
  at->tv_sec = us / 1000000;
  at->tv_nsec = us % 1000000 * 1000;
  return 0;
}

int gettimeofday(struct timeval *at, void *zone) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}
"""


class Clocks:
    """One clock per name, which is not shifted at first."""

    def __init__(self, library: Path) -> None:
        self._library = library

    @classmethod
    def make(cls, folder: Path) -> "Clocks | None":
        """Compile the library. Returns None where there is no compiler."""
        compiler = shutil.which("cc")
        if compiler is None:
            return None
        folder.mkdir()
        source, library = folder / "clock.c", folder / "clock.so"
        source.write_text(SOURCE)
        command = [compiler, "-shared", "-fPIC", "-O1", "-w", "-o", str(library), str(source), "-ldl"]
        done = subprocess.run(command, capture_output=True, check=False)
        return cls(library) if done.returncode == 0 else None

    def _file(self, name: str) -> Path:
        return self._library.with_name(name.replace(" ", "-"))

    def shift(self, name: str, seconds: float) -> None:
        with self._file(name).open("r+b") as file:
            file.write(struct.pack("q", int(seconds * 1_000_000)))

    def environ(self, name: str) -> dict[str, str]:
        """Return the environment to start a process with; its clock begins right."""
        self._file(name).write_bytes(struct.pack("q", 0))
        return {"LD_PRELOAD": str(self._library), "FAULT_CLOCK": str(self._file(name))}
