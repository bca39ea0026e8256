/* The machine code for processors with AVX2 but without AVX-512 VNNI.

   Their product of unsigned and signed bytes adds two of them to 16 bits, which overflow when both factors have 8. So the
   weights lose their sign, and the activations get it: 2 * 127 * 127 fits. */

#include "native.h"

enum { LANES = 8, VECTORS = BLOCK / LANES, TILE = 4, AHEAD = 6 /* fours */ };

#define AVX2 __attribute__((target("avx2,fma,f16c")))
#define INLINE static inline __attribute__((always_inline)) AVX2

/* -1 for each lane that is used. */
INLINE __m256i lanes(int64_t left) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)smaller(left, LANES)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* The values that are left, and zeros. */
INLINE __m256 load_some(const float *at, int64_t left) {
    return left >= LANES ? _mm256_loadu_ps(at) : _mm256_maskload_ps(at, lanes(left));
}

INLINE void store_some(float *at, int64_t left, __m256 values) {
    if (left >= LANES)
        _mm256_storeu_ps(at, values);
    else
        _mm256_maskstore_ps(at, lanes(left), values);
}

INLINE __m256 absolute(__m256 x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }

INLINE __m256 rounded(__m256 x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

INLINE float reduced_sum(__m256 x) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

INLINE float reduced_max(__m256 x) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

/* 8 numbers as signed bytes. */
INLINE __m128i bytes_of(__m256i numbers) {
    __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(numbers), _mm256_extracti128_si256(numbers, 1));
    return _mm_packs_epi16(words, words);
}

/* The first of 4 or 8 bytes. */
INLINE void store_bytes(uint8_t *at, int64_t left, __m128i bytes) {
    if (left >= LANES)
        _mm_storeu_si64(at, bytes);
    else
        _mm_storeu_si32(at, bytes);
}

/* The largest absolute value, or the least that is divided by; no number if the row has something that is none. */
INLINE float largest_of(const float *x, int64_t inputs) {
    __m256 most = _mm256_setzero_ps(), undefined = _mm256_setzero_ps();
    for (int64_t k = 0; k < inputs; k += LANES) {
        __m256 values = load_some(x + k, inputs - k);
        undefined = _mm256_or_ps(undefined, _mm256_cmp_ps(values, values, _CMP_UNORD_Q));
        most = _mm256_max_ps(most, absolute(values));
    }
    float largest = reduced_max(most);
    return _mm256_movemask_ps(undefined) ? __builtin_nanf("") : largest < TINY ? TINY : largest;
}

/* Writes the largest absolute value of each four of x. */
INLINE void largest_of_fours(const float *x, int64_t inputs, uint32_t *fours) {
    int64_t length = padded(inputs);
    for (int64_t k = 0; k < length; k += LANES) {
        __m256 values = absolute(load_some(x + k, inputs - k));
        values = _mm256_max_ps(values, _mm256_permute_ps(values, 0xb1));
        values = _mm256_max_ps(values, _mm256_permute_ps(values, 0x4e));
        fours[k / 4] = bits_of(_mm256_cvtss_f32(values));
        if (length - k > 4)
            fours[k / 4 + 1] = bits_of(_mm_cvtss_f32(_mm256_extractf128_ps(values, 1)));
    }
}

/* Splits a row into bytes and outliers. A value of more steps than a byte has becomes a byte of steps that are
   `scales[1]` times as large, and what is left of it a byte of small steps, so that it is as exact as the others. */
INLINE void split_row(const float *x, int64_t inputs, uint8_t *bytes, float *scales) {
    int64_t length = padded(inputs);
    struct outliers *outliers = (struct outliers *)(bytes + length);
    struct four *below = outliers->fours, *above = below + most_outliers(inputs);
    float largest = largest_of(x, inputs);
    outliers->below = outliers->above = 0;
    if (!(largest <= __FLT_MAX__)) { /* no number, or infinite */
        scales[0] = scales[1] = __builtin_nanf("");
        return;
    }
    largest_of_fours(x, inputs, (uint32_t *)bytes); /* which takes the room of the bytes */
    float limit = limit_of((const uint32_t *)bytes, length / 4, largest), step = limit / LARGEST;
    __m256 times = _mm256_set1_ps(largest / limit);
    scales[0] = step, scales[1] = largest / limit;
    for (int64_t k = 0; k < length; k += LANES) {
        __m256 values = load_some(x + k, inputs - k);
        __m256 larger = _mm256_cmp_ps(absolute(values), _mm256_set1_ps(limit), _CMP_GT_OQ);
        values = _mm256_div_ps(values, _mm256_set1_ps(step));
        if (_mm256_movemask_ps(larger)) {
            __m256 coarse = _mm256_and_ps(larger, rounded(_mm256_div_ps(values, times)));
            values = _mm256_sub_ps(values, _mm256_mul_ps(coarse, times));
            __m256i whole = _mm256_cvtps_epi32(coarse), zero = _mm256_setzero_si256();
            __m128i negative = bytes_of(_mm256_max_epi32(_mm256_sub_epi32(zero, whole), zero));
            __m128i positive = bytes_of(_mm256_max_epi32(whole, zero));
            outliers->below = append(below, outliers->below, k / 4, negative, smaller(LANES, length - k));
            outliers->above = append(above, outliers->above, k / 4, positive, smaller(LANES, length - k));
        }
        store_bytes(bytes + k, length - k, bytes_of(_mm256_cvtps_epi32(values)));
    }
}

