// Every instruction that C++ has no word for, behind a small named function; inline PTX stands nowhere else. On the host the
// same functions are in host/instructions.h.
#pragma once

#include "element.cuh"

#ifdef VGGX_HOST

#include "host/instructions.h"

#else

// The address of an object in shared memory as instructions take it.
__device__ __forceinline__ unsigned shared_address(const void *object) {
    return unsigned(__cvta_generic_to_shared(object));
}

// Starts copying 16 bytes from global to shared memory; writes zeros if not `valid` (`source` must still be an address
// within the allocation). Done after cp_async_wait.
__device__ __forceinline__ void cp_async_16(unsigned destination, const void *source, bool valid) {
    const int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(destination), "l"(source), "r"(bytes) : "memory");
}

// Closes a group of this thread's copies; a group may be empty.
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most `Pending` of this thread's groups are under way.
template <int Pending> __device__ __forceinline__ void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

// Four 8x8 matrices of 16-bit elements. Lane l gives the address of row l % 8 of matrix l / 8 (16 bytes); register m gets
// of matrix m the elements (row l / 4, columns 2 * (l % 4) and the next).
__device__ __forceinline__ void ldmatrix_x4(unsigned (&registers)[4], unsigned address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
                 : "r"(address)
                 : "memory");
}

// The same transposed: register m gets of matrix m the elements (rows 2 * (l % 4) and the next, column l / 4).
__device__ __forceinline__ void ldmatrix_x4_transposed(unsigned (&registers)[4], unsigned address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
                 : "r"(address)
                 : "memory");
}

// Transposes an 8x8 matrix of 16-bit elements across the lanes of a warp: lane 4 * g + q gives columns 2 * q and 2 * q + 1 of row g, the
// first one low, and gets rows 2 * q and 2 * q + 1 of column g.
__device__ __forceinline__ unsigned transpose_8x8(unsigned pair) {
    unsigned result;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(result) : "r"(pair));
    return result;
}

// d += a * b with a 16x16 (rows of k), b 16x8 (columns of k), d 16x8 in float32. Lane l = 4 * g + q holds
// a[0]: (row g, k 2q..2q+1), a[1]: (g + 8, 2q..), a[2]: (g, 2q + 8..), a[3]: (g + 8, 2q + 8..);
// b[0]: (k 2q..2q+1, column g), b[1]: (k 2q + 8.., g); d[0], d[1]: (g, 2q and 2q + 1), d[2], d[3]: (g + 8, same).
template <class Element>
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1);

template <>
__device__ __forceinline__ void mma_m16n8k16<float16>(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

template <>
__device__ __forceinline__ void mma_m16n8k16<bfloat16>(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// max(first, 0) and max(second, 0), rounded, the first one low: one conversion.
template <class Element> __device__ __forceinline__ unsigned narrow_rectified_pair(float first, float second);

template <> __device__ __forceinline__ unsigned narrow_rectified_pair<float16>(float first, float second) {
    unsigned pair;
    asm("cvt.rn.relu.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
}

template <> __device__ __forceinline__ unsigned narrow_rectified_pair<bfloat16>(float first, float second) {
    unsigned pair;
    asm("cvt.rn.relu.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
}

#endif
