/*
 * Executes single instructions on the host's real processor and reports what they did.
 *
 * Constraint that shapes everything here: a case may leave every register, the flags and both segment bases with any value, so
 * nothing may be needed afterwards that is not at a fixed address below 2 GiB. Hence no C library, no thread-local storage, a
 * static executable at a low address, and an exit path that addresses memory absolutely. Low addresses also let the same data be
 * used by 32-bit code (compatibility mode, selector 23H of Linux).
 *
 * usage: runner FILE SLOTS
 * FILE holds 2 * SLOTS records (struct record below): inputs, then outputs. Standard input carries requests of two 32-bit
 * numbers, first slot and count; after each one the count is written to standard output.
 *
 * Non-faulting cases cost no system call. A fault becomes a signal; its handler stores the state from the signal frame and
 * returns to the point after the call of the case.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <asm/unistd.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

/* Both must agree with CaseLayout.java. */
#define CODE_BASE 0x30000000ul
#define CODE_SIZE 0x2000ul
#define DATA_BASE 0x20000000ul
#define DATA_SIZE 0x2000ul
#define MIDDLE (DATA_BASE + 0xe00)
#define MIDDLE_SIZE 1024
#define LAST (DATA_BASE + DATA_SIZE - 256)
#define LAST_SIZE 256
#define FS_BASE (DATA_BASE + 0x1000)
#define GS_BASE (DATA_BASE - 0x1000)

enum flags { PROTECTED32 = 1, FLOATING = 2, MEMORY = 4, BRANCH = 8, SEGMENTS = 16 };
enum outcome { COMPLETED = 0, EXCEPTION = 1, ENDLESS = 2 };

struct record {
  uint32_t flags;       /* in: enum flags; out: enum outcome */
  uint32_t length;      /* in: bytes of code; out: vector */
  uint8_t code[16];     /* in: the instruction; out: error code (8 bytes), fault address (8 bytes) */
  uint64_t rip;         /* in: where the instruction is; out: RIP */
  uint64_t rflags;
  uint64_t fs_base;
  uint64_t gs_base;
  uint64_t spare;
  uint64_t gpr[16];     /* in the order of their encoding */
  uint16_t selector[8]; /* ES CS SS DS FS GS */
  uint64_t spare2[6];
  uint8_t fx[512];      /* FXSAVE64 image */
  uint8_t middle[MIDDLE_SIZE];
  uint8_t last[LAST_SIZE];
};
_Static_assert(sizeof(struct record) == 2048, "records are 2048 bytes");
_Static_assert(offsetof(struct record, fx) == 256, "FXRSTOR needs an image aligned to 16 bytes");

/* Read and written by the assembly below through absolute addresses. */
uint64_t state_gpr[16];
uint64_t state_flags;
uint64_t saved_rsp;
struct __attribute__((packed)) { uint32_t offset; uint16_t selector; uint64_t offset64; } entry;
uint64_t exit_pointer;
extern char exit64[], exit_after_signal[];
long enter(void);

