/*
 * A bare guest that executes instructions with random descriptors, selectors, stacks and privilege
 * levels, and writes what came of each to the serial port. The same image runs on Ringfence and on
 * another emulator, and the two outputs are compared line by line.
 *
 * Every case is entered by IRETQ into a chosen ring and code width, with the instruction at CODE and
 * UD2 after it, so that it ends in a trap whatever happens; traps have an interrupt stack of their
 * own. Everything lies below 64 KiB, so that 16-bit segments reach it too.
 */
#include <stdint.h>

enum {
  OPERAND = 0x6000,
  CODE = 0x7000,
  LANDING = 0x8000, /* UD2 all over */
  STACK = 0xc000,
  STACK_LOW = 0x9000,
  STACK_HIGH = 0xf000,
  TASK = 0x80,
  LOCAL = 0x90,
  FIRST_RANDOM = 0xa0,
  GDT_BYTES = 0x200,
  LDT_BYTES = 0x40,
  GATES = 0x40, /* first of sixteen random gates */
  UNDEFINED = 6
};

struct entry {
  uint64_t ss, rsp, rflags, cs, rip, rax, rcx, rdx, rbx, r11;
  uint16_t data;
};

struct result {
  uint64_t vector, error, rip, cs, rflags, rsp, ss, rax, rcx, rdx, rbx, r11;
  uint16_t ds, es, fs, gs;
};

extern volatile struct entry entry;
extern volatile struct result result;
extern uint64_t interrupt_stack;
extern char trap_entries[];
void run_case(void);

static uint64_t gdt[GDT_BYTES / 8] __attribute__((aligned(16)));
static uint64_t ldt[LDT_BYTES / 8] __attribute__((aligned(16)));
static uint64_t idt[512] __attribute__((aligned(16)));
static uint8_t task[0x68 + 0x2001] __attribute__((aligned(16)));
static uint64_t random_state;

struct __attribute__((packed)) pointer {
  uint16_t limit;
  uint64_t base;
};

