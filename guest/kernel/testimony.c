/*
 * Says what the kernel itself says of its memory, for a comparison with what is seen from outside.
 *
 * Reads everything into memory that is there already, issues the marker instruction with operation
 * 7, at which the machine looks for itself, and only then prints. To be run as root, with
 * /proc/sys/kernel/kptr_restrict 1, so that addresses are true. Output:
 *
 *   self NAME FRAME          frames of this process's own memory (hexadecimal)
 *   flags FRAME COUNT FLAGS  a run of frames with equal /proc/kpageflags (FRAME and FLAGS
 *                            hexadecimal; Documentation/admin-guide/mm/pagemap.rst)
 *   task PID COMM            from /proc/PID/comm
 *   slabinfo LINE            lines of these files of /proc
 *   vmallocinfo LINE
 *   modules LINE
 *   kallsyms LINE            only those of modules
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MARKER_LEAF = 0x52494e47, LOOK = 7, MOST_FRAMES = 1 << 18, TEXT = 1 << 17, TASKS = 512 };

static uint64_t flags[MOST_FRAMES];
static char slabinfo[TEXT], vmallocinfo[TEXT], modules[TEXT];
static struct {
  int pid;
  char comm[16];
} tasks[TASKS];

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void marker(uint32_t operation) {
  uint32_t a = MARKER_LEAF, b = 0, c = operation, d = 0;
  __asm__ volatile("cpuid" : "+a"(a), "+b"(b), "+c"(c), "+d"(d));
}

static uint64_t frame_of(int pagemap, const void *address) {
  uint64_t entry = 0;
  off_t at = (off_t)((uintptr_t)address / 4096 * sizeof entry);
  if (pread(pagemap, &entry, sizeof entry, at) != sizeof entry) {
    fail("/proc/self/pagemap");
  }
  return entry & ((UINT64_C(1) << 55) - 1);
}

static char *map(int file, int sharing) {
  char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, sharing, file, 0);
  if (memory == MAP_FAILED) {
    fail("mmap");
  }
  memory[0] = 1;
  return memory;
}

static size_t read_all(const char *path, void *target, size_t size) {
  int file = open(path, O_RDONLY);
  size_t length = 0;
  ssize_t bytes;
  if (file < 0) {
    fail(path);
  }
  while (length < size && (bytes = read(file, (char *)target + length, size - length)) > 0) {
    length += (size_t)bytes;
  }
  close(file);
  return length;
}

static int read_tasks(void) {
  DIR *proc = opendir("/proc");
  struct dirent *entry;
  int count = 0;
  if (proc == NULL) {
    fail("/proc");
  }
  while (count < TASKS && (entry = readdir(proc)) != NULL) {
    if (isdigit((unsigned char)entry->d_name[0])) {
      char path[300];
      snprintf(path, sizeof path, "/proc/%s/comm", entry->d_name);
      tasks[count].pid = atoi(entry->d_name);
      size_t length = read_all(path, tasks[count].comm, sizeof tasks[count].comm);
      tasks[count].comm[length > 0 ? length - 1 : 0] = 0;
      count++;
    }
  }
  closedir(proc);
  return count;
}

static void print_lines(const char *name, char *text) {
  for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
    printf("%s %s\n", name, line);
  }
}

static void print_symbols_of_modules(void) {
  FILE *file = fopen("/proc/kallsyms", "r");
  char line[1024];
  if (file == NULL) {
    fail("/proc/kallsyms");
  }
  while (fgets(line, sizeof line, file) != NULL) {
    if (strchr(line, '[') != NULL) {
      printf("kallsyms %s", line);
    }
  }
  fclose(file);
}

int main(void) {
  int file = open("/tmp/shared-file", O_RDWR | O_CREAT, 0600);
  int pagemap = open("/proc/self/pagemap", O_RDONLY);
  if (file < 0 || ftruncate(file, 4096) != 0 || pagemap < 0) {
    fail("files");
  }
  char *anonymous = map(-1, MAP_PRIVATE | MAP_ANONYMOUS);
  char *shared = map(-1, MAP_SHARED | MAP_ANONYMOUS);
  char *mapped = map(file, MAP_SHARED);
  memset(flags, 0xff, sizeof flags);
  memset(slabinfo, ' ', TEXT);
  memset(vmallocinfo, ' ', TEXT);
  memset(modules, ' ', TEXT);
  memset(tasks, 0xff, sizeof tasks);
  setvbuf(stdout, malloc(TEXT), _IOFBF, TEXT);
  uint64_t frames[] = {
      frame_of(pagemap, anonymous), frame_of(pagemap, shared), frame_of(pagemap, mapped)};
  int task_count = read_tasks();
  modules[read_all("/proc/modules", modules, TEXT - 1)] = 0;
  vmallocinfo[read_all("/proc/vmallocinfo", vmallocinfo, TEXT - 1)] = 0;
  slabinfo[read_all("/proc/slabinfo", slabinfo, TEXT - 1)] = 0;
  size_t count = read_all("/proc/kpageflags", flags, sizeof flags) / sizeof flags[0];
  marker(LOOK);
  printf("self anonymous %llx\n", (unsigned long long)frames[0]);
  printf("self shared %llx\n", (unsigned long long)frames[1]);
  printf("self file %llx\n", (unsigned long long)frames[2]);
  for (size_t first = 0, next; first < count; first = next) {
    for (next = first + 1; next < count && flags[next] == flags[first]; next++) {
    }
    printf("flags %zx %zu %llx\n", first, next - first, (unsigned long long)flags[first]);
  }
  for (int i = 0; i < task_count; i++) {
    printf("task %d %s\n", tasks[i].pid, tasks[i].comm);
  }
  print_lines("slabinfo", slabinfo);
  print_lines("vmallocinfo", vmallocinfo);
  print_lines("modules", modules);
  print_symbols_of_modules();
  return 0;
}
