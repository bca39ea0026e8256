/* The machine code for processors with AVX-512 VNNI. */

#include "native.h"

enum { LANES = 16, VECTORS = BLOCK / LANES, TILE = 6, ZERO_SHIFT = 7 };
static const float ZERO = 1 << ZERO_SHIFT;

/* VERSION in native.py. Both must be raised when a structure, the packing or the rounding of products changes. */
__attribute__((visibility("default"))) const int32_t lacuna_version = 2;

#define VNNI __attribute__((target("f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define INLINE static inline __attribute__((always_inline)) VNNI

INLINE __mmask16 lanes(int64_t left) { return left >= LANES ? 0xffff : (__mmask16)((1u << left) - 1); }

INLINE void store_bytes(uint8_t *to, __mmask16 mask, __m512 whole_numbers) {
    __m512i bytes = _mm512_cvtps_epi32(_mm512_add_ps(whole_numbers, _mm512_set1_ps(ZERO)));
    _mm512_mask_cvtepi32_storeu_epi8(to, mask, bytes);
}

INLINE __m512 rounded(__m512 x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

/* The largest absolute value, or the least that is divided by; no number if the row has something that is none. */
INLINE float largest_of(const float *x, int64_t inputs) {
    __m512 most = _mm512_setzero_ps();
    __mmask16 undefined = 0;
    for (int64_t k = 0; k < inputs; k += LANES) {
        __m512 values = _mm512_maskz_loadu_ps(lanes(inputs - k), x + k);
        undefined |= _mm512_cmp_ps_mask(values, values, _CMP_UNORD_Q);
        most = _mm512_max_ps(most, _mm512_abs_ps(values));
    }
    float largest = _mm512_reduce_max_ps(most);
    return undefined ? __builtin_nanf("") : largest < TINY ? TINY : largest;
}

INLINE __m128i bytes_of(__m512i values) { return _mm512_cvtepi32_epi8(values); }

/* Writes the largest absolute value of each four of x. */
INLINE void largest_of_fours(const float *x, int64_t inputs, uint32_t *fours) {
    int64_t left = padded(inputs) / 4;
    for (int64_t k = 0; k < inputs; k += LANES, fours += LANES / 4, left -= LANES / 4) {
        __m512 values = _mm512_abs_ps(_mm512_maskz_loadu_ps(lanes(inputs - k), x + k));
        values = _mm512_max_ps(values, _mm512_permute_ps(values, 0xb1));
        values = _mm512_max_ps(values, _mm512_permute_ps(values, 0x4e));
        __m128i firsts = _mm512_castsi512_si128(_mm512_maskz_compress_epi32(0x1111, _mm512_castps_si512(values)));
        _mm_mask_storeu_epi32(fours, left >= 4 ? 0xf : (__mmask8)((1u << left) - 1), firsts);
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
    __m512 times = _mm512_set1_ps(largest / limit);
    scales[0] = step, scales[1] = largest / limit;
    for (int64_t k = 0; k < inputs; k += LANES) {
        __mmask16 mask = lanes(length - k);
        __m512 values = _mm512_maskz_loadu_ps(lanes(inputs - k), x + k);
        __mmask16 larger = _mm512_cmp_ps_mask(_mm512_abs_ps(values), _mm512_set1_ps(limit), _CMP_GT_OQ);
        values = _mm512_div_ps(values, _mm512_set1_ps(step));
        if (larger) {
            __m512 coarse = rounded(_mm512_maskz_div_ps(larger, values, times));
            values = _mm512_sub_ps(values, _mm512_mul_ps(coarse, times));
            __m512i whole = _mm512_cvtps_epi32(coarse), zero = _mm512_setzero_si512();
            __mmask16 negative = _mm512_cmplt_epi32_mask(whole, zero);
            outliers->below = append(
                below, outliers->below, k / 4, bytes_of(_mm512_maskz_sub_epi32(negative, zero, whole)), LANES);
            outliers->above = append(
                above, outliers->above, k / 4, bytes_of(_mm512_maskz_mov_epi32((__mmask16)~negative, whole)), LANES);
        }
        store_bytes(bytes + k, mask, rounded(values));
    }
}

/* The body of a parallel region: splits this thread's share of the rows. */
VNNI void lacuna_split(void *shared) {
    const struct product *p = shared;
    int64_t number = p->thread_number(), threads = p->threads(), size = row_bytes(p->inputs);
    for (int64_t row = p->rows * number / threads; row < p->rows * (number + 1) / threads; row++)
        split_row(p->x + row * p->inputs, p->inputs, p->split + row * size, p->row_scales + 2 * row);
}

/* Adds the products of fours and their weights in a block. */
INLINE void add_fours(__m512i *sums, const struct four *fours, int32_t count, const int8_t *weight) {
    for (int32_t n = 0; n < count; n++) {
        const int8_t *weights = weight + (int64_t)fours[n].number * 4 * BLOCK;
        __m512i four = _mm512_set1_epi32((int)fours[n].bytes);
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++)
            sums[v] = _mm512_dpbusd_epi32(sums[v], four, _mm512_loadu_si512(weights + v * BLOCK));
    }
}

/* The sums of a row's outliers for a block of outputs. */
INLINE void outlier_sums(__m512i *sums, const struct outliers *outliers, int64_t most, const int8_t *weight) {
    for (int v = 0; v < VECTORS; v++)
        sums[v] = _mm512_setzero_si512();
    add_fours(sums, outliers->fours, outliers->below, weight);
    for (int v = 0; v < VECTORS; v++)
        sums[v] = _mm512_sub_epi32(_mm512_setzero_si512(), sums[v]);
    add_fours(sums, outliers->fours + most, outliers->above, weight);
}

/* A block of outputs of `rows` rows. The number is a constant where this is called, so that all sums are in registers. */
INLINE void multiply_tile(const struct product *p, int64_t block, int64_t row, const int rows) {
    int64_t length = padded(p->inputs), size = row_bytes(p->inputs), at = block * BLOCK;
    const int8_t *weight = p->weight + at * length;
    const uint32_t *fours[TILE];
    __m512i sums[TILE][VECTORS];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        fours[r] = (const uint32_t *)(p->split + (row + r) * size);
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) /* activations stand 128 above what they mean */
            sums[r][v] = _mm512_sub_epi32(
                _mm512_setzero_si512(), _mm512_slli_epi32(_mm512_loadu_si512(p->sums + at + v * LANES), ZERO_SHIFT));
    }
    for (int64_t k = 0; k < length / 4; k++) {
        __m512i weights[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++)
            weights[v] = _mm512_loadu_si512(weight + (4 * k + v) * BLOCK);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            __m512i four = _mm512_set1_epi32((int)fours[r][k]);
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++)
                sums[r][v] = _mm512_dpbusd_epi32(sums[r][v], four, weights[v]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        const float *row_scales = p->row_scales + 2 * (row + r);
        __m512i coarse[VECTORS];
        outlier_sums(coarse, (const void *)((const uint8_t *)fours[r] + length), most_outliers(p->inputs), weight);
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) {
            int64_t output = at + v * LANES;
            if (output >= p->outputs)
                break;
            __mmask16 mask = lanes(p->outputs - output);
            __m512 result = _mm512_cvtepi32_ps(sums[r][v]), larger = _mm512_cvtepi32_ps(coarse[v]);
            result = _mm512_add_ps(result, _mm512_mul_ps(larger, _mm512_set1_ps(row_scales[1])));
            result = _mm512_mul_ps(result, _mm512_maskz_loadu_ps(mask, p->scales + output));
            result = _mm512_mul_ps(result, _mm512_set1_ps(row_scales[0]));
            if (p->bias)
                result = _mm512_add_ps(result, _mm512_maskz_loadu_ps(mask, p->bias + output));
            _mm512_mask_storeu_ps(p->out + (row + r) * p->outputs + output, mask, result);
        }
    }
}

