#!/usr/bin/env bash
# arm-none-eabi-gcc 12.2: `-std=c11` instead of `-std=gnu11` changes the results of a CNN on a Cortex-M4F.
#
# The option looks like a choice of the words that the compiler accepts. It also ends the fusing of a product and
# a sum into one rounding (vfma), which GCC does by itself with the `gnu` standards, even without -ffast-math.
# The same C source then gives other last bits, and one instruction more in its innermost loop.
# A test that compares a chip with a desktop computer bit for bit passes or fails with the standard named in a
# makefile; a desktop build for plain x86-64 has no fused instruction, so there both standards agree.
#
# Seen (-O2; bias -1.00048828125, and one product of 1.000244140625 with itself; QEMU 7.2.22, mps2-an386):
#   -std=gnu11: vfma.f32, result 0x33800000
#   -std=c11: vadd.f32 vmul.f32, result 0x00000000
#   -std=c11 -ffp-contract=fast: vfma.f32, result 0x33800000
set -euo pipefail

for tool in arm-none-eabi-gcc qemu-system-arm; do
  command -v "$tool" >/dev/null || { echo "needs $tool (Debian: gcc-arm-none-eabi, qemu-system-arm)" >&2; exit 2; }
done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >dense.c <<'C'
float dense(const float *x, const float *w, float bias, int n) {
    float sum = bias;
    for (int i = 0; i < n; i++) sum += x[i] * w[i];
    return sum;
}
C
cat >board.c <<'C'
float dense(const float *x, const float *w, float bias, int n);
static void host(int operation, const void *data) {
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = data;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}
static void run(void) {
    const float value[1] = {1.000244140625f};
    union { float number; unsigned bits; } result = {dense(value, value, -1.00048828125f, 1)};
    char text[12] = "0x00000000\n";
    for (int i = 0; i < 8; i++) text[9 - i] = "0123456789abcdef"[(result.bits >> (4 * i)) & 15];
    host(4, text);
    host(0x18, (void *)0x20026);
    for (;;) ;
}
__attribute__((naked)) static void start(void) {  /* the floating-point unit is off after reset */
    __asm__ volatile("ldr r0, =0xe000ed88\n ldr r1, =0x00f00000\n str r1, [r0]\n dsb\n isb\n b %c0" : : "i"(run));
}
__attribute__((section(".vectors"), used)) static void (*const vectors[2])(void) = {(void (*)(void))0x20000400, start};
C
cat >board.ld <<'LD'
SECTIONS {
  .text 0 : { KEEP(*(.vectors)) *(.text*) *(.rodata*) }
  .data 0x20000000 : { *(.data*) *(.bss*) }
  /DISCARD/ : { *(.ARM.exidx*) *(.comment) }
}
LD
chip="-O2 -mthumb -mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard"
build_and_run() {
  # shellcheck disable=SC2086
  arm-none-eabi-gcc $chip "$@" -S -o dense.s dense.c
  # shellcheck disable=SC2086
  arm-none-eabi-gcc $chip "$@" -c -o dense.o dense.c
  # shellcheck disable=SC2086
  arm-none-eabi-gcc $chip -ffreestanding -nostdlib -T board.ld -o board.elf board.c dense.o
  local used result
  used=$(grep -oE 'v(fma|mla|mul|add)\.f32' dense.s | sort -u | tr '\n' ' ' | sed 's/ $//')
  result=$(timeout 30 qemu-system-arm -M mps2-an386 -display none -monitor none -serial none \
    -semihosting-config enable=on,target=native -kernel board.elf 2>&1)
  echo "$*: $used, result $result"
}
echo "arm-none-eabi-gcc $(arm-none-eabi-gcc -dumpfullversion), $(qemu-system-arm --version | head -1)"
echo "expected: the same instructions and the same result from both standards"
gnu=$(build_and_run -std=gnu11)
iso=$(build_and_run -std=c11)
told=$(build_and_run -std=c11 -ffp-contract=fast)
printf '%s\n%s\n%s\n' "$gnu" "$iso" "$told"

[ "${gnu#*: }" = "vfma.f32, result 0x33800000" ] && [ "${iso#*: }" = "vadd.f32 vmul.f32, result 0x00000000" ] \
  && [ "${told#*: }" = "${gnu#*: }" ]
