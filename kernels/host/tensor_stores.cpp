// Copies of boxes from shared memory to tensors.
//
// What a copy reads must be fenced when it starts, and stay as it is until a wait says that it was read. What it writes is there when
// its thread exits (order forward), at once (reverse) or either (shuffle).
#include "cluster.h"
#include "memory.h"

#include <algorithm>
#include <cstring>

namespace vggx_host {

void Block::start_store(TensorStore &store) {
    BlockThread &self = running_thread();
    const TensorMap &map = store.map;
    const unsigned bytes = map.box_bytes(), begin = store.source - first_shared_address;
    const unsigned char *source = shared(store.source, bytes, "tma_store");
    check_box_address(map, store.source, "tma_store");
    cluster->check_not_loading(rank, begin, begin + bytes, "tma_store reads");
    if (fenced_arena.empty() || std::memcmp(source, fenced_arena.data() + begin, bytes) != 0) {
        fail(719, "tma_store of shared memory that threads have written without fence_proxy_async");
    }
    store.bytes.assign(source, source + bytes);
    store.group = self.committed_stores;
    const Order order = configuration().order;
    if (order == Order::reverse || (order == Order::shuffle && random.below(2) == 0)) {
        write(store);
    }
    self.stores.push_back(std::move(store));
}

void Block::write(TensorStore &store) {
    const TensorMap &map = store.map;
    const unsigned row_bytes = map.row_bytes(), first = store.source - first_shared_address;
    for (unsigned number = 0; number < map.box_bytes() / row_bytes; number++) {
        const BoxRow row = row_of_box(map, store.coordinates, number);
        if (row.begin == row.end) {
            continue;
        }
        auto *destination = reinterpret_cast<unsigned char *>(row.address);
        if (device_of(destination, row.end - row.begin) != launch->device) {
            fail(700, "tma_store to " + describe(destination));
        }
        for (unsigned byte = row.begin; byte < row.end; byte++) {
            const unsigned from = swizzled_address(first + number * row_bytes + byte, map.swizzle) - first;
            destination[byte - row.begin] = store.bytes[from];
        }
    }
    store.written = true;
}

void Block::wait_for_stores(unsigned pending) {
    BlockThread &self = running_thread();
    for (TensorStore &store : self.stores) {
        if (store.read || store.group + pending >= self.committed_stores) {
            continue;
        }
        if (std::memcmp(arena + (store.source - first_shared_address), store.bytes.data(), store.bytes.size()) != 0) {
            fail(719, "overwrites shared memory that a tma_store under way reads");
        }
        store.read = true;
    }
    std::erase_if(self.stores, [](const TensorStore &store) { return store.read && store.written; });
}

void Block::finish_stores() {
    BlockThread &self = running_thread();
    for (TensorStore &store : self.stores) {
        if (!store.read) {
            fail(719, "exits while a tma_store of its own reads shared memory");
        }
        write(store);
    }
    self.stores.clear();
}

void commit_stores() { running_thread().committed_stores++; }
void wait_for_stores(unsigned pending) { running_thread().block->wait_for_stores(pending); }

void start_store(unsigned source, const void *map, const int *coordinates, unsigned rank) {
    Block &block = *running_thread().block;
    TensorStore store = {};
    store.map = block.tensor_map(map, rank, "tma_store");
    std::copy(coordinates, coordinates + rank, store.coordinates);
    store.source = source;
    block.start_store(store);
}

} // namespace vggx_host
