/* Start of a program on a Cortex-M in QEMU: vectors, memory, FPU; words out by semihosting; SysTick. */
#include <stdint.h>
#include "board.h"

extern uint32_t data_start, data_end, data_load, bss_start, bss_end, stack_top;

int main(void);

static uint32_t call(uint32_t what, const void *with)
{
    register uint32_t r0 __asm__("r0") = what;
    register const void *r1 __asm__("r1") = with;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void put(const char *words)
{
    call(4, words);
}

/* SysTick counts down, 24 bits. */
uint32_t ticks(void)
{
    return 0xffffff - *(volatile uint32_t *)0xe000e018;
}

void start(void)
{
    uint32_t *from = &data_load, *to = &data_start;
    while (to < &data_end)
        *to++ = *from++;
    for (to = &bss_start; to < &bss_end; to++)
        *to = 0;
#ifdef __ARM_FP
    *(volatile uint32_t *)0xe000ed88 |= 0xf << 20;
    __asm__ volatile("dsb\nisb");
#endif
    *(volatile uint32_t *)0xe000e014 = 0xffffff;
    *(volatile uint32_t *)0xe000e018 = 0;
    *(volatile uint32_t *)0xe000e010 = 5;
    main();
    call(0x18, (const void *)0x20026);
    for (;;)
        ;
}

__attribute__((section(".vectors"), used)) static const void *const vectors[2] = {&stack_top, (const void *)start};