/* The body of a parallel region: multiplies this thread's share of the blocks by the split rows. */
VNNI void lacuna_multiply(void *shared) {
    const struct product *p = shared;
    int64_t number = p->thread_number(), threads = p->threads();
    struct shares all = shares_of(p, TILE, threads);
    for (int64_t unit = all.units * number / threads; unit < all.units * (number + 1) / threads; unit++) {
        int64_t block = unit / all.parts, row = unit % all.parts * all.in_part, end = smaller(p->rows, row + all.in_part);
        for (; row + TILE <= end; row += TILE)
            multiply_tile(p, block, row, TILE);
        switch (end - row) {
        case 5: multiply_tile(p, block, row, 5); break;
        case 4: multiply_tile(p, block, row, 4); break;
        case 3: multiply_tile(p, block, row, 3); break;
        case 2: multiply_tile(p, block, row, 2); break;
        case 1: multiply_tile(p, block, row, 1); break;
        }
    }
}

/* Rounds fp32 weights to 8 bits and packs them. */
VNNI void lacuna_pack(void *arguments) {
    const struct rows *p = arguments;
    int64_t length = padded(p->inputs);
    for (int64_t row = 0; row < p->count; row++) {
        const float *weights = p->rows + row * p->inputs;
        int8_t *fours = p->packed + row / BLOCK * BLOCK * length + row % BLOCK * 4;
        __m512i sum = _mm512_setzero_si512();
        float scale = p->scales[row] = largest_of(weights, p->inputs) / LARGEST;
        for (int64_t k = 0; k < p->inputs; k += LANES, fours += LANES * BLOCK) {
            __m512 scaled = _mm512_div_ps(_mm512_maskz_loadu_ps(lanes(p->inputs - k), weights + k), _mm512_set1_ps(scale));
            __m512i values = _mm512_cvtps_epi32(scaled);
            sum = _mm512_add_epi32(sum, values);
            __m128i bytes = _mm512_cvtepi32_epi8(values);
            for (int64_t four = 0; four < smaller(LANES, length - k) / 4; four++) {
                *(int32_t *)(fours + four * 4 * BLOCK) = _mm_cvtsi128_si32(bytes);
                bytes = _mm_srli_si128(bytes, 4);
            }
        }
        p->sums[row] = _mm512_reduce_add_epi32(sum);
    }
}

