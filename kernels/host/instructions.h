// The functions of ptx.cuh on the host.
#pragma once

#include "copies.h"
#include "operands.h"

inline unsigned shared_address(const void *object) { return vggx_host::address_of_shared(object); }

// The source is read, and the destination written, by the wait for its group; until then the destination holds NaN.
inline void cp_async_16(unsigned destination, const void *source, bool valid) {
    vggx_host::start_copy(destination, source, valid);
}

inline void cp_async_commit() { vggx_host::commit_copies(); }

template <int Pending> inline void cp_async_wait() {
    static_assert(Pending >= 0);
    vggx_host::wait_for_copies(unsigned(Pending));
}

inline void ldmatrix_x4(unsigned (&registers)[4], unsigned address) {
    vggx_host::LoadMatrices operands = {registers, address};
    vggx_host::collective(vggx_host::Collective::load_matrices, 0xffffffffu, &operands);
}

inline void ldmatrix_x4_transposed(unsigned (&registers)[4], unsigned address) {
    vggx_host::LoadMatrices operands = {registers, address};
    vggx_host::collective(vggx_host::Collective::load_transposed_matrices, 0xffffffffu, &operands);
}

// Row r, column c is the half c % 2 of what lane 4 * r + c / 2 gives.
inline unsigned transpose_8x8(unsigned pair) {
    const int column = int(vggx_host::lane() / 4), first_row = int(vggx_host::lane() % 4) * 2;
    const unsigned low = __shfl_sync(0xffffffffu, pair, 4 * first_row + column / 2);
    const unsigned high = __shfl_sync(0xffffffffu, pair, 4 * (first_row + 1) + column / 2);
    const int shift = column % 2 * 16;
    return (low >> shift & 0xffffu) | (high >> shift & 0xffffu) << 16;
}

template <class Element>
inline void mma_m16n8k16(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1);

template <> inline void mma_m16n8k16<float16>(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    vggx_host::Multiply operands = {d, a, {b0, b1}};
    vggx_host::collective(vggx_host::Collective::multiply_float16, 0xffffffffu, &operands);
}

template <> inline void mma_m16n8k16<bfloat16>(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    vggx_host::Multiply operands = {d, a, {b0, b1}};
    vggx_host::collective(vggx_host::Collective::multiply_bfloat16, 0xffffffffu, &operands);
}

template <class Element> inline unsigned narrow_rectified_pair(float first, float second) {
    // NaN stays NaN, as with cvt.relu.
    return narrow_pair<Element>(first <= 0.0f ? 0.0f : first, second <= 0.0f ? 0.0f : second);
}
