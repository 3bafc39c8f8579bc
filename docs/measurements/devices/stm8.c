/* An STM8S208 in ucsim, by SDCC: words out by the simulator's own interface. */
#include "board.h"

#define INTERFACE (*(volatile uint8_t *)0x7fff)

void put(const char *words)
{
    for (; *words; words++) {
        INTERFACE = 'p';
        INTERFACE = (uint8_t)*words;
    }
}

uint32_t ticks(void)
{
    return 0;
}