__asm__(
    ".globl enter, exit64, exit_after_signal\n"
    "enter:\n"
    "  push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "  mov %rsp, saved_rsp\n"
    "  pushq state_flags; popfq\n"
    "  mov state_gpr, %rax;     mov state_gpr+8, %rcx;   mov state_gpr+16, %rdx;  mov state_gpr+24, %rbx\n"
    "  mov state_gpr+32, %rsp;  mov state_gpr+40, %rbp;  mov state_gpr+48, %rsi;  mov state_gpr+56, %rdi\n"
    "  mov state_gpr+64, %r8;   mov state_gpr+72, %r9;   mov state_gpr+80, %r10;  mov state_gpr+88, %r11\n"
    "  mov state_gpr+96, %r12;  mov state_gpr+104, %r13; mov state_gpr+112, %r14; mov state_gpr+120, %r15\n"
    "  ljmp *entry\n"
    "exit64:\n"
    "  mov %rax, state_gpr;     mov %rcx, state_gpr+8;   mov %rdx, state_gpr+16;  mov %rbx, state_gpr+24\n"
    "  mov %rsp, state_gpr+32;  mov %rbp, state_gpr+40;  mov %rsi, state_gpr+48;  mov %rdi, state_gpr+56\n"
    "  mov %r8, state_gpr+64;   mov %r9, state_gpr+72;   mov %r10, state_gpr+80;  mov %r11, state_gpr+88\n"
    "  mov %r12, state_gpr+96;  mov %r13, state_gpr+104; mov %r14, state_gpr+112; mov %r15, state_gpr+120\n"
    "  mov saved_rsp, %rsp\n"
    "  pushfq; popq state_flags\n"
    "  xor %eax, %eax\n"
    "  jmp 1f\n"
    "exit_after_signal:\n"
    "  mov saved_rsp, %rsp\n"
    "  mov $1, %eax\n"
    "1: pushq $2; popfq\n"
    "  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "  ret\n"
    ".globl restorer\n"
    "restorer: mov $15, %eax; syscall\n" /* rt_sigreturn */
    ".globl _start\n"
    "_start: mov %rsp, %rdi; and $-16, %rsp; call start\n");
void restorer(void);

