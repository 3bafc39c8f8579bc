/* A CNN of 3 classes, written by `htgen export`; its weights are by the generator toy.
 * float weights: 636 bytes of constants, 1536 bytes of buffers, 7638 multiply-adds an image.
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

static const float cnn_conv1_weight[18] = {
    -0.306397259f, -0.347181439f, -0.534516871f, -0.177986085f, -0.554366708f, -0.0777799487f, -0.125211f, 0.334679544f,
    -0.480495274f, -0.0222268719f, -0.439554393f, 0.109244764f, 0.309919715f, 0.264698803f, -0.14574632f, 0.991945744f,
    -0.858954132f, -0.0763244256f,
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

static const float cnn_conv2_weight[36] = {
    0.392589331f, 0.146445274f, -0.342949927f, 0.256710827f, 0.112204269f, 0.674261093f, 0.394146234f, 0.110887364f,
    1.10349822f, -0.175508201f, 0.0753311813f, -0.0316116959f, -0.750853181f, -0.275953412f, -0.224889398f, 0.236599773f,
    -0.382513642f, -0.340894878f, 0.310585886f, -0.0277590118f, 0.660045087f, -0.0153372288f, 0.104929082f, -0.0585876815f,
    0.0493528396f, 0.21169728f, 0.329405993f, -0.260956556f, 0.0501333624f, 0.00519180112f, -0.103159681f, -0.380380005f,
    0.39989689f, 0.0636777133f, 0.113279514f, -0.0686089098f,
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

static const float cnn_conv3_weight[36] = {
    0.501716554f, 0.163401306f, -0.0694855005f, 0.303585202f, 0.063450329f, 0.52693063f, -0.0119054019f, -0.774666369f,
    -0.0627099574f, -0.0215095021f, 0.0946609676f, -0.231367737f, -0.731804371f, 0.545538187f, 0.167624131f, -0.0547445901f,
    -0.186564684f, -0.224020883f, -0.175810039f, -0.160034955f, -0.281877398f, -0.492947042f, -0.253240585f, 0.0667567998f,
    0.296660244f, 0.471714109f, -0.164700031f, -0.376083493f, -0.0420267656f, 0.398020923f, 0.160167933f, 0.308467209f,
    -0.643394113f, -0.143854871f, -0.620096266f, -0.0440740772f,
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

static const float cnn_conv4_weight[36] = {
    0.0848456472f, -0.167501763f, 0.363568962f, -0.346278787f, 0.11497689f, -0.64060688f, -0.0422262624f, 0.472667962f,
    0.0711539611f, 0.188376248f, 0.106762864f, 0.0718550682f, -0.621990621f, -0.2826882f, -0.871998906f, -0.250047266f,
    0.550474346f, 0.138221756f, -0.737028003f, 0.55429709f, -0.139891386f, 0.49789089f, -0.130379081f, 0.044594124f,
    0.222208485f, 0.731479764f, 0.0151795745f, 0.180970266f, -0.132340401f, -0.0429155789f, -0.0380861945f, -0.429781854f,
    0.177529573f, 0.805456638f, -0.339055389f, -0.469859868f,
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

static const float cnn_logits_weight[6] = {
    -0.0850007907f, -0.0745131597f, 0.156360775f, 0.130534261f, -0.0808090866f, -0.0526747704f,
};
static const float cnn_logits_bias[3] = {
    0.0467866212f, -0.105777338f, 0.049174428f,
};

/* One block: images [channels][side][side]; weights [outputs][channels][kernel][kernel]. */
static void cnn_block(const float *in, int channels, int side, float *out, int outputs, int out_side,
                         int kernel, int stride, int padding, int pool, const float *weight,
                         const float *bias, const float *factor, const float *summand)
{
    const int size = channels * kernel * kernel;
    for (int o = 0; o < outputs; o++, weight += size)
    for (int y = 0; y < out_side; y++)
    for (int x = 0; x < out_side; x++) {
        float best = -INFINITY;
        for (int p = 0; p < pool * pool; p++) {
            const float *w = weight;
            int top = (y * pool + p / pool) * stride - padding;
            int left = (x * pool + p % pool) * stride - padding;
            float sum = 0.0f;
            for (int c = 0; c < channels; c++)
            for (int i = top; i < top + kernel; i++)
            for (int j = left; j < left + kernel; j++, w++)
                if (i >= 0 && i < side && j >= 0 && j < side)
                    sum += in[(c * side + i) * side + j] * *w;
            sum = sum + bias[o];
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
        cnn_conv1_weight, cnn_conv1_bias, cnn_conv1_factor, cnn_conv1_summand);
    cnn_block(odd, 2, 8, even, 2, 4, 3, 1, 1, 2,
        cnn_conv2_weight, cnn_conv2_bias, cnn_conv2_factor, cnn_conv2_summand);
    cnn_block(even, 2, 4, odd, 2, 2, 3, 1, 1, 2,
        cnn_conv3_weight, cnn_conv3_bias, cnn_conv3_factor, cnn_conv3_summand);
    cnn_block(odd, 2, 2, even, 2, 1, 3, 1, 1, 2,
        cnn_conv4_weight, cnn_conv4_bias, cnn_conv4_factor, cnn_conv4_summand);
    const float *w = cnn_logits_weight;
    for (int k = 0; k < 3; k++) {
        float sum = 0.0f;
        for (int f = 0; f < 2; f++)
            sum += even[f] * *w++;
        logits[k] = sum + cnn_logits_bias[k];
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