/* Root-mean-square norm. */
VNNI void lacuna_norm(const struct norm *p) {
    for (int64_t row = 0; row < p->rows; row++) {
        const float *x = p->x + row * p->width;
        __m512 squares = _mm512_setzero_ps();
        for (int64_t k = 0; k < p->width; k += LANES) {
            __m512 values = _mm512_maskz_loadu_ps(lanes(p->width - k), x + k);
            squares = _mm512_fmadd_ps(values, values, squares);
        }
        float mean = _mm512_reduce_add_ps(squares) / (float)p->width + p->epsilon;
        float root = _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean)));
        for (int64_t k = 0; k < p->width; k += LANES) {
            __mmask16 mask = lanes(p->width - k);
            __m512 values = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + k), _mm512_set1_ps(1 / root));
            values = _mm512_mul_ps(values, _mm512_maskz_loadu_ps(mask, p->weight + k));
            _mm512_mask_storeu_ps(p->out + row * p->width + k, mask, values);
        }
    }
}

/* exp(x) for x <= 0. */
INLINE __m512 exponential(__m512 x) {
    x = _mm512_max_ps(x, _mm512_set1_ps(-120.0f));
    __m512 power = rounded(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)));
    __m512 rest = _mm512_fnmadd_ps(power, _mm512_set1_ps(0.693359375f), x); /* ln 2 in two parts */
    rest = _mm512_fnmadd_ps(power, _mm512_set1_ps(-2.12194440e-4f), rest);
    __m512 sum = _mm512_set1_ps(1.0f / 5040);
    const float taylor[] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};
    for (int n = 0; n < 7; n++)
        sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(taylor[n]));
    return _mm512_scalef_ps(sum, power);
}

INLINE void attend(const struct attention *p, int64_t row, int64_t head, float *scores) {
    const float *query = p->queries + row * p->query_stride + head * p->head_dim;
    int64_t kv_head = head / (p->heads / p->kv_heads), seen = p->start + row + 1;
    const float *keys = p->keys + kv_head * p->kv_stride, *values = p->values + kv_head * p->kv_stride;
    __m512 most = _mm512_set1_ps(-__builtin_inff()), total = _mm512_setzero_ps();
    for (int64_t at = 0; at < seen; at++) {
        __m512 sum = _mm512_setzero_ps();
        for (int64_t d = 0; d < p->head_dim; d += LANES)
            sum = _mm512_fmadd_ps(_mm512_loadu_ps(query + d), _mm512_loadu_ps(keys + at * p->head_dim + d), sum);
        scores[at] = _mm512_reduce_add_ps(sum) * p->scale;
        most = _mm512_max_ps(most, _mm512_set1_ps(scores[at]));
    }
    for (int64_t at = 0; at < seen; at += LANES) {
        __mmask16 mask = lanes(seen - at);
        __m512 shares = exponential(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, scores + at), most));
        total = _mm512_mask_add_ps(total, mask, total, shares);
        _mm512_mask_storeu_ps(scores + at, mask, shares);
    }
    float whole = _mm512_reduce_add_ps(total);
    for (int64_t d = 0; d < p->head_dim; d += 4 * LANES) {
        __m512 sums[4];
        int64_t vectors = smaller(4, (p->head_dim - d) / LANES);
        for (int v = 0; v < 4; v++)
            sums[v] = _mm512_setzero_ps();
        for (int64_t at = 0; at < seen; at++)
            for (int v = 0; v < vectors; v++)
                sums[v] = _mm512_fmadd_ps(_mm512_set1_ps(scores[at]),
                                          _mm512_loadu_ps(values + at * p->head_dim + d + v * LANES), sums[v]);
        for (int v = 0; v < vectors; v++)
            _mm512_storeu_ps(p->out + (row * p->heads + head) * p->head_dim + d + v * LANES,
                             _mm512_div_ps(sums[v], _mm512_set1_ps(whole)));
    }
}

