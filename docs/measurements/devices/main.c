/* Logits of some images, and what they took. */
#include <stdint.h>
#include "board.h"
#include "net.h"
#include "images.h"

static void number(int32_t value)
{
    char digits[13], *at = digits + 12;
    uint32_t left = value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
    *at = 0;
    *--at = ' ';
    do
        *--at = (char)('0' + left % 10);
    while (left /= 10);
    if (value < 0)
        *--at = '-';
    put(at);
}

#ifdef FRAME_COLUMNS
/* What becomes of a frame. */
int main(void)
{
    static uint8_t pixels[NET_PIXELS];
    uint32_t before = ticks();
    int k;
    number(net_prepare(frame, FRAME_COLUMNS, FRAME_ROWS, pixels));
    before = ticks() - before;
    for (k = 0; k < NET_PIXELS; k++)
        number(pixels[k]);
    number((int32_t)before);
    put("\n");
    return 0;
}
#elif defined(NET_FLOAT)
/* The float header: the class alone. */
int main(void)
{
    static uint8_t pixels[NET_PIXELS];
    float probability;
    int i, k;
    for (i = 0; i < IMAGES; i++) {
        uint32_t before;
        for (k = 0; k < NET_PIXELS; k++)
            pixels[k] = images[(uint32_t)i * NET_PIXELS + (uint32_t)k];
        before = ticks();
        number(net_classify(pixels, &probability));
        number((int32_t)(ticks() - before));
        put("\n");
    }
    return 0;
}
#else
int main(void)
{
    static uint8_t pixels[NET_PIXELS];
    static int32_t logits[NET_CLASSES];
    int i, k;
    for (i = 0; i < IMAGES; i++) {
        uint32_t before;
        for (k = 0; k < NET_PIXELS; k++)
            pixels[k] = NET_UINT8(images + (uint32_t)i * NET_PIXELS + k);
        before = ticks();
        number(net_classify(pixels, logits));
        before = ticks() - before;
        for (k = 0; k < NET_CLASSES; k++)
            number(logits[k]);
        number((int32_t)before);
        put("\n");
    }
    return 0;
}
#endif