/* The body of a parallel region: splits this thread's share of the rows. */
AVX2 void lacuna_avx2_split(void *shared) {
    const struct product *p = shared;
    int64_t number = p->thread_number(), threads = p->threads(), size = row_bytes(p->inputs);
    for (int64_t row = p->rows * number / threads; row < p->rows * (number + 1) / threads; row++)
        split_row(p->x + row * p->inputs, p->inputs, p->split + row * size, p->row_scales + 2 * row);
}

INLINE __m256i load(const void *at) { return _mm256_loadu_si256(at); }

/* The products of four unsigned bytes and as many signed ones, in each lane, and `sums`. */
INLINE __m256i add_products(__m256i sums, __m256i without_sign, __m256i with_sign) {
    __m256i pairs = _mm256_maddubs_epi16(without_sign, with_sign);
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/* Adds the products of fours and their weights for `vectors` times 8 outputs. */
INLINE void add_fours(
    __m256i *sums, const struct four *fours, int32_t count, const int8_t *weight, const int vectors) {
    for (int32_t n = 0; n < count; n++) {
        const int8_t *weights = weight + (int64_t)fours[n].number * 4 * BLOCK;
        __m256i four = _mm256_set1_epi32((int)fours[n].bytes);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++)
            sums[v] = add_products(sums[v], four, load(weights + v * 4 * LANES));
    }
}

/* The sums of a row's outliers. */
INLINE void outlier_sums(
    __m256i *sums, const struct outliers *outliers, int64_t most, const int8_t *weight, const int vectors) {
    for (int v = 0; v < vectors; v++)
        sums[v] = _mm256_setzero_si256();
    add_fours(sums, outliers->fours, outliers->below, weight, vectors);
    for (int v = 0; v < vectors; v++)
        sums[v] = _mm256_sub_epi32(_mm256_setzero_si256(), sums[v]);
    add_fours(sums, outliers->fours + most, outliers->above, weight, vectors);
}

/* `vectors` times 8 outputs of `rows` rows. Both numbers are constants where this is called, and so small that all sums are
   in registers. The first tile of a block `fetches` all of it: the processor does not foresee that the rest is needed. */
INLINE void multiply_tile(
    const struct product *p, int64_t output, int64_t row, const int rows, const int vectors, const int fetches) {
    int64_t length = padded(p->inputs), size = row_bytes(p->inputs);
    const int8_t *weight = p->weight + output / BLOCK * BLOCK * length + output % BLOCK * 4;
    const uint32_t *fours[TILE];
    __m256i sums[TILE][VECTORS];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
        fours[r] = (const uint32_t *)(p->split + (row + r) * size);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++)
            sums[r][v] = _mm256_setzero_si256();
    }
    for (int64_t k = 0; k < length / 4; k++) {
#pragma GCC unroll 4
        for (int line = 0; fetches && line < VECTORS / 2; line++)
            _mm_prefetch((const char *)weight + (k + AHEAD) * 4 * BLOCK + line * 64, _MM_HINT_T0);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            __m256i weights = load(weight + k * 4 * BLOCK + v * 4 * LANES), without_sign = _mm256_abs_epi8(weights);
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++) {
                __m256i four = _mm256_sign_epi8(_mm256_set1_epi32((int)fours[r][k]), weights);
                sums[r][v] = add_products(sums[r][v], without_sign, four);
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
        const float *row_scales = p->row_scales + 2 * (row + r);
        __m256i coarse[VECTORS];
        outlier_sums(coarse, (const void *)((const uint8_t *)fours[r] + length), most_outliers(p->inputs), weight, vectors);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            int64_t at = output + v * LANES, left = p->outputs - at;
            if (left <= 0)
                break;
            __m256 result = _mm256_cvtepi32_ps(sums[r][v]), larger = _mm256_cvtepi32_ps(coarse[v]);
            result = _mm256_add_ps(result, _mm256_mul_ps(larger, _mm256_set1_ps(row_scales[1])));
            result = _mm256_mul_ps(result, load_some(p->scales + at, left));
            result = _mm256_mul_ps(result, _mm256_set1_ps(row_scales[0]));
            if (p->bias)
                result = _mm256_add_ps(result, load_some(p->bias + at, left));
            store_some(p->out + (row + r) * p->outputs + at, left, result);
        }
    }
}

