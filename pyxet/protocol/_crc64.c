/* See _crc64.h. */

#include "_crc64.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define WITH_CLMUL 1
#include <immintrin.h>
#endif

/* The polynomial with its bits reflected. */
#define POLYNOMIAL UINT64_C(0x9a6c9329ac4bc9b5)
#define LANES 8
#define BLOCK (LANES * 16)

static uint64_t tables[8][256];

static uint64_t times_x(uint64_t value)
{
    return (value >> 1) ^ (value & 1 ? POLYNOMIAL : 0);
}

#ifdef WITH_CLMUL

typedef struct {
    uint64_t low, high;
} Fold;

static Fold fold_block, fold_lane;
static int has_clmul;

static uint64_t power_of_x(unsigned n)
{
    uint64_t value = UINT64_C(1) << 63;
    while (n--)
        value = times_x(value);
    return value;
}

/* The constants that move 16 bytes forward by `bits` bits. The product of two reflected words is one bit short, hence the
   -1; the first eight bytes of the 16 are 64 bits earlier in the message than the others. */
static Fold fold_by(unsigned bits)
{
    Fold fold = {power_of_x(bits + 64 - 1), power_of_x(bits - 1)};
    return fold;
}

__attribute__((target("pclmul,sse4.1"))) static __m128i folded(__m128i value, __m128i constants)
{
    return _mm_xor_si128(_mm_clmulepi64_si128(value, constants, 0x00), _mm_clmulepi64_si128(value, constants, 0x11));
}

/* Updates the register *crc with the first bytes of `data`, which has at least one block. Returns how many bytes that were. */
__attribute__((target("pclmul,sse4.1"))) static size_t update_clmul(uint64_t *crc, const uint8_t *data, size_t size)
{
    const uint8_t *at = data, *end = data + size;
    __m128i by_block = _mm_set_epi64x((long long)fold_block.high, (long long)fold_block.low);
    __m128i by_lane = _mm_set_epi64x((long long)fold_lane.high, (long long)fold_lane.low);
    __m128i lanes[LANES];
    for (int i = 0; i < LANES; i++)
        lanes[i] = _mm_loadu_si128((const __m128i *)(at + 16 * i));
    lanes[0] = _mm_xor_si128(lanes[0], _mm_set_epi64x(0, (long long)*crc));
    for (at += BLOCK; end - at >= BLOCK; at += BLOCK)
        for (int i = 0; i < LANES; i++)
            lanes[i] = _mm_xor_si128(folded(lanes[i], by_block), _mm_loadu_si128((const __m128i *)(at + 16 * i)));
    __m128i rest = lanes[0];
    for (int i = 1; i < LANES; i++)
        rest = _mm_xor_si128(folded(rest, by_lane), lanes[i]);
    for (; end - at >= 16; at += 16)
        rest = _mm_xor_si128(folded(rest, by_lane), _mm_loadu_si128((const __m128i *)at));
    uint8_t last[16];
    _mm_storeu_si128((__m128i *)last, rest);
    *crc = pyxet_crc64_update(0, last, sizeof last);
    return (size_t)(at - data);
}

#endif

void pyxet_crc64_prepare(void)
{
    for (int i = 0; i < 256; i++) {
        uint64_t value = (uint64_t)i;
        for (int bit = 0; bit < 8; bit++)
            value = times_x(value);
        tables[0][i] = value;
    }
    for (int k = 1; k < 8; k++)
        for (int i = 0; i < 256; i++)
            tables[k][i] = (tables[k - 1][i] >> 8) ^ tables[0][tables[k - 1][i] & 0xff];
#ifdef WITH_CLMUL
    fold_block = fold_by(8 * BLOCK);
    fold_lane = fold_by(128);
    __builtin_cpu_init();
    has_clmul = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
#endif
}

uint64_t pyxet_crc64_update(uint64_t crc, const uint8_t *data, size_t size)
{
#ifdef WITH_CLMUL
    if (has_clmul && size >= BLOCK) {
        size_t taken = update_clmul(&crc, data, size);
        data += taken;
        size -= taken;
    }
#endif
    for (; size >= 8; data += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        crc ^= word;
        crc = tables[7][crc & 0xff] ^ tables[6][crc >> 8 & 0xff] ^ tables[5][crc >> 16 & 0xff] ^
              tables[4][crc >> 24 & 0xff] ^ tables[3][crc >> 32 & 0xff] ^ tables[2][crc >> 40 & 0xff] ^
              tables[1][crc >> 48 & 0xff] ^ tables[0][crc >> 56];
    }
    while (size--)
        crc = (crc >> 8) ^ tables[0][(crc ^ *data++) & 0xff];
    return crc;
}
