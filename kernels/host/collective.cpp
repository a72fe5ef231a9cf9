// What the last lane to arrive does for all.
#include "block.h"
#include "operands.h"

#include <algorithm>
#include <cstring>

#ifdef __F16C__
#include <immintrin.h>
#endif

struct float16 {
    unsigned short bits;
};
struct bfloat16 {
    unsigned short bits;
};
#include "element_host.h"

namespace vggx_host {

namespace {

typedef float Row __attribute__((vector_size(32))); // eight columns

template <class Operands> Operands &posted(const Warp &warp, unsigned lane) {
    return *static_cast<Operands *>(warp.operands[lane]);
}

template <class Visit> void for_each_lane(unsigned mask, Visit visit) {
    for (unsigned rest = mask; rest; rest &= rest - 1) {
        visit(unsigned(__builtin_ctz(rest)));
    }
}

unsigned combine(Reduction reduction, unsigned a, unsigned b) {
    switch (reduction) {
    case Reduction::add:
        return a + b;
    case Reduction::minimum:
        return std::min(a, b);
    case Reduction::maximum:
        return std::max(a, b);
    case Reduction::signed_minimum:
        return unsigned(std::min(int(a), int(b)));
    case Reduction::signed_maximum:
        return unsigned(std::max(int(a), int(b)));
    case Reduction::conjunction:
        return a & b;
    case Reduction::disjunction:
        return a | b;
    case Reduction::difference:
        return a ^ b;
    }
    return 0;
}

void widen_eight(const unsigned short *bits, float *values, float16) {
#ifdef __F16C__
    _mm256_storeu_ps(values, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(bits))));
#else
    for (int i = 0; i < 8; i++) {
        values[i] = widen(float16{bits[i]});
    }
#endif
}

void widen_eight(const unsigned short *bits, float *values, bfloat16) {
    for (int i = 0; i < 8; i++) {
        values[i] = widen(bfloat16{bits[i]});
    }
}

// Products of two such elements are exact in float32, so each step rounds once, whether it is fused or not. The hardware's
// order and rounding within one instruction are not documented; this one is the order of k.
template <class Element> void multiply(const Warp &warp) {
    alignas(32) unsigned short a_bits[16][16], b_bits[16][8];
    alignas(32) float a[16][16], b[16][8], d[16][8];
    for (unsigned lane = 0; lane < 32; lane++) {
        const unsigned g = lane / 4, q = lane % 4;
        const Multiply &operands = posted<Multiply>(warp, lane);
        std::memcpy(&a_bits[g][2 * q], &operands.a[0], 4);
        std::memcpy(&a_bits[g + 8][2 * q], &operands.a[1], 4);
        std::memcpy(&a_bits[g][2 * q + 8], &operands.a[2], 4);
        std::memcpy(&a_bits[g + 8][2 * q + 8], &operands.a[3], 4);
        b_bits[2 * q][g] = (unsigned short)operands.b[0];
        b_bits[2 * q + 1][g] = (unsigned short)(operands.b[0] >> 16);
        b_bits[2 * q + 8][g] = (unsigned short)operands.b[1];
        b_bits[2 * q + 9][g] = (unsigned short)(operands.b[1] >> 16);
        std::memcpy(&d[g][2 * q], &operands.d[0], 8);
        std::memcpy(&d[g + 8][2 * q], &operands.d[2], 8);
    }
    for (int k = 0; k < 16; k++) {
        widen_eight(&a_bits[k][0], &a[k][0], Element());
        widen_eight(&a_bits[k][8], &a[k][8], Element());
        widen_eight(b_bits[k], b[k], Element());
    }
    Row b_rows[16];
    std::memcpy(b_rows, b, sizeof b);
    for (int first = 0; first < 16; first += 8) {
        Row sums[8];
        std::memcpy(sums, d[first], sizeof sums);
        for (int k = 0; k < 16; k++) {
            const Row row = b_rows[k];
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++) {
                sums[i] += a[first + i][k] * row;
            }
        }
        std::memcpy(d[first], sums, sizeof sums);
    }
    for (unsigned lane = 0; lane < 32; lane++) {
        const unsigned g = lane / 4, q = lane % 4;
        float *values = posted<Multiply>(warp, lane).d;
        std::memcpy(&values[0], &d[g][2 * q], 8);
        std::memcpy(&values[2], &d[g + 8][2 * q], 8);
    }
}

} // namespace

void Block::perform(Warp &warp, Collective operation, unsigned mask) {
    switch (operation) {
    case Collective::synchronise:
        break;
    case Collective::shuffle:
        for_each_lane(mask, [&](unsigned lane) {
            Shuffle &operands = posted<Shuffle>(warp, lane);
            if (operands.source > 31 || !(mask >> operands.source & 1)) {
                fail(719, format("lane %u of a shuffle with mask 0x%08x reads lane %u, which takes no part", lane, mask,
                                 operands.source));
            }
            operands.result = posted<Shuffle>(warp, operands.source).value;
        });
        break;
    case Collective::reduce: {
        const unsigned first = unsigned(__builtin_ctz(mask));
        const Reduction reduction = posted<Reduce>(warp, first).reduction;
        unsigned result = posted<Reduce>(warp, first).value;
        for_each_lane(mask & (mask - 1), [&](unsigned lane) {
            if (posted<Reduce>(warp, lane).reduction != reduction) {
                fail(719, format("lanes %u and %u called different reductions of the warp", first, lane));
            }
            result = combine(reduction, result, posted<Reduce>(warp, lane).value);
        });
        for_each_lane(mask, [&](unsigned lane) { posted<Reduce>(warp, lane).result = result; });
        break;
    }
    case Collective::vote: {
        unsigned result = 0;
        for_each_lane(mask, [&](unsigned lane) { result |= unsigned(posted<Vote>(warp, lane).predicate) << lane; });
        for_each_lane(mask, [&](unsigned lane) { posted<Vote>(warp, lane).result = result; });
        break;
    }
    case Collective::load_matrices:
        for (unsigned source = 0; source < 32; source++) {
            const unsigned char *row = shared(posted<LoadMatrices>(warp, source).address, 16, "ldmatrix_x4");
            for (unsigned word = 0; word < 4; word++) {
                std::memcpy(&posted<LoadMatrices>(warp, 4 * (source % 8) + word).registers[source / 8], row + 4 * word, 4);
            }
        }
        break;
    case Collective::load_transposed_matrices:
        for (unsigned source = 0; source < 32; source++) {
            const unsigned char *row = shared(posted<LoadMatrices>(warp, source).address, 16, "ldmatrix_x4_transposed");
            const unsigned half = source % 2; // of a register: rows 2 * (l % 4) are the low ones
            for (unsigned column = 0; column < 8; column++) {
                unsigned &word = posted<LoadMatrices>(warp, 4 * column + source % 8 / 2).registers[source / 8];
                std::memcpy(reinterpret_cast<unsigned char *>(&word) + 2 * half, row + 2 * column, 2);
            }
        }
        break;
    case Collective::multiply_float16:
        multiply<float16>(warp);
        break;
    case Collective::multiply_bfloat16:
        multiply<bfloat16>(warp);
        break;
    }
}

} // namespace vggx_host