/* The outputs of a block from `first` on, of the rows from `start` on, in tiles of `rows` of them. */
INLINE void multiply_block(
    const struct product *p, int64_t first, int64_t start, int64_t end, const int rows, const int vectors) {
    if (start == end)
        return;
    multiply_tile(p, first, start, rows, vectors, vectors < VECTORS);
    for (int64_t row = start + rows; row < end; row += rows)
        multiply_tile(p, first, row, rows, vectors, 0);
    for (int64_t output = first + vectors * LANES; output < smaller(first + BLOCK, p->outputs); output += vectors * LANES)
        for (int64_t row = start; row < end; row += rows)
            multiply_tile(p, output, row, rows, vectors, 0);
}

/* The body of a parallel region: multiplies this thread's share of the blocks by the split rows. */
AVX2 void lacuna_avx2_multiply(void *shared) {
    const struct product *p = shared;
    int64_t number = p->thread_number(), threads = p->threads();
    struct shares all = shares_of(p, TILE, threads);
    for (int64_t unit = all.units * number / threads; unit < all.units * (number + 1) / threads; unit++) {
        int64_t first = unit / all.parts * BLOCK, start = unit % all.parts * all.in_part;
        int64_t end = smaller(p->rows, start + all.in_part);
        int64_t whole = start + (end - start) / TILE * TILE;
        multiply_block(p, first, start, whole, TILE, 2);
        switch (end - whole) {
        case 3: multiply_block(p, first, whole, end, 3, 4); break;
        case 2: multiply_block(p, first, whole, end, 2, 4); break;
        case 1: multiply_block(p, first, whole, end, 1, 8); break;
        }
    }
}

/* Rounds fp32 weights to 8 bits and packs them. */
AVX2 void lacuna_avx2_pack(void *arguments) {
    const struct rows *p = arguments;
    int64_t length = padded(p->inputs);
    for (int64_t row = 0; row < p->count; row++) {
        const float *weights = p->rows + row * p->inputs;
        int8_t *fours = p->packed + row / BLOCK * BLOCK * length + row % BLOCK * 4;
        __m256i sum = _mm256_setzero_si256();
        float scale = p->scales[row] = largest_of(weights, p->inputs) / LARGEST;
        for (int64_t k = 0; k < length; k += LANES, fours += LANES * BLOCK) {
            __m256 scaled = _mm256_div_ps(load_some(weights + k, p->inputs - k), _mm256_set1_ps(scale));
            __m256i values = _mm256_cvtps_epi32(scaled);
            sum = _mm256_add_epi32(sum, values);
            __m128i bytes = bytes_of(values);
            for (int64_t four = 0; four < smaller(LANES, length - k) / 4; four++) {
                *(int32_t *)(fours + four * 4 * BLOCK) = _mm_cvtsi128_si32(bytes);
                bytes = _mm_srli_si128(bytes, 4);
            }
        }
        __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
        p->sums[row] = _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
    }
}

/* Root-mean-square norm. */
AVX2 void lacuna_avx2_norm(const struct norm *p) {
    for (int64_t row = 0; row < p->rows; row++) {
        const float *x = p->x + row * p->width;
        __m256 squares = _mm256_setzero_ps();
        for (int64_t k = 0; k < p->width; k += LANES) {
            __m256 values = load_some(x + k, p->width - k);
            squares = _mm256_fmadd_ps(values, values, squares);
        }
        float mean = reduced_sum(squares) / (float)p->width + p->epsilon;
        float root = _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean)));
        for (int64_t k = 0; k < p->width; k += LANES) {
            __m256 values = _mm256_mul_ps(load_some(x + k, p->width - k), _mm256_set1_ps(1 / root));
            store_some(p->out + row * p->width + k, p->width - k,
                       _mm256_mul_ps(values, load_some(p->weight + k, p->width - k)));
        }
    }
}