static long call(long number, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

void *memcpy(void *to, const void *from, size_t n) {
  void *start = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
  return start;
}

void *memset(void *to, int value, size_t n) {
  void *start = to;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory");
  return start;
}

static void copy_words(void *to, const void *from, size_t n) {
  n /= 8;
  __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

static _Noreturn void fail(const char *message) {
  size_t n = 0;
  while (message[n]) n++;
  call(__NR_write, 2, (long)message, n, 0, 0, 0);
  call(__NR_exit_group, 2, 0, 0, 0, 0, 0);
  __builtin_unreachable();
}

static void write_hexadecimal(char *to, uint64_t value, int digits) {
  for (int i = digits - 1; i >= 0; i--, value >>= 4) {
    to[i] = "0123456789abcdef"[value & 15];
  }
}

static struct record *running; /* the output of the case that executes, or null */
static uint64_t cases, cases_at_last_tick;
static uint32_t running_flags;

/* Beyond 32 bits: if RSP of a case points into this stack, the kernel takes it for one in use. */
#define SIGNAL_STACK 0x5a3b00000000ul
#define SIGNAL_STACK_SIZE 65536ul

#define TO_VECTOR "runner: a signal outside of a case, vector 0x"
#define TO_RIP TO_VECTOR "00, RIP 0x"

static void handle(int number, siginfo_t *info, void *context) {
  __asm__ volatile("pushq $2; popfq" ::: "cc", "memory"); /* AC may be set */
  greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
  struct record *out = running;
  if (number == SIGALRM && (!out || cases != cases_at_last_tick)) {
    cases_at_last_tick = cases;
    return;
  }
  if (!out) {
    static char message[] = TO_RIP "0000000000000000\n";
    write_hexadecimal(message + sizeof(TO_VECTOR) - 1, g[REG_TRAPNO], 2);
    write_hexadecimal(message + sizeof(TO_RIP) - 1, g[REG_RIP], 16);
    fail(message);
  }
  static const uint8_t order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                    REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  for (int i = 0; i < 16; i++) {
    out->gpr[i] = g[order[i]];
  }
  out->rip = g[REG_RIP];
  out->rflags = g[REG_EFL];
  out->flags = number == SIGALRM ? ENDLESS : EXCEPTION;
  out->length = g[REG_TRAPNO];
  uint64_t error = g[REG_ERR];
  uint64_t address = g[REG_TRAPNO] == 14 ? (uint64_t)g[REG_CR2] : 0;
  memcpy(out->code, &error, 8);
  memcpy(out->code + 8, &address, 8);
  if (running_flags & FLOATING) {
    copy_words(out->fx, ((ucontext_t *)context)->uc_mcontext.fpregs, 512);
  }
  running = 0;
  g[REG_RIP] = (greg_t)exit_after_signal;
  g[REG_CSGSFS] = 0x002b000000000033;
  g[REG_EFL] = 2;
  (void)info;
}

static void catch_signal(int number) {
  struct {
    void *handler;
    unsigned long flags;
    void *restorer;
    unsigned long mask;
  } action = {(void *)handle, SA_SIGINFO | SA_ONSTACK | SA_NODEFER | 0x04000000 /* SA_RESTORER */, (void *)restorer, 0};
  if (call(__NR_rt_sigaction, number, (long)&action, 0, 8, 0, 0) != 0) {
    fail("runner: rt_sigaction failed\n");
  }
}

static void map_fixed(uint64_t address, size_t size, int protection, int flags, int file) {
  if (call(__NR_mmap, address, size, protection, flags | MAP_FIXED_NOREPLACE, file, 0) != (long)address) {
    fail("runner: cannot map memory at its fixed address\n");
  }
}

static void set_segments(void) {
  __asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %1, %%fs; mov %1, %%gs" : : "r"(0x2b), "r"(0));
  call(__NR_arch_prctl, ARCH_SET_FS, FS_BASE, 0, 0, 0, 0);
  call(__NR_arch_prctl, ARCH_SET_GS, GS_BASE, 0, 0, 0, 0);
}

/* Code pages hold INT3 wherever no case put its code: a branch then shows where it went. */
static struct {
  uint32_t flags, length;
  uint8_t code[16];
  uint64_t rip;
} placed;

static void place(const struct record *in) {
  if (placed.rip == in->rip && placed.flags == in->flags && placed.length == in->length &&
      ((const uint64_t *)placed.code)[0] == ((const uint64_t *)in->code)[0] &&
      ((const uint64_t *)placed.code)[1] == ((const uint64_t *)in->code)[1]) {
    return;
  }
  uint8_t code[24];
  uint64_t end = CODE_BASE + CODE_SIZE;
  for (uint64_t at = placed.rip; at < placed.rip + 24 && at < end; at++) {
    *(uint8_t *)at = 0xcc;
  }
  size_t n = in->length;
  memcpy(code, in->code, n);
  if (!(in->flags & BRANCH)) {
    if (in->flags & PROTECTED32) { /* jmp 33H:exit64 */
      code[n] = 0xea;
      *(uint32_t *)(code + n + 1) = (uint32_t)(uintptr_t)exit64;
      *(uint16_t *)(code + n + 5) = 0x33;
    } else { /* jmp [exit_pointer] */
      code[n] = 0xff;
      code[n + 1] = 0x24;
      code[n + 2] = 0x25;
      *(uint32_t *)(code + n + 3) = (uint32_t)(uintptr_t)&exit_pointer;
    }
    n += 7;
  }
  for (size_t i = 0; i < n && in->rip + i < end; i++) {
    ((uint8_t *)in->rip)[i] = code[i];
  }
  placed.flags = in->flags;
  placed.length = in->length;
  placed.rip = in->rip;
  memcpy(placed.code, in->code, 16);
}

static void run(const struct record *in, struct record *out) {
  if (in->rip < CODE_BASE || in->rip >= CODE_BASE + CODE_SIZE || in->length > 15) {
    fail("runner: a case with its code outside of the code pages\n");
  }
  place(in);
  copy_words(state_gpr, in->gpr, 128);
  if (in->flags & MEMORY) {
    copy_words((void *)MIDDLE, in->middle, MIDDLE_SIZE);
    copy_words((void *)LAST, in->last, LAST_SIZE);
  }
  if (in->flags & FLOATING) {
    __asm__ volatile("fxrstor64 %0" : : "m"(in->fx));
  }
  entry.offset = (uint32_t)in->rip;
  entry.selector = in->flags & PROTECTED32 ? 0x23 : 0x33;
  state_flags = in->rflags;
  running_flags = in->flags;
  cases++;
  __asm__ volatile("" ::: "memory");
  running = out;
  __asm__ volatile("" ::: "memory");
  if (enter() == 0) {
    running = 0;
    copy_words(out->gpr, state_gpr, 128);
    out->flags = COMPLETED;
    out->length = 0;
    memset(out->code, 0, sizeof out->code);
    out->rip = in->rip + in->length;
    out->rflags = state_flags;
    if (in->flags & FLOATING) {
      __asm__ volatile("fxsave64 %0" : "=m"(out->fx));
    }
  }
  if (in->flags & MEMORY) {
    copy_words(out->middle, (void *)MIDDLE, MIDDLE_SIZE);
    copy_words(out->last, (void *)LAST, LAST_SIZE);
  }
  if (in->flags & SEGMENTS) {
    __asm__ volatile("mov %%es, %0; mov %%ds, %1; mov %%fs, %2; mov %%gs, %3"
                     : "=r"(out->selector[0]), "=r"(out->selector[3]), "=r"(out->selector[4]), "=r"(out->selector[5]));
    call(__NR_arch_prctl, ARCH_GET_FS, (long)&out->fs_base, 0, 0, 0, 0);
    call(__NR_arch_prctl, ARCH_GET_GS, (long)&out->gs_base, 0, 0, 0, 0);
    set_segments();
  }
}

static int number(const char *text) {
  int value = 0;
  for (; *text >= '0' && *text <= '9'; text++) {
    value = value * 10 + *text - '0';
  }
  return value;
}

__attribute__((used)) void start(uint64_t *stack) {
  if (stack[0] != 3) {
    fail("usage: runner FILE SLOTS\n");
  }
  int slots = number((const char *)stack[3]);
  long file = call(__NR_open, (long)stack[1 + 1], O_RDWR, 0, 0, 0, 0);
  if (file < 0) {
    fail("runner: cannot open the file of cases\n");
  }
  struct record *records = (struct record *)call(
      __NR_mmap, 0, 2ul * slots * sizeof(struct record), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  map_fixed(CODE_BASE, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  map_fixed(DATA_BASE, DATA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  memset((void *)CODE_BASE, 0xcc, CODE_SIZE);
  memset((void *)DATA_BASE, 0, DATA_SIZE);
  placed.rip = CODE_BASE;
  entry.offset64 = 0;
  exit_pointer = (uint64_t)exit64;
  map_fixed(SIGNAL_STACK, SIGNAL_STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  stack_t alternate = {.ss_sp = (void *)SIGNAL_STACK, .ss_size = SIGNAL_STACK_SIZE};
  call(__NR_sigaltstack, (long)&alternate, 0, 0, 0, 0, 0);
  static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGALRM};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
    catch_signal(signals[i]);
  }
  set_segments();
  struct itimerval tick = {{0, 200000}, {0, 200000}};
  call(__NR_setitimer, ITIMER_REAL, (long)&tick, 0, 0, 0, 0);
  for (;;) {
    uint32_t request[2];
    long got = call(__NR_read, 0, (long)request, sizeof request, 0, 0, 0);
    if (got == -4 /* EINTR */) {
      continue;
    }
    if (got != sizeof request) {
      call(__NR_exit_group, got != 0, 0, 0, 0, 0, 0);
    }
    if (request[0] > (uint32_t)slots || request[1] > slots - request[0]) {
      fail("runner: a request beyond the slots\n");
    }
    for (uint32_t i = 0; i < request[1]; i++) {
      run(records + request[0] + i, records + slots + request[0] + i);
    }
    while (call(__NR_write, 1, (long)&request[1], 4, 0, 0, 0) == -4) {
    }
  }
}
