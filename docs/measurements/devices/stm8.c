/* An STM8S208 in ucsim, by SDCC: words out by its first serial port. It never returns from the last one. */
#include "board.h"

#define STATUS (*(volatile uint8_t *)0x5230)
#define DATA (*(volatile uint8_t *)0x5231)
#define CONTROL (*(volatile uint8_t *)0x5235)

void put(const char *words)
{
    CONTROL = 8;
    for (; *words; words++) {
        while (!(STATUS & 0x80))
            ;
        DATA = (uint8_t)*words;
    }
}

uint32_t ticks(void)
{
    return 0;
}