/* exp(x) for x <= 0. */
INLINE __m256 exponential(__m256 x) {
    x = _mm256_max_ps(x, _mm256_set1_ps(-87.0f)); /* less is nothing beside the largest score, which is 1 */
    __m256 power = rounded(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)));
    __m256 rest = _mm256_fnmadd_ps(power, _mm256_set1_ps(0.693359375f), x); /* ln 2 in two parts */
    rest = _mm256_fnmadd_ps(power, _mm256_set1_ps(-2.12194440e-4f), rest);
    __m256 sum = _mm256_set1_ps(1.0f / 5040);
    const float taylor[] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};
    for (int n = 0; n < 7; n++)
        sum = _mm256_fmadd_ps(sum, rest, _mm256_set1_ps(taylor[n]));
    __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(power), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(sum, _mm256_castsi256_ps(exponent));
}

INLINE void attend(const struct attention *p, int64_t row, int64_t head, float *scores) {
    const float *query = p->queries + row * p->query_stride + head * p->head_dim;
    int64_t kv_head = head / (p->heads / p->kv_heads), seen = p->start + row + 1;
    const float *keys = p->keys + kv_head * p->kv_stride, *values = p->values + kv_head * p->kv_stride;
    float most = -__builtin_inff();
    __m256 total = _mm256_setzero_ps();
    for (int64_t at = 0; at < seen; at++) {
        __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
        for (int64_t d = 0; d < p->head_dim; d += 2 * LANES)
            for (int v = 0; v < 2; v++)
                sums[v] = _mm256_fmadd_ps(_mm256_loadu_ps(query + d + v * LANES),
                                          _mm256_loadu_ps(keys + at * p->head_dim + d + v * LANES), sums[v]);
        scores[at] = reduced_sum(_mm256_add_ps(sums[0], sums[1])) * p->scale;
        most = scores[at] > most ? scores[at] : most;
    }
    for (int64_t at = 0; at < seen; at += LANES) {
        __m256 shares = exponential(_mm256_sub_ps(load_some(scores + at, seen - at), _mm256_set1_ps(most)));
        if (seen - at < LANES)
            shares = _mm256_and_ps(shares, _mm256_castsi256_ps(lanes(seen - at)));
        total = _mm256_add_ps(total, shares);
        store_some(scores + at, seen - at, shares);
    }
    float whole = reduced_sum(total);
    for (int64_t d = 0; d < p->head_dim; d += 4 * LANES) {
        __m256 sums[4];
        int64_t vectors = smaller(4, (p->head_dim - d) / LANES);
        for (int v = 0; v < 4; v++)
            sums[v] = _mm256_setzero_ps();
        for (int64_t at = 0; at < seen; at++)
            for (int v = 0; v < vectors; v++)
                sums[v] = _mm256_fmadd_ps(_mm256_set1_ps(scores[at]),
                                          _mm256_loadu_ps(values + at * p->head_dim + d + v * LANES), sums[v]);
        for (int v = 0; v < vectors; v++)
            _mm256_storeu_ps(p->out + (row * p->heads + head) * p->head_dim + d + v * LANES,
                             _mm256_div_ps(sums[v], _mm256_set1_ps(whole)));
    }
}

/* The body of a parallel region: this thread's share of the heads of all rows. A row sees those before it, and itself. */
AVX2 void lacuna_avx2_attend(void *shared) {
    const struct attention *p = shared;
    int64_t number = p->thread_number(), threads = p->threads(), units = p->rows * p->heads;
    float *scores = p->scores + number * (p->start + p->rows);
    for (int64_t unit = units * number / threads; unit < units * (number + 1) / threads; unit++)
        attend(p, unit / p->heads, unit % p->heads, scores);
}

INLINE __m256 half(const uint8_t *at) {
    return _mm256_set1_ps(_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(at[0] | at[1] << 8))));
}

INLINE __m256i bits(__m256i bytes, int from, int mask) {
    return _mm256_and_si256(_mm256_srli_epi16(bytes, from), _mm256_set1_epi8((char)mask));
}

/* The low halves of 16 bytes, then the high ones. */
INLINE __m256i nibbles(const uint8_t *at) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)at);
    return bits(_mm256_set_m128i(_mm_srli_epi16(bytes, 4), bytes), 0, 15);
}

