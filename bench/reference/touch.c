/*
 * A plugin of QEMU's TCG that notes each physical page that kernel code touches, by a callback on every memory access:
 * what one needs there to see what the monitor sees. The declarations are those of QEMU's public plugin interface.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef uint64_t plugin_id;
typedef uint32_t access_info;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_hwaddr;
enum { NO_REGISTERS = 0, READS_AND_WRITES = 3 };

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_mem_cb(
    struct qemu_plugin_insn *, void (*)(unsigned, access_info, uint64_t, void *), int registers, int kinds, void *);
extern void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
extern struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(access_info, uint64_t);
extern uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = API_VERSION;

/* One bit for each page of 4 KiB below 4 GiB; the job has 512 MiB. */
enum { PAGE_SHIFT = 12, WORDS = 1 << 14 };
static uint64_t page_bits[WORDS];

static uint64_t kernel_accesses, user_accesses;

static void user_access(unsigned cpu, access_info info, uint64_t linear, void *data) {
  (void)cpu, (void)info, (void)linear, (void)data;
  user_accesses++;
}

static void kernel_access(unsigned cpu, access_info info, uint64_t linear, void *data) {
  (void)cpu, (void)data;
  kernel_accesses++;
  const struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, linear);
  if (where == NULL) {
    return;
  }
  uint64_t page = qemu_plugin_hwaddr_phys_addr(where) >> PAGE_SHIFT;
  if (page / 64 < WORDS) {
    page_bits[page / 64] |= UINT64_C(1) << page % 64;
  }
}

/* Linux keeps the upper half of the addresses for its kernel. */
static int is_kernel(const struct qemu_plugin_insn *instruction) {
  return (int64_t)qemu_plugin_insn_vaddr(instruction) < 0;
}

static void watch_block(plugin_id id, struct qemu_plugin_tb *block) {
  (void)id;
  for (size_t left = qemu_plugin_tb_n_insns(block); left > 0; left--) {
    struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, left - 1);
    qemu_plugin_register_vcpu_mem_cb(
        instruction, is_kernel(instruction) ? kernel_access : user_access, NO_REGISTERS, READS_AND_WRITES, NULL);
  }
}

static void report(plugin_id id, void *data) {
  (void)id, (void)data;
  int pages = 0;
  for (const uint64_t *word = page_bits; word < page_bits + WORDS; word++) {
    pages += __builtin_popcountll(*word);
  }
  fprintf(stderr, "\nTOUCHED-PAGES %d, accesses of the kernel %llu, of users %llu\n", pages,
      (unsigned long long)kernel_accesses, (unsigned long long)user_accesses);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *machine, int count, char **options) {
  (void)machine, (void)count, (void)options;
  qemu_plugin_register_atexit_cb(id, report, NULL);
  qemu_plugin_register_vcpu_tb_trans_cb(id, watch_block);
  return 0;
}