/* The body of a parallel region: this thread's share of the heads of all rows. A row sees those before it, and itself. */
VNNI void lacuna_attend(void *shared) {
    const struct attention *p = shared;
    int64_t number = p->thread_number(), threads = p->threads(), units = p->rows * p->heads;
    float *scores = p->scores + number * (p->start + p->rows);
    for (int64_t unit = units * number / threads; unit < units * (number + 1) / threads; unit++)
        attend(p, unit / p->heads, unit % p->heads, scores);
}

INLINE __m512 half(const uint8_t *at) {
    return _mm512_set1_ps(_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(at[0] | at[1] << 8))));
}

/* 32 numbers of a byte as fp32, in two vectors. */
INLINE void widen(__m256i numbers, __m512 *low, __m512 *high) {
    *low = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(numbers)));
    *high = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(numbers, 1)));
}

INLINE __m256i load(const uint8_t *at) { return _mm256_loadu_si256((const __m256i *)at); }

INLINE __m256i bits(__m256i bytes, int from, int mask) {
    return _mm256_and_si256(_mm256_srli_epi16(bytes, from), _mm256_set1_epi8((char)mask));
}

/* The low halves of 16 bytes, then the high ones. */
INLINE __m256i nibbles(const uint8_t *at) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)at);
    return bits(_mm256_set_m128i(_mm_srli_epi16(bytes, 4), bytes), 0, 15);
}

INLINE void store_scaled(float *out, __m256i numbers, __m512 scale) {
    __m512 low, high;
    widen(numbers, &low, &high);
    _mm512_storeu_ps(out, _mm512_mul_ps(low, scale));
    _mm512_storeu_ps(out + LANES, _mm512_mul_ps(high, scale));
}

INLINE void store_shifted(float *out, __m256i numbers, __m512 scale, __m512 shift) {
    __m512 low, high;
    widen(numbers, &low, &high);
    _mm512_storeu_ps(out, _mm512_add_ps(_mm512_mul_ps(low, scale), shift));
    _mm512_storeu_ps(out + LANES, _mm512_add_ps(_mm512_mul_ps(high, scale), shift));
}

INLINE void dequantize_q5_0(const uint8_t *block, float *out) {
    __mmask32 fifth = block[2] | block[3] << 8 | block[4] << 16 | (uint32_t)block[5] << 24;
    __m256i numbers = nibbles(block + 6);
    numbers = _mm256_mask_add_epi8(numbers, fifth, numbers, _mm256_set1_epi8(16));
    store_scaled(out, _mm256_sub_epi8(numbers, _mm256_set1_epi8(16)), half(block));
}

INLINE void dequantize_q4_k(const uint8_t *block, float *out) {
    const uint8_t *first = block + 4, *second = block + 8, *rest = block + 12;
    for (int n = 0; n < 8; n++) {
        int m = n % 4;
        int scale = n < 4 ? first[m] & 63 : (rest[m] & 15) | first[m] >> 6 << 4;
        int minimum = n < 4 ? second[m] & 63 : rest[m] >> 4 | second[m] >> 6 << 4;
        __m512 scales = _mm512_mul_ps(_mm512_set1_ps((float)scale), half(block));
        __m512 minima = _mm512_mul_ps(_mm512_set1_ps((float)minimum), half(block + 2));
        __m256i numbers = bits(load(block + 16 + n / 2 * 32), n % 2 * 4, 15);
        store_shifted(out + n * 32, numbers, scales, _mm512_sub_ps(_mm512_setzero_ps(), minima));
    }
}

INLINE void dequantize_q6_k(const uint8_t *block, float *out) {
    for (int n = 0; n < 8; n++) {
        const uint8_t *low = block + n / 4 * 64 + n % 2 * 32, *high = block + 128 + n / 4 * 32;
        __m256i numbers = bits(load(low), n % 4 / 2 * 4, 15);
        numbers = _mm256_or_si256(numbers, _mm256_slli_epi16(bits(load(high), n % 4 * 2, 3), 4));
        __m512 vectors[2];
        widen(_mm256_sub_epi8(numbers, _mm256_set1_epi8(32)), &vectors[0], &vectors[1]);
        for (int v = 0; v < 2; v++) {
            float scale = (float)(int8_t)block[192 + 2 * n + v];
            __m512 scales = _mm512_mul_ps(_mm512_set1_ps(scale), half(block + 208));
            _mm512_storeu_ps(out + n * 32 + v * LANES, _mm512_mul_ps(vectors[v], scales));
        }
    }
}

/* Turns `count` blocks into fp32; returns whether the type is one of those above. */
VNNI int lacuna_dequantize(int type, const uint8_t *blocks, float *out, int64_t count) {
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
