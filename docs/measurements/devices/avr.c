/* An ATmega2560 in simavr: words out by its serial port, time by its first 16-bit counter. */
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>
#include "board.h"

void put(const char *words)
{
    UCSR0B = 1 << TXEN0;
    for (; *words; words++) {
        while (!(UCSR0A & (1 << UDRE0)))
            ;
        UDR0 = (uint8_t)*words;
    }
}

uint32_t ticks(void)
{
    TCCR1B = 5; /* a tick is 1024 cycles */
    return TCNT1;
}

__attribute__((destructor)) static void stop(void)
{
    cli();
    sleep_enable();
    sleep_cpu();
}
