/*
 * Executes floating-point instructions on the host's processor, for FloatHostTest. Reads requests from standard
 * input and answers each on standard output; both are the structures below, little-endian.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct request {
  uint32_t operation;
  uint32_t control; /* MXCSR or x87 control word */
  uint8_t a[16];
  uint8_t b[16];
};

struct response {
  uint8_t result[16];
  uint8_t second[16];
  uint32_t status; /* MXCSR or x87 status word */
  uint32_t flags;  /* RFLAGS */
};

static struct request in;
static struct response out;

#define SSE(number, instruction)                                                      \
  case number:                                                                        \
    __asm__ volatile("ldmxcsr %[control]\n movups %[a], %%xmm0\n movups %[b], %%xmm1\n" \
                     instruction "\n pushfq\n popq %[flags]\n stmxcsr %[status]\n"     \
                     "movups %%xmm0, %[result]\n ldmxcsr %[standard]"                  \
                     : [result] "=m"(out.result), [status] "=m"(out.status), [flags] "=&r"(flags) \
                     : [control] "m"(in.control), [a] "m"(in.a), [b] "m"(in.b), [standard] "m"(standard) \
                     : "xmm0", "xmm1", "rax", "cc", "memory");                         \
    break;

/* ST0 = a, ST1 = b; FNSAVE does not wait, so pending exceptions are not raised. */
#define X87(number, instruction)                                                       \
  case number:                                                                         \
    __asm__ volatile("fninit\n fldt %[b]\n fldt %[a]\n fldcw %[control]\n" instruction  \
                     "\n fnsave %[save]\n fninit"                                       \
                     : [save] "=m"(save), [result] "=m"(out.result)                     \
                     : [control] "m"(in.control), [a] "m"(in.a), [b] "m"(in.b)          \
                     : "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)", "cc", "memory"); \
    memory = 0;                                                                        \
    goto x87;
/* The same for instructions that store to memory. */
#define STORE(number, instruction)                                                     \
  case number:                                                                         \
    __asm__ volatile("fninit\n fldt %[b]\n fldt %[a]\n fldcw %[control]\n" instruction  \
                     "\n fnsave %[save]\n fninit"                                       \
                     : [save] "=m"(save), [result] "=m"(out.result)                     \
                     : [control] "m"(in.control), [a] "m"(in.a), [b] "m"(in.b)          \
                     : "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)", "cc", "memory"); \
    memory = 1;                                                                        \
    goto x87;

int main(void) {
  while (fread(&in, sizeof in, 1, stdin) == 1) {
    uint8_t save[108];
    uint64_t flags = 0;
    uint32_t standard = 0x1f80;
    int memory;
    memset(&out, 0, sizeof out);
    switch (in.operation) {
      SSE(0, "addsd %%xmm1, %%xmm0")
      SSE(1, "subsd %%xmm1, %%xmm0")
      SSE(2, "mulsd %%xmm1, %%xmm0")
      SSE(3, "divsd %%xmm1, %%xmm0")
      SSE(4, "minsd %%xmm1, %%xmm0")
      SSE(5, "maxsd %%xmm1, %%xmm0")
      SSE(6, "sqrtsd %%xmm1, %%xmm0")
      SSE(7, "addss %%xmm1, %%xmm0")
      SSE(8, "subss %%xmm1, %%xmm0")
      SSE(9, "mulss %%xmm1, %%xmm0")
      SSE(10, "divss %%xmm1, %%xmm0")
      SSE(11, "minss %%xmm1, %%xmm0")
      SSE(12, "maxss %%xmm1, %%xmm0")
      SSE(13, "sqrtss %%xmm1, %%xmm0")
      SSE(14, "cvtsd2ss %%xmm1, %%xmm0")
      SSE(15, "cvtss2sd %%xmm1, %%xmm0")
      SSE(16, "cvtsd2siq %%xmm1, %%rax\n movq %%rax, %%xmm0")
      SSE(17, "cvtsd2si %%xmm1, %%eax\n movq %%rax, %%xmm0")
      SSE(18, "cvtss2siq %%xmm1, %%rax\n movq %%rax, %%xmm0")
      SSE(19, "cvttss2si %%xmm1, %%eax\n movq %%rax, %%xmm0")
      SSE(20, "movq %%xmm1, %%rax\n cvtsi2sdq %%rax, %%xmm0")
      SSE(21, "movq %%xmm1, %%rax\n cvtsi2ssq %%rax, %%xmm0")
      SSE(22, "ucomisd %%xmm1, %%xmm0")
      SSE(23, "comisd %%xmm1, %%xmm0")
      SSE(24, "ucomiss %%xmm1, %%xmm0")
      SSE(25, "roundsd $4, %%xmm1, %%xmm0")
      SSE(26, "roundss $4, %%xmm1, %%xmm0")
      X87(64, "fadd %%st(1), %%st")
      X87(65, "fsub %%st(1), %%st")
      X87(66, "fmul %%st(1), %%st")
      X87(67, "fdiv %%st(1), %%st")
      X87(68, "fsqrt")
      X87(69, "frndint")
      X87(70, "fscale")
      X87(71, "fprem")
      X87(72, "fprem1")
      X87(73, "fxtract")
      X87(74, "fcom %%st(1)")
      X87(75, "fucom %%st(1)")
      X87(76, "fxam")
      X87(77, "f2xm1")
      X87(78, "fyl2x")
      X87(79, "fyl2xp1")
      X87(80, "fptan")
      X87(81, "fpatan")
      X87(82, "fsin")
      X87(83, "fcos")
      X87(84, "fsincos")
      X87(85, "flds %[b]")
      X87(86, "fldl %[b]")
      X87(87, "ftst")
      STORE(96, "fstps %[result]")
      STORE(97, "fstpl %[result]")
      STORE(98, "fistps %[result]")
      STORE(99, "fistpl %[result]")
      STORE(100, "fistpll %[result]")
      STORE(101, "fisttpll %[result]")
      STORE(102, "fbstp %[result]")
      default:
        return 1;
    }
    out.flags = (uint32_t)flags;
    fwrite(&out, sizeof out, 1, stdout);
    continue;
  x87:
    memcpy(&out.status, save + 4, 2);
    if (!memory) memcpy(out.result, save + 28, 10);
    memcpy(out.second, save + 38, 10);
    fwrite(&out, sizeof out, 1, stdout);
  }
  return 0;
}
