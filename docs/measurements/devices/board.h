/* What a program needs of a board. */
#include <stdint.h>

void put(const char *words);

uint32_t ticks(void);
