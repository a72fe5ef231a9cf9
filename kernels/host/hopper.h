// The functions of ptx_hopper.cuh on the host.
#pragma once

#include "asynchronous.h"
#include "copies.h"

inline int lane_anew() { return int(vggx_host::lane()); }

inline void mbarrier_init(uint64_t *barrier, unsigned arrivals) {
    vggx_host::initialise_barrier(vggx_host::address_of_shared(barrier), arrivals);
}

inline void mbarrier_init_fence() {}

inline void mbarrier_arrive(uint64_t *barrier) { vggx_host::arrive(vggx_host::address_of_shared(barrier), 0); }

inline void mbarrier_arrive_expect(uint64_t *barrier, unsigned bytes) {
    vggx_host::arrive(vggx_host::address_of_shared(barrier), bytes);
}

inline void mbarrier_wait(uint64_t *barrier, unsigned parity) {
    vggx_host::wait_for_phase(vggx_host::address_of_shared(barrier), parity);
}

inline void tma_load_2d(unsigned destination, const VggxTensorMap &map, uint64_t *barrier, int x, int y) {
    const int coordinates[] = {x, y};
    vggx_host::start_load(destination, &map, vggx_host::address_of_shared(barrier), coordinates, 2);
}

inline void tma_load_4d(unsigned destination, const VggxTensorMap &map, uint64_t *barrier, int c, int x, int y, int n) {
    const int coordinates[] = {c, x, y, n};
    vggx_host::start_load(destination, &map, vggx_host::address_of_shared(barrier), coordinates, 4);
}

inline void tma_load_2d_multicast(unsigned destination, const VggxTensorMap &map, uint64_t *barrier, unsigned short blocks, int x,
                                  int y) {
    const int coordinates[] = {x, y};
    vggx_host::start_multicast(destination, &map, vggx_host::address_of_shared(barrier), coordinates, 2, blocks);
}

inline void tma_store_4d(const VggxTensorMap &map, unsigned source, int c, int x, int y, int n) {
    const int coordinates[] = {c, x, y, n};
    vggx_host::start_store(source, &map, coordinates, 4);
}

inline void tma_store_commit() { vggx_host::commit_stores(); }
template <int Pending> inline void tma_store_wait_read() { vggx_host::wait_for_stores(Pending); }

inline unsigned cluster_rank() { return vggx_host::cluster_rank(); }
inline void cluster_barrier() { vggx_host::cluster_barrier(); }
inline void mbarrier_arrive_in_cluster(uint64_t *barrier, unsigned rank) {
    vggx_host::arrive_in_cluster(vggx_host::address_of_shared(barrier), rank);
}

inline void fence_proxy_async() { vggx_host::fence_proxy(); }

template <int Registers> inline void registers_claim() {
    static_assert(Registers >= 24 && Registers <= 256 && Registers % 8 == 0);
}
template <int Registers> inline void registers_release() {
    static_assert(Registers >= 24 && Registers <= 256 && Registers % 8 == 0);
}

inline void wgmma_fence() { vggx_host::fence_registers(); }
inline void wgmma_commit() { vggx_host::commit_products(); }
template <int Pending> inline void wgmma_wait() {
    static_assert(Pending >= 0 && Pending < 8);
    vggx_host::wait_for_products(Pending);
}
template <int Count> inline void wgmma_fence_operand(float (&)[Count]) {}

namespace vggx_host {
template <class Element> constexpr MatrixElement matrix_element = MatrixElement::float16;
template <> constexpr MatrixElement matrix_element<bfloat16> = MatrixElement::bfloat16;
template <> constexpr MatrixElement matrix_element<float8> = MatrixElement::float8;
} // namespace vggx_host

template <class Element, int Columns>
inline void wgmma_shared(float (&d)[Columns / 2], uint64_t a, uint64_t b, bool accumulate) {
    vggx_host::start_product({d, Columns, vggx_host::matrix_element<Element>, accumulate, nullptr, a, b, false});
}

template <class Element, int Columns>
inline void wgmma_registers(float (&d)[Columns / 2], const unsigned (&a)[4], uint64_t b, bool accumulate) {
    static_assert(sizeof(Element) == 2);
    vggx_host::start_product({d, Columns, vggx_host::matrix_element<Element>, accumulate, a, 0, b, true});
}
