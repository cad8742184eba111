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

enum { PAGES = 1 << 20, USER = 0, KERNEL = 1 };
static unsigned char touched[PAGES];
static unsigned long accesses[2];

static void access_made(unsigned cpu, access_info info, uint64_t address, void *kind) {
  (void)cpu;
  accesses[(uintptr_t)kind]++;
  if ((uintptr_t)kind == KERNEL) {
    const struct qemu_plugin_hwaddr *physical = qemu_plugin_get_hwaddr(info, address);
    if (physical != NULL) {
      touched[(qemu_plugin_hwaddr_phys_addr(physical) >> 12) % PAGES] = 1;
    }
  }
}

static void block_translated(plugin_id id, struct qemu_plugin_tb *block) {
  (void)id;
  for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
    struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, i);
    /* Linux's kernel is in the upper half of the addresses. */
    uintptr_t kind = qemu_plugin_insn_vaddr(instruction) >> 63 ? KERNEL : USER;
    qemu_plugin_register_vcpu_mem_cb(instruction, access_made, NO_REGISTERS, READS_AND_WRITES, (void *)kind);
  }
}

static void end(plugin_id id, void *data) {
  (void)id;
  (void)data;
  unsigned long pages = 0;
  for (size_t i = 0; i < PAGES; i++) {
    pages += touched[i];
  }
  fprintf(stderr, "\nTOUCHED-PAGES %lu, kernel accesses %lu, user accesses %lu\n", pages, accesses[KERNEL], accesses[USER]);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int count, char **arguments) {
  (void)info;
  (void)count;
  (void)arguments;
  qemu_plugin_register_vcpu_tb_trans_cb(id, block_translated);
  qemu_plugin_register_atexit_cb(id, end, NULL);
  return 0;
}