static uint8_t in8(uint16_t port) {
  uint8_t value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static void out8(uint16_t port, uint8_t value) {
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void put(char c) {
  while ((in8(0x3fd) & 0x20) == 0) {
  }
  out8(0x3f8, (uint8_t) c);
}

static void text(const char *s) {
  while (*s != 0) {
    put(*s++);
  }
}

static void hex(uint64_t value) {
  int shift = 60;
  while (shift > 0 && value >> shift == 0) {
    shift -= 4;
  }
  for (; shift >= 0; shift -= 4) {
    put("0123456789abcdef"[value >> shift & 15]);
  }
}

static void field(const char *name, uint64_t value) {
  put(' ');
  text(name);
  put('=');
  hex(value);
}

static uint64_t rdmsr(uint32_t number) {
  uint32_t low, high;
  __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
  return (uint64_t) high << 32 | low;
}

static void wrmsr(uint32_t number, uint64_t value) {
  __asm__ volatile("wrmsr" : : "c"(number), "a"((uint32_t) value), "d"((uint32_t) (value >> 32)));
}

/* SplitMix64. */
static uint64_t draw(void) {
  uint64_t z = random_state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

static uint32_t below(uint32_t bound) {
  return (uint32_t) (draw() >> 32) % bound;
}

static int chance(uint32_t percent) {
  return below(100) < percent;
}

static uint64_t descriptor(uint32_t base, uint32_t limit, uint32_t access, uint32_t flags) {
  return (limit & 0xffff) | (uint64_t) (base & 0xffffff) << 16 | (uint64_t) access << 40
         | (uint64_t) (limit >> 16 & 15) << 48 | (uint64_t) flags << 52
         | (uint64_t) (base >> 24) << 56;
}

static uint16_t code64(unsigned ring) {
  return (uint16_t) (0x20 + ring * 0x18 + ring);
}

static uint16_t code32(unsigned ring) {
  return (uint16_t) (code64(ring) + 8);
}

static uint16_t data(unsigned ring) {
  return (uint16_t) (code64(ring) + 16);
}

static uint16_t selector(void) {
  uint32_t kind = below(100);
  uint16_t rpl = (uint16_t) below(4);
  if (kind < 60) {
    return (uint16_t) ((FIRST_RANDOM + 8 * below((GDT_BYTES - FIRST_RANDOM) / 8)) | rpl);
  }
  if (kind < 70) {
    return (uint16_t) (8 * below(LDT_BYTES / 8 + 1) | 4 | rpl);
  }
  if (kind < 90) {
    return (uint16_t) ((0x20 + 8 * below(12)) | rpl);
  }
  if (kind < 97) {
    return rpl;
  }
  return (uint16_t) draw();
}

static uint64_t segment(void) {
  uint32_t dpl = below(4) << 5;
  uint32_t present = chance(92) ? 0x80 : 0;
  uint32_t limit = chance(80) ? 0xfffff : chance(50) ? 0xf : below(0x100000);
  if (chance(50)) {
    /* Code; its base stays zero, so that what follows a transfer is known. */
    /* Never L with D: QEMU does not refuse that. */
    uint32_t flags = chance(50) ? 0xa : chance(70) ? 0xc : 0x8;
    if (flags != 0xa) {
      present = 0x80; /* which of "absent" and "not 64-bit" counts first is not documented */
    }
    return descriptor(0, limit, present | dpl | 0x18 | below(8), flags);
  }
  uint32_t base = chance(70) ? 0 : (uint32_t) draw();
  /* No expand-down stacks: what they wrap to is another matter. */
  return descriptor(base, limit, present | dpl | 0x10 | (below(4) & 3), chance(80) ? 0xc : below(16));
}

static uint64_t gate(uint32_t type, uint16_t target) {
  uint32_t access = (chance(92) ? 0x80 : 0) | below(4) << 5 | type;
  return (LANDING & 0xffff) | (uint64_t) target << 16 | (uint64_t) access << 40;
}

static uint64_t random_descriptor(void) {
  uint32_t kind = below(100);
  if (kind < 70) {
    return segment();
  }
  if (kind < 85) {
    return gate(0xc, chance(60) ? (uint16_t) (code64(below(4)) & ~3) : selector());
  }
  /* A system segment or gate of any type. */
  return descriptor((uint32_t) (uintptr_t) task, below(2) ? 0x67 : 0xfffff,
                    (chance(92) ? 0x80 : 0) | below(4) << 5 | below(16), 0);
}

/* System descriptors have sixteen bytes in IA-32e mode. */
static int is_system(uint64_t raw) {
  return (raw >> 44 & 1) == 0;
}

static void prepare(void) {
  for (unsigned i = 0; i < GDT_BYTES / 8; i++) {
    gdt[i] = 0;
  }
  gdt[1] = 0x00af9b000000ffff;
  gdt[2] = 0x00cf93000000ffff;
  for (unsigned ring = 0; ring < 4; ring++) {
    gdt[code64(ring) / 8] = descriptor(0, 0xfffff, 0x9b | ring << 5, 0xa);
    gdt[code32(ring) / 8] = descriptor(0, 0xfffff, 0x9b | ring << 5, 0xc);
    gdt[data(ring) / 8] = descriptor(0, 0xfffff, 0x93 | ring << 5, 0xc);
  }
  uint32_t base = (uint32_t) (uintptr_t) task;
  gdt[TASK / 8] = descriptor(base, sizeof task - 1, 0x89, 0);
  gdt[LOCAL / 8] = descriptor((uint32_t) (uintptr_t) ldt, LDT_BYTES - 1, 0x82, 0);
  for (unsigned i = FIRST_RANDOM / 8; i < GDT_BYTES / 8; i++) {
    gdt[i] = random_descriptor();
    if (is_system(gdt[i]) && i + 1 < GDT_BYTES / 8) {
      /* Type bits in the upper half; QEMU does not look at them in LLDT. */
      int local = ((gdt[i] >> 40) & 0xf) == 2;
      gdt[++i] = local || chance(90) ? 0 : draw() & 0x00001f0000000000;
    }
  }
  for (unsigned i = 0; i < LDT_BYTES / 8; i++) {
    ldt[i] = segment();
  }
  for (unsigned vector = 0; vector < 32; vector++) {
    uint64_t target = (uint64_t) (uintptr_t) trap_entries + 16 * vector;
    uint64_t dpl = vector == 3 ? 3 : 0;
    idt[2 * vector] = (target & 0xffff) | 0x080000 | (uint64_t) 1 << 32 | 0x8eULL << 40
                      | dpl << 45 | (target & 0xffff0000) << 32;
    idt[2 * vector + 1] = target >> 32;
  }
  for (unsigned i = 0; i < 16; i++) {
    uint32_t type = chance(90) ? 0xe + below(2) : below(32);
    uint16_t target = chance(60) ? (uint16_t) (code64(below(4)) & ~3) : selector();
    idt[2 * (GATES + i)] = gate(type, target);
    idt[2 * (GATES + i) + 1] = 0;
  }
  uint64_t stacks[8] = {0xa000, 0xb000, 0xb800, 0, interrupt_stack, 0xe000, 0, 0};
  for (unsigned i = 0; i < 3; i++) {
    /* Rings 0 to 2; sometimes not aligned. */
    stacks[i] -= chance(90) ? 0 : below(16);
  }
  for (unsigned i = 0; i < 8; i++) {
    *(uint64_t *) (task + 4 + 8 * i) = stacks[i];
  }
  *(uint16_t *) (task + 0x66) = (uint16_t) (chance(90) ? 0x68 : sizeof task - below(0x40));
  for (unsigned i = 0; i < 64; i++) {
    task[0x68 + 8 + i] = chance(50) ? 0 : (uint8_t) draw();
  }
  task[sizeof task - 1] = 0xff;
  struct pointer g = {GDT_BYTES - 1, (uint64_t) (uintptr_t) gdt};
  struct pointer i = {sizeof idt - 1, (uint64_t) (uintptr_t) idt};
  __asm__ volatile("lgdt %0\n\tlidt %1" : : "m"(g), "m"(i));
  __asm__ volatile("ltr %w0" : : "r"(TASK));
  gdt[TASK / 8] = descriptor(base, sizeof task - 1, 0x8b, 0);
  __asm__ volatile("lldt %w0" : : "r"(chance(80) ? LOCAL : 0));
  wrmsr(0xc0000081, (uint64_t) 0x20 << 32 | (uint64_t) 0x58 << 48);
  wrmsr(0xc0000082, LANDING);
  wrmsr(0xc0000084, draw() & 0x4700);
  wrmsr(0x174, chance(80) ? 0x20 | below(4) : 0);
  wrmsr(0x175, 0xd000);
  wrmsr(0x176, LANDING + 0x10);
  wrmsr(0xc0000102, 0x1234567890);
}

struct instruction {
  const char *name;
  uint8_t length;
  uint8_t modes; /* 1: 64-bit, 2: 32-bit */
  uint8_t bytes[6];
};

static const struct instruction INSTRUCTIONS[] = {
  {"mov ds,ax", 2, 3, {0x8e, 0xd8}},
  {"mov es,ax", 2, 3, {0x8e, 0xc0}},
  {"mov ss,ax", 2, 3, {0x8e, 0xd0}},
  {"mov fs,ax", 2, 3, {0x8e, 0xe0}},
  {"mov gs,ax", 2, 3, {0x8e, 0xe8}},
  {"lar", 3, 3, {0x0f, 0x02, 0xd8}},
  {"lsl", 3, 3, {0x0f, 0x03, 0xd8}},
  {"lar16", 4, 3, {0x66, 0x0f, 0x02, 0xd8}},
  {"verr", 3, 3, {0x0f, 0x00, 0xe0}},
  {"verw", 3, 3, {0x0f, 0x00, 0xe8}},
  {"lldt", 3, 3, {0x0f, 0x00, 0xd0}},
  {"ltr", 3, 3, {0x0f, 0x00, 0xd8}},
  {"sldt", 3, 3, {0x0f, 0x00, 0xc0}},
  {"str", 3, 3, {0x0f, 0x00, 0xc8}},
  {"smsw", 3, 3, {0x0f, 0x01, 0xe0}},
  {"sgdt", 3, 3, {0x0f, 0x01, 0x03}},
  {"arpl", 2, 2, {0x63, 0xc8}},
  {"lfs", 3, 3, {0x0f, 0xb4, 0x03}},
  {"lss", 3, 3, {0x0f, 0xb2, 0x03}},
  {"lds", 2, 2, {0xc5, 0x03}},
  {"push fs", 2, 3, {0x0f, 0xa0}},
  {"pop gs", 2, 3, {0x0f, 0xa9}},
  {"pop ss", 1, 2, {0x17}},
  {"pop ds", 1, 2, {0x1f}},
  {"jmp far", 2, 3, {0xff, 0x2b}},
  {"call far", 2, 3, {0xff, 0x1b}},
  {"call far16", 3, 3, {0x66, 0xff, 0x1b}},
  {"retf", 1, 3, {0xcb}},
  {"retfq", 2, 1, {0x48, 0xcb}},
  {"retf 8", 3, 3, {0xca, 8, 0}},
  {"iretd", 1, 3, {0xcf}},
  {"iretq", 2, 1, {0x48, 0xcf}},
  {"iretw", 2, 3, {0x66, 0xcf}},
  {"int", 2, 3, {0xcd, GATES}},
  {"int3", 1, 3, {0xcc}},
  {"syscall", 2, 1, {0x0f, 0x05}},
  {"sysretq", 3, 1, {0x48, 0x0f, 0x07}},
  {"sysret", 2, 1, {0x0f, 0x07}},
  {"sysenter", 2, 3, {0x0f, 0x34}},
  {"sysexitq", 3, 1, {0x48, 0x0f, 0x35}},
  {"sysexit", 2, 3, {0x0f, 0x35}},
  {"pushf", 1, 3, {0x9c}},
  {"popf", 1, 3, {0x9d}},
  {"popf16", 2, 3, {0x66, 0x9d}},
  {"cli", 1, 3, {0xfa}},
  {"swapgs", 3, 1, {0x0f, 0x01, 0xf8}},
  {"in", 2, 3, {0xe4, 0x80}},
  {"in32", 2, 3, {0xe5, 0x83}},
  {"clts", 2, 3, {0x0f, 0x06}},
  {"lmsw", 3, 3, {0x0f, 0x01, 0xf0}},
  {"mov cr8", 4, 1, {0x44, 0x0f, 0x22, 0xc0}},
  {"mov dr3", 3, 3, {0x0f, 0x23, 0xd8}},
  {"invlpg", 3, 3, {0x0f, 0x01, 0x3b}},
  {"rdmsr", 2, 3, {0x0f, 0x32}},
  {"wbinvd", 2, 3, {0x0f, 0x09}},
};

static uint64_t hash_tables(void) {
  uint64_t hash = 0xcbf29ce484222325;
  for (unsigned i = 0; i < GDT_BYTES / 8; i++) {
    hash = (hash ^ gdt[i]) * 0x100000001b3;
  }
  for (unsigned i = 0; i < LDT_BYTES / 8; i++) {
    hash = (hash ^ ldt[i]) * 0x100000001b3;
  }
  return hash & 0xffffffff;
}

static int is(const struct instruction *i, uint8_t first, uint8_t second) {
  return i->bytes[0] == first && i->bytes[1] == second;
}

/*
 * Steers around what QEMU 7.2 does otherwise than the SDM says: MOV to CR8 and SYSENTER_CS without
 * checks of reserved bits, a null SS of any RPL in 64-bit mode, LTR of a null selector, LAR, LSL
 * and LTR of types that IA-32e mode does not have.
 */
static void differences_of_qemu(const struct instruction *i, unsigned wide, unsigned ring) {
  if (is(i, 0x44, 0x0f)) {
    entry.rax &= 0xf;
  }
  if ((is(i, 0x8e, 0xd0) || is(i, 0x0f, 0xb2)) && wide && (entry.rax & 0xfffc) == 0) {
    entry.rax = (entry.rax & ~3ULL) | ring;
  }
  int loads_task = is(i, 0x0f, 0x00) && i->bytes[2] == 0xd8;
  if (loads_task && (entry.rax & 0xfffc) == 0) {
    entry.rax = TASK;
  }
  if (is(i, 0x0f, 0x02) || is(i, 0x0f, 0x03) || is(i, 0x66, 0x0f) || loads_task) {
    for (unsigned k = FIRST_RANDOM / 8; k < GDT_BYTES / 8; k++) {
      unsigned type = (unsigned) (gdt[k] >> 40) & 0x1f;
      if (type == 1 || type == 3 || type == 4 || type == 5) {
        gdt[k] ^= (uint64_t) (type ^ 2) << 40;
      }
    }
  }
}

static void one(uint32_t number) {
  prepare();
  const struct instruction *i = &INSTRUCTIONS[below(sizeof INSTRUCTIONS / sizeof *INSTRUCTIONS)];
  unsigned ring = below(4);
  unsigned wide = i->modes == 1 || (i->modes == 3 && chance(60));
  volatile uint8_t *code = (volatile uint8_t *) CODE;
  for (unsigned k = 0; k < 16; k++) {
    code[k] = k < i->length ? i->bytes[k] : (k - i->length) % 2 == 0 ? 0x0f : 0x0b;
  }
  if (i->bytes[0] == 0xcd) {
    code[1] = (uint8_t) (GATES + below(18)); /* beyond the random gates: absent ones */
  }
  for (volatile uint64_t *p = (uint64_t *) STACK_LOW; p < (uint64_t *) STACK_HIGH; p++) {
    *p = 0;
  }
  entry.ss = data(ring);
  entry.cs = wide ? code64(ring) : code32(ring);
  entry.rip = CODE;
  entry.rflags = 2 | below(4) << 12 | (draw() & 0x8d5) | (chance(5) ? 0x4000 : 0);
  entry.rsp = STACK;
  entry.data = (uint16_t) (chance(50) ? data(3) : data(ring));
  uint16_t target = selector();
  entry.rax = target | (draw() & 0xffff0000);
  entry.rcx = LANDING;
  entry.rdx = LANDING;
  entry.rbx = OPERAND;
  entry.r11 = draw() & 0xdd5; /* no IF: the timer runs */
  differences_of_qemu(i, wide, ring);
  target = (uint16_t) entry.rax;
  if (i->bytes[i->length - 1] == 0x32) {
    entry.rcx = 0xc0000082;
  }
  /* A far pointer, and a frame for every kind of return. */
  *(volatile uint32_t *) OPERAND = LANDING;
  *(volatile uint16_t *) (OPERAND + 4) = chance(30) ? (uint16_t) (wide ? code64(ring) : code32(ring)) : target;
  if (i->length == 3 && i->bytes[0] == 0x66 && i->bytes[1] == 0xff) {
    *(volatile uint16_t *) (OPERAND + 2) = *(volatile uint16_t *) (OPERAND + 4);
  }
  unsigned outer = chance(70) ? ring + below(4 - ring) : below(4);
  uint64_t frame[5] = {
    LANDING,
    chance(70) ? chance(50) ? code64(outer) : code32(outer) : target,
    2 | (draw() & 0x3cd5) | (chance(20) ? draw() & 0x240000 : 0),
    0xd000,
    chance(85) ? data(outer) : selector()};
  if ((frame[4] & 0xfffc) == 0 && frame[1] != code64(outer)) {
    frame[4] = data(outer); /* QEMU takes a null SS for compatibility mode too */
  }
  unsigned size = i->bytes[0] == 0x48 ? 8 : i->bytes[0] == 0x66 ? 2 : 4;
  unsigned words = i->bytes[i->length - 1] == 0xcf ? 5 : 4;
  for (unsigned k = 0, from = 0; k < words; k++, from++) {
    if (words == 4 && from == 2) {
      from++; /* RET has no flags */
    }
    volatile uint8_t *at = (volatile uint8_t *) STACK + k * size + (i->bytes[0] == 0xca && k >= 2 ? 8 : 0);
    for (unsigned b = 0; b < size; b++) {
      at[b] = (uint8_t) (frame[from] >> 8 * b);
    }
  }
  if (i->bytes[0] == 0x9d || (i->bytes[0] == 0x66 && i->bytes[1] == 0x9d)) {
    *(volatile uint64_t *) STACK = frame[2];
  } else if ((i->bytes[0] == 0x0f && i->bytes[1] == 0xa9) || i->bytes[0] == 0x17 || i->bytes[0] == 0x1f) {
    *(volatile uint64_t *) STACK = target;
  }
  run_case();
  uint16_t local, tr;
  __asm__ volatile("sldt %0\n\tstr %1" : "=m"(local), "=m"(tr));
  hex(number);
  put(' ');
  text(i->name);
  text(wide ? " 64 ring" : " 32 ring");
  hex(ring);
  /* QEMU raises #GP where JMP through a call gate meets an absent segment. */
  field("vector", is(i, 0xff, 0x2b) && result.vector == 11 ? 13 : result.vector);
  /* QEMU gives the vector times 16 rather than times 8 in what names a gate. */
  field("error", result.error & 2 ? result.error & 7 : result.error);
  field("rip", result.rip);
  field("cs", result.cs);
  /* RF is left out: emulators differ in what a fault pushes. */
  uint64_t hidden = 0x10000;
  if (is(i, 0x0f, 0x05)) {
    hidden |= 0x8d5; /* QEMU's SYSCALL clears the status flags */
  }
  field("flags", result.rflags & ~hidden);
  field("rsp", result.rsp);
  field("ss", result.ss);
  field("rax", result.rax);
  /* LAR: bits 19:16 are undefined. */
  field("rbx", is(i, 0x0f, 0x02) ? result.rbx & ~0xf0000ULL : result.rbx);
  field("rcx", result.rcx);
  field("rdx", result.rdx);
  field("r11", result.r11);
  field("ds", result.ds);
  field("es", result.es);
  field("fs", result.fs);
  field("gs", result.gs);
  field("fsbase", rdmsr(0xc0000100));
  field("gsbase", rdmsr(0xc0000101));
  field("kgsbase", rdmsr(0xc0000102));
  field("ldtr", local);
  field("tr", tr);
  uint64_t cr0;
  __asm__ volatile("movq %%cr0, %0" : "=r"(cr0));
  field("cr0", cr0 & 0xe005002f);
  cr0 &= ~0xeULL;
  __asm__ volatile("movq %0, %%cr0" : : "r"(cr0));
  field("tables", hash_tables());
  text(" stack");
  if (result.rsp >= STACK_LOW && result.rsp <= STACK_HIGH - 64) {
    for (unsigned k = 0; k < 8; k++) {
      put(' ');
      /* Bit 16 of pushed flags is RF. */
      hex(((volatile uint32_t *) (result.rsp & ~3ULL))[k] & ~0x10000U);
    }
  }
  put('\n');
}

/* Seed and number of cases are in the words after the image's header, for the tester to patch. */
volatile uint64_t parameters[3] = {0x5eed5eed5eed5eed, 1, 2000};

void guest_main(void) {
  for (volatile uint8_t *p = (uint8_t *) LANDING; p < (uint8_t *) LANDING + 0x1000; p += 2) {
    p[0] = 0x0f;
    p[1] = 0x0b;
  }
  random_state = parameters[1];
  for (uint64_t number = 0; number < parameters[2]; number++) {
    one((uint32_t) number);
  }
  text("done\n");
  out8(0xf4, 0x10);
}
