/*
 * A guest of two hundred bytes that speaks the protocol of our init program (docs/boot.md) on the second serial port: says
 * that it is up, takes its assignment, and gives the command back as its output. dev.ringfence.lab.run.TinyGuest has its
 * bytes, which these commands make:
 *
 *   gcc -m32 -nostdlib -c echo.S && ld -m elf_i386 -Ttext 0x100000 --oformat binary echo.o -o echo && xxd -p -c 40 echo
 */
.code32
.globl _start
_start:
header:
  .long 0x1badb002, 0x10000, -(0x1badb002+0x10000)
  .long header, header, end, end, entry
entry:
  mov $0x300000, %esp
  mov $up, %esi
  call print
  xor %ecx, %ecx
number:
  call get
  sub $'0', %al
  cmp $9, %al
  ja line
  imul $10, %ecx
  movzx %al, %eax
  add %eax, %ecx
  jmp number
line:
  cmp $('\n' - '0') & 255, %al
  je begin
  call get
  sub $'0', %al
  jmp line
begin:
  mov $started, %esi
  call print
  mov $0x200000, %edi
copy:
  jecxz finish
  call get
  stosb
  call put
  dec %ecx
  jmp copy
finish:
  mov $status, %esi
  call print
  xor %eax, %eax
  out %al, $0xf4
print:
  lodsb
  cmp $0xff, %al
  je return
  call put
  jmp print
get:
  mov $0x2fd, %edx
wait:
  in (%dx), %al
  test $1, %al
  je wait
  mov $0x2f8, %edx
  in (%dx), %al
return:
  ret
put:
  mov $0x2f8, %edx
  out %al, (%dx)
  ret
up: .ascii "RINGFENCE-UP\n\377"
started: .ascii "RINGFENCE-START\n\377"
status: .ascii "\0RINGFENCE-STATUS 000\n\377"
end:
