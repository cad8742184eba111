/*
 * Says what the kernel itself says of every page frame, for a comparison from outside.
 *
 * Reads all of /proc/kpageflags, then issues the marker instruction with operation 7, at which the
 * machine looks for itself, and then prints what it had read: one line "FRAME COUNT FLAGS" for each
 * run of equal flags (frame and flags in hexadecimal; Documentation/admin-guide/mm/pagemap.rst).
 * Lines "self NAME FRAME" tell frames of memory of this process whose kind is known.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MARKER_LEAF = 0x52494e47, LOOK = 7, MOST_FRAMES = 1 << 20 };

static uint64_t flags[MOST_FRAMES];

static void marker(uint32_t operation) {
  uint32_t a = MARKER_LEAF, b = 0, c = operation, d = 0;
  __asm__ volatile("cpuid" : "+a"(a), "+b"(b), "+c"(c), "+d"(d));
}

static uint64_t frame_of(int pagemap, const void *address) {
  uint64_t entry = 0;
  off_t at = (off_t)((uintptr_t)address / 4096 * sizeof entry);
  if (pread(pagemap, &entry, sizeof entry, at) != sizeof entry) {
    perror("/proc/self/pagemap");
    exit(1);
  }
  return entry & ((UINT64_C(1) << 55) - 1);
}

static char *map(int fd, int sharing) {
  char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, sharing, fd, 0);
  if (memory == MAP_FAILED) {
    perror("mmap");
    exit(1);
  }
  memory[0] = 1;
  return memory;
}

int main(void) {
  int file = open("/tmp/shared-file", O_RDWR | O_CREAT, 0600);
  if (file < 0 || ftruncate(file, 4096) != 0) {
    perror("/tmp/shared-file");
    return 1;
  }
  char *anonymous = map(-1, MAP_PRIVATE | MAP_ANONYMOUS);
  char *shared = map(-1, MAP_SHARED | MAP_ANONYMOUS);
  char *mapped = map(file, MAP_SHARED);
  int pagemap = open("/proc/self/pagemap", O_RDONLY);
  int kpageflags = open("/proc/kpageflags", O_RDONLY);
  if (pagemap < 0 || kpageflags < 0) {
    perror("/proc");
    return 1;
  }
  uint64_t frames[] = {
      frame_of(pagemap, anonymous), frame_of(pagemap, shared), frame_of(pagemap, mapped)};
  memset(flags, 0xff, sizeof flags);
  size_t count = 0;
  while (count < MOST_FRAMES) {
    ssize_t bytes = read(kpageflags, flags + count, sizeof flags - count * sizeof flags[0]);
    if (bytes <= 0) {
      break;
    }
    count += (size_t)bytes / sizeof flags[0];
  }
  marker(LOOK);
  printf("self anonymous %llx\n", (unsigned long long)frames[0]);
  printf("self shared %llx\n", (unsigned long long)frames[1]);
  printf("self file %llx\n", (unsigned long long)frames[2]);
  for (size_t first = 0, next; first < count; first = next) {
    for (next = first + 1; next < count && flags[next] == flags[first]; next++) {
    }
    printf("%zx %zu %llx\n", first, next - first, (unsigned long long)flags[first]);
  }
  return 0;
}
