/* What the machine code for each kind of processor shares: structures, packing, and where outliers begin. See native.py.

   A row of activations becomes bytes, in steps that suit most of them. Those that are larger, up to an eighth of all
   groups of four inputs, get a second byte, which counts larger steps (`split_row`).

   Weights are packed in blocks of 64 outputs: in each block the inputs by fours, in each four 4 bytes of every output;
   inputs are padded to a multiple of 4, and outputs to whole blocks, with zeros.

   All of it rounds alike, so that products are equal to the last bit on every processor. Needs no library. To be compiled
   without contraction, so that a compiler does not change how results are rounded. */

#include <immintrin.h>
#include <stdint.h>

enum { BLOCK = 64 };
enum { OUTLIER_SHARE = 8, BUCKETS = 72, BUCKET_SHIFT = 20 }; /* eight buckets for each halving, down to a 256th and less */
static const float LARGEST = 127.0f, MOST_STEPS = 253.0f, TINY = 1e-12f;

struct product {
    const float *x;        /* [rows, inputs] */
    const int8_t *weight;  /* packed */
    const int32_t *sums;   /* of the weights of each output */
    const float *scales;   /* [outputs] */
    const float *bias;     /* [outputs], or null */
    float *out;            /* [rows, outputs] */
    uint8_t *split;        /* [rows, `row_bytes`] */
    float *row_scales;     /* [rows, 2]: the steps of the bytes, and how many of them a step of the outliers is */
    int64_t rows, inputs, outputs;
    int (*thread_number)(void);
    int (*threads)(void);
};

/* Weights to be packed; the first row is the first of a block. */
struct rows {
    const float *rows; /* [count, inputs] */
    int8_t *packed;    /* whole blocks of zeros */
    int32_t *sums;     /* [count] */
    float *scales;     /* [count] */
    int64_t count, inputs;
};

struct norm {
    const float *x, *weight; /* [rows, width], [width] */
    float *out;              /* [rows, width] */
    int64_t rows, width;
    float epsilon;
};

struct attention {
    const float *queries;       /* [rows, heads, head_dim], rows `query_stride` apart */
    const float *keys, *values; /* [kv heads, positions, head_dim], heads `kv_stride` apart */
    float *out;                 /* [rows, heads, head_dim] */
    float *scores;              /* [threads, start + rows] */
    int64_t rows, start, heads, kv_heads, head_dim, query_stride, kv_stride;
    float scale;
    int (*thread_number)(void);
    int (*threads)(void);
};

/* The types of weights in GGUF files, as ggml numbers them (ggml.h; the layouts of blocks: ggml-common.h). */
enum { Q4_0 = 2, Q4_1 = 3, Q5_0 = 6, Q8_0 = 8, Q4_K = 12, Q6_K = 14 };

#define SHARED static inline __attribute__((always_inline))

SHARED int64_t padded(int64_t inputs) { return (inputs + 3) / 4 * 4; }

SHARED int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* Four inputs of a row, as unsigned bytes. */
struct four {
    uint32_t number, bytes;
};

/* After the bytes of a row: the outliers below zero, and those above, of at most `most_outliers` fours each. */
struct outliers {
    int32_t below, above;
    struct four fours[];
};

SHARED int64_t most_outliers(int64_t inputs) { return padded(inputs) / 4 / OUTLIER_SHARE; }

SHARED int64_t row_bytes(int64_t inputs) {
    return padded(inputs) + (int64_t)sizeof(struct outliers) + 2 * most_outliers(inputs) * (int64_t)sizeof(struct four);
}

SHARED uint32_t bits_of(float x) { return (uint32_t)_mm_cvtsi128_si32(_mm_castps_si128(_mm_set_ss(x))); }

SHARED float float_of(uint32_t bits) { return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((int)bits))); }

/* What at most `most_outliers` of the `count` fours exceed: an upper bound of a bucket, but not more than the largest. */
SHARED float limit_of(const uint32_t *fours, int64_t count, float largest) {
    uint16_t in_bucket[BUCKETS + 1] = {0};
    int64_t top = bits_of(largest) >> BUCKET_SHIFT, exceeding = 0, bucket = 0;
    for (int64_t four = 0; four < count; four++)
        in_bucket[smaller(top - (fours[four] >> BUCKET_SHIFT), BUCKETS)]++;
    while (bucket < BUCKETS && (exceeding += in_bucket[bucket]) <= count / OUTLIER_SHARE)
        bucket++;
    float bound = float_of((uint32_t)(top - bucket + 1) << BUCKET_SHIFT), least = largest / MOST_STEPS;
    bound = bound < largest ? bound : largest;
    return bound > least ? bound : least;
}

/* Appends the fours of `inputs` bytes that are not all zeros. */
SHARED int32_t append(struct four *fours, int32_t count, int64_t number, __m128i bytes, int64_t inputs) {
    for (int64_t n = 0; n < inputs / 4; n++, bytes = _mm_srli_si128(bytes, 4)) {
        uint32_t four = (uint32_t)_mm_cvtsi128_si32(bytes);
        if (four)
            fours[count++] = (struct four){(uint32_t)(number + n), four};
    }
    return count;
}

/* The units of work, each a block of outputs of at most `in_part` rows. A block is read from memory once for all rows; only
   for many rows and threads is it shared. */
struct shares {
    int64_t parts, in_part, units;
};

SHARED struct shares shares_of(const struct product *p, int64_t tile, int64_t threads) {
    int64_t blocks = (p->outputs + BLOCK - 1) / BLOCK, least = 4 * tile;
    int64_t parts = smaller((p->rows + least - 1) / least, threads);
    int64_t in_part = ((p->rows + parts - 1) / parts + tile - 1) / tile * tile;
    return (struct shares){parts, in_part, blocks * parts};
}