/* The n-th 8 of 32 numbers of a byte, as fp32. */
INLINE __m256 eight(__m256i numbers, int n) {
    __m128i half = n < 2 ? _mm256_castsi256_si128(numbers) : _mm256_extracti128_si256(numbers, 1);
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(n % 2 ? _mm_srli_si128(half, 8) : half));
}

INLINE void store_scaled(float *out, __m256i numbers, __m256 scale) {
#pragma GCC unroll 4
    for (int n = 0; n < 4; n++)
        _mm256_storeu_ps(out + n * LANES, _mm256_mul_ps(eight(numbers, n), scale));
}

INLINE void store_shifted(float *out, __m256i numbers, __m256 scale, __m256 shift) {
#pragma GCC unroll 4
    for (int n = 0; n < 4; n++)
        _mm256_storeu_ps(out + n * LANES, _mm256_add_ps(_mm256_mul_ps(eight(numbers, n), scale), shift));
}

INLINE void dequantize_q5_0(const uint8_t *block, float *out) {
    __m256i bytes = _mm256_set1_epi32((int)(block[2] | block[3] << 8 | block[4] << 16 | (uint32_t)block[5] << 24));
    bytes = _mm256_shuffle_epi8(bytes, _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
    __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i fifth = _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit), _mm256_set1_epi8(16));
    __m256i numbers = _mm256_or_si256(nibbles(block + 6), fifth);
    store_scaled(out, _mm256_sub_epi8(numbers, _mm256_set1_epi8(16)), half(block));
}

INLINE void dequantize_q4_k(const uint8_t *block, float *out) {
    const uint8_t *first = block + 4, *second = block + 8, *rest = block + 12;
    for (int n = 0; n < 8; n++) {
        int m = n % 4;
        int scale = n < 4 ? first[m] & 63 : (rest[m] & 15) | first[m] >> 6 << 4;
        int minimum = n < 4 ? second[m] & 63 : rest[m] >> 4 | second[m] >> 6 << 4;
        __m256 scales = _mm256_mul_ps(_mm256_set1_ps((float)scale), half(block));
        __m256 minima = _mm256_mul_ps(_mm256_set1_ps((float)minimum), half(block + 2));
        __m256i numbers = bits(load(block + 16 + n / 2 * 32), n % 2 * 4, 15);
        store_shifted(out + n * 32, numbers, scales, _mm256_sub_ps(_mm256_setzero_ps(), minima));
    }
}

INLINE void dequantize_q6_k(const uint8_t *block, float *out) {
    for (int n = 0; n < 8; n++) {
        const uint8_t *low = block + n / 4 * 64 + n % 2 * 32, *high = block + 128 + n / 4 * 32;
        __m256i numbers = bits(load(low), n % 4 / 2 * 4, 15);
        numbers = _mm256_or_si256(numbers, _mm256_slli_epi16(bits(load(high), n % 4 * 2, 3), 4));
        numbers = _mm256_sub_epi8(numbers, _mm256_set1_epi8(32));
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) {
            float scale = (float)(int8_t)block[192 + 2 * n + v / 2];
            __m256 scales = _mm256_mul_ps(_mm256_set1_ps(scale), half(block + 208));
            _mm256_storeu_ps(out + n * 32 + v * LANES, _mm256_mul_ps(eight(numbers, v), scales));
        }
    }
}

/* Turns `count` blocks into fp32; returns whether the type is one of those in native.h. */
AVX2 int lacuna_avx2_dequantize(int type, const uint8_t *blocks, float *out, int64_t count) {
    for (int64_t n = 0; n < count; n++) {
        switch (type) {
        case Q4_0:
            store_scaled(out + n * 32, _mm256_sub_epi8(nibbles(blocks + n * 18 + 2), _mm256_set1_epi8(8)),
                         half(blocks + n * 18));
            break;
        case Q4_1:
            store_shifted(out + n * 32, nibbles(blocks + n * 20 + 4), half(blocks + n * 20), half(blocks + n * 20 + 2));
            break;
        case Q5_0:
            dequantize_q5_0(blocks + n * 22, out + n * 32);
            break;
        case Q8_0:
            store_scaled(out + n * 32, load(blocks + n * 34 + 2), half(blocks + n * 34));
            break;
        case Q4_K:
            dequantize_q4_k(blocks + n * 144, out + n * 256);
            break;
        case Q6_K:
            dequantize_q6_k(blocks + n * 210, out + n * 256);
            break;
        default:
            return 0;
        }
    }
    return 1;
}
