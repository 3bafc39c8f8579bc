/* A CNN of 3 classes, written by `htgen export`; its weights are by the generator toy.
 * 8-bit weights: 284 bytes of constants, 1536 bytes of buffers, 7638 multiply-adds an image.
 * Include it in one source file, and link the mathematical library (-lm). */
#ifndef CNN_CNN_H
#define CNN_CNN_H
#include <math.h>
#include <stdint.h>

#define CNN_CLASSES 3
#define CNN_PIXELS 256

static const char *const cnn_class_names[3] = {
    "ant",
    "bee",
    "cat",
};

static const int8_t cnn_conv1_weight[18] = {
    -70, -80, -122, -41, -127, -18, -29, 77,
    -110, -3, -56, 14, 40, 34, -19, 127,
    -110, -10,
};
static const float cnn_conv1_step[2] = {
    0.00436509214f, 0.00781059638f,
};
static const float cnn_conv1_bias[2] = {
    0.0f, 0.0f,
};
static const float cnn_conv1_factor[2] = {
    2.0608151f, 1.97408187f,
};
static const float cnn_conv1_summand[2] = {
    -4.14695168f, -0.615860641f,
};

static const int8_t cnn_conv2_weight[36] = {
    45, 17, -39, 30, 13, 78, 45, 13,
    127, -20, 9, -4, -86, -32, -26, 27,
    -44, -39, 60, -5, 127, -3, 20, -11,
    9, 41, 63, -50, 10, 1, -20, -73,
    77, 12, 22, -13,
};
static const float cnn_conv2_step[2] = {
    0.00868896209f, 0.00519720558f,
};
static const float cnn_conv2_bias[2] = {
    0.0f, 0.0f,
};
static const float cnn_conv2_factor[2] = {
    1.02350008f, 2.73513699f,
};
static const float cnn_conv2_summand[2] = {
    -1.28380656f, -1.01203477f,
};

static const int8_t cnn_conv3_weight[36] = {
    82, 27, -11, 50, 10, 86, -2, -127,
    -10, -4, 16, -38, -120, 89, 27, -9,
    -31, -37, -35, -32, -56, -97, -50, 13,
    59, 93, -33, -74, -8, 79, 32, 61,
    -127, -28, -122, -9,
};
static const float cnn_conv3_step[2] = {
    0.00609973539f, 0.00506609539f,
};
static const float cnn_conv3_bias[2] = {
    0.0f, 0.0f,
};
static const float cnn_conv3_factor[2] = {
    1.10334134f, 1.57302415f,
};
static const float cnn_conv3_summand[2] = {
    -1.46678901f, -1.61866736f,
};

static const int8_t cnn_conv4_weight[36] = {
    12, -24, 53, -50, 17, -93, -6, 69,
    10, 27, 16, 10, -91, -41, -127, -36,
    80, 20, -116, 87, -22, 79, -21, 7,
    35, 115, 2, 29, -21, -7, -6, -68,
    28, 127, -53, -74,
};
static const float cnn_conv4_step[2] = {
    0.00686613331f, 0.00634217821f,
};
static const float cnn_conv4_bias[2] = {
    0.0f, 0.0f,
};
static const float cnn_conv4_factor[2] = {
    3.82944179f, 1.15857399f,
};
static const float cnn_conv4_summand[2] = {
    -2.79922366f, -1.33121991f,
};

static const int8_t cnn_logits_weight[6] = {
    -127, -111, 127, 106, -127, -83,
};
static const float cnn_logits_step[3] = {
    0.000669297588f, 0.00123118726f, 0.000636292039f,
};
static const float cnn_logits_bias[3] = {
    0.0467866212f, -0.105777338f, 0.049174428f,
};

/* One block: images [channels][side][side]; weights [outputs][channels][kernel][kernel]. */
static void cnn_block(const float *in, int channels, int side, float *out, int outputs, int out_side,
                         int kernel, int stride, int padding, int pool, const int8_t *weight, const float *step,
                         const float *bias, const float *factor, const float *summand)
{
    const int size = channels * kernel * kernel;
    for (int o = 0; o < outputs; o++, weight += size)
    for (int y = 0; y < out_side; y++)
    for (int x = 0; x < out_side; x++) {
        float best = -INFINITY;
        for (int p = 0; p < pool * pool; p++) {
            const int8_t *w = weight;
            int top = (y * pool + p / pool) * stride - padding;
            int left = (x * pool + p % pool) * stride - padding;
            float sum = 0.0f;
            for (int c = 0; c < channels; c++)
            for (int i = top; i < top + kernel; i++)
            for (int j = left; j < left + kernel; j++, w++)
                if (i >= 0 && i < side && j >= 0 && j < side)
                    sum += in[(c * side + i) * side + j] * *w;
            sum = sum * step[o] + bias[o];
            /* the norm comes last */
            sum = sum > 0.0f ? sum : 0.0f;
            best = sum > best ? sum : best;
        }
        best = best * factor[o] + summand[o];
        *out++ = best;
    }
}

/* Logits of one image: pixels [channels][side][side], 0 to 255, prepared as those that the CNN was made
 * for. Not reentrant: the buffers are static. */
static inline void cnn_logits(const uint8_t pixels[256], float logits[3])
{
    static float even[256], odd[128];
    for (int i = 0; i < 256; i++)
        even[i] = pixels[i] / 128.0f - 1.0f;
    cnn_block(even, 1, 16, odd, 2, 8, 3, 1, 1, 2,
        cnn_conv1_weight, cnn_conv1_step, cnn_conv1_bias, cnn_conv1_factor, cnn_conv1_summand);
    cnn_block(odd, 2, 8, even, 2, 4, 3, 1, 1, 2,
        cnn_conv2_weight, cnn_conv2_step, cnn_conv2_bias, cnn_conv2_factor, cnn_conv2_summand);
    cnn_block(even, 2, 4, odd, 2, 2, 3, 1, 1, 2,
        cnn_conv3_weight, cnn_conv3_step, cnn_conv3_bias, cnn_conv3_factor, cnn_conv3_summand);
    cnn_block(odd, 2, 2, even, 2, 1, 3, 1, 1, 2,
        cnn_conv4_weight, cnn_conv4_step, cnn_conv4_bias, cnn_conv4_factor, cnn_conv4_summand);
    const int8_t *w = cnn_logits_weight;
    for (int k = 0; k < 3; k++) {
        float sum = 0.0f;
        for (int f = 0; f < 2; f++)
            sum += even[f] * *w++;
        logits[k] = sum * cnn_logits_step[k] + cnn_logits_bias[k];
    }
}

/* Index of the most probable class of one image, and its probability, 0 to 1. */
static inline int cnn_classify(const uint8_t pixels[256], float *probability)
{
    float logits[3], sum = 0.0f;
    int best = 0;
    cnn_logits(pixels, logits);
    for (int k = 1; k < 3; k++)
        if (logits[k] > logits[best])
            best = k;
    for (int k = 0; k < 3; k++)
        sum += expf(logits[k] - logits[best]);
    *probability = 1.0f / sum;
    return best;
}

#endif
