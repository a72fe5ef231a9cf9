// A block: its threads as fibers, their turns, their rendezvous, its shared memory.
#pragma once

#include "asynchronous.h"
#include "configuration.h"
#include "fiber.h"
#include "launch.h"
#include "tensor_map.h"
#include "thread.h"

#include <bitset>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace vggx_host {

class Block;
class Cluster;
struct Warp;

// A copy from global to shared memory that has been started.
struct Copy {
    unsigned char *destination;
    const void *source;
    bool valid;
};

// A copy of a box from shared memory to a tensor that has been started.
struct TensorStore {
    TensorMap map;
    int coordinates[5];
    unsigned source;
    std::vector<unsigned char> bytes; // that are read
    unsigned group;
    bool read;    // a wait has said so
    bool written; // to the tensor
};

struct BlockThread : Thread {
    Fiber fiber;
    Block *block;
    Warp *warp;
    unsigned lane;
    // Started copies, oldest first, and after how many of them each committed group ends; how many of both are done.
    std::vector<Copy> copies;
    std::vector<std::size_t> groups;
    std::size_t landed_copies, landed_groups;
    // The mbarrier it waits at, and for which parity of its phase.
    unsigned awaited_barrier, awaited_parity;
    // Groups of products it has committed; whether its registers are in order for the next one, and whether one is not committed.
    unsigned committed_products;
    bool registers_fenced, product_open;
    // Copies of boxes to tensors that were not read or not written yet, and how many groups of them it has committed.
    std::vector<TensorStore> stores;
    unsigned committed_stores;
};

// Lanes are bits of masks, but for `ready`: turns go by position, and bit p of it stands for lane lane_at[p].
struct Warp {
    BlockThread *lanes[32];
    unsigned existing;
    unsigned ready;
    unsigned in_collective;
    unsigned at_barrier;
    unsigned at_mbarrier;
    unsigned at_warpgroup;
    unsigned at_cluster_barrier;
    unsigned exited;
    unsigned fenced; // lanes that have fenced the proxy since all had
    unsigned position; // of the warp among warps
    unsigned char lane_at[32], position_of[32];
    // What lanes in a collective wait for.
    Collective operation[32];
    unsigned mask[32];
    void *operands[32];
};

// Where SharedMemory::take put an object in the arena.
struct SharedObject {
    unsigned begin;
    unsigned bytes;
};

// An mbarrier in shared memory.
struct PhaseBarrier {
    unsigned address;
    unsigned arrivals; // that complete a phase
    unsigned pending;  // of the present phase
    long bytes;        // that are expected and have not come
    unsigned phase;
    std::vector<BlockThread *> waiting;
};

// A copy of a box that has been started.
struct TensorLoad {
    TensorMap map;
    int coordinates[5];
    unsigned destination;
    unsigned barrier;
    unsigned blocks; // of the cluster, a bit each
    unsigned sender;
};

// The accumulators of a warpgroup while products on them are under way: its threads' registers hold NaN.
struct Accumulators {
    float *registers[128];
    unsigned columns;
    std::vector<float> values; // [64, columns]
    unsigned under_way;        // products
    std::bitset<128> returned; // threads that have them back
};

struct Product {
    Accumulators *accumulators;
    MatrixElement element;
    bool accumulate, a_in_registers, b_by_columns;
    std::uint16_t a_values[64][16]; // from registers
    std::uint64_t a, b;
    unsigned group;
};

// 128 threads, whose products are done in their order.
struct Warpgroup {
    unsigned arrived = 0;
    const WarpgroupProduct *calls[128];
    std::deque<Product> products;
    std::vector<std::unique_ptr<Accumulators>> accumulators;
};

constexpr unsigned arena_bytes = 512 << 10;

// Addresses in shared memory lie beyond any number of bytes, so that nothing else is taken for one.
constexpr unsigned first_shared_address = 0x40000;

// Reused from launch to launch.
class Block {
  public:
    Block();
    Block(const Block &) = delete;

    // Called by the cluster: before the first turn, for the next one (null where nobody is ready), and behind the last.
    void prepare(Cluster &cluster, unsigned rank, const Launch &launch, Index block, Failure &failure);
    BlockThread *next();
    void end();
    bool anybody_ready() const { return ready_warps != 0; }
    unsigned living_threads() const { return living; }
    void leave_cluster_barrier();
    std::string states();

    // Called by the running thread, which is of another block of the cluster where that is the one to do something with this.
    void take_turns();
    void meet_in_collective(Collective operation, unsigned mask, void *operands);
    void meet_at_barrier();
    void meet_at_cluster_barrier();
    void *take_shared(unsigned used, unsigned taken, std::size_t bytes, unsigned alignment);
    unsigned shared_address(const void *object);
    // The memory of an address, all in one object.
    unsigned char *shared(unsigned address, unsigned bytes, const char *user);
    [[noreturn]] void exit();
    [[noreturn]] void fail(int error, const std::string &message);

    // Hopper's: mbarriers.cpp, tensor_stores.cpp and warpgroups.cpp.
    TensorMap tensor_map(const void *address, unsigned dimensions, const char *user);
    void initialise_barrier(unsigned address, unsigned arrivals);
    void arrive(unsigned address, unsigned bytes);
    void wait_for_phase(unsigned address, unsigned parity);
    void prepare_destination(const TensorLoad &load);
    void receive(const TensorLoad &load, const std::vector<unsigned char> &box);
    void start_store(TensorStore &store);
    void wait_for_stores(unsigned pending);
    void fence_proxy();
    void start_product(const WarpgroupProduct &product);
    void wait_for_products(unsigned pending);

    // Where a fault continues: the stack of the thread that caused it may be used up.
    Fiber emergency;

    const Launch *launch = nullptr;
    Cluster *cluster = nullptr;
    unsigned rank = 0; // in the cluster

  private:
    void order_turns();
    void make_ready(Warp &warp, unsigned lanes);
    void check_collective(const Warp &warp, Collective operation, unsigned mask, unsigned lane);
    void release_barrier();
    [[noreturn]] void stuck();
    void perform(Warp &warp, Collective operation, unsigned mask); // collective.cpp
    // Bytes of shared memory that an operand lies in.
    struct OperandRange {
        unsigned begin, end;
    };
    OperandRange operand_range(std::uint64_t descriptor, unsigned outer, bool outer_innermost) const;
    void leave_turn();
    PhaseBarrier &barrier_at(unsigned address);
    bool complete_phase(PhaseBarrier &barrier);
    void check_box_address(const TensorMap &map, unsigned address, const char *user);
    void check_no_load_under_way();
    void write(TensorStore &store);
    void finish_stores();
    Accumulators &accumulators_of(Warpgroup &warpgroup);
    void issue(Warpgroup &warpgroup, unsigned first_thread);
    void perform_product(const Product &product);
    void read_operand(std::uint64_t descriptor, unsigned outer, bool outer_innermost, MatrixElement element, float *values);
    void publish_stores();
    void check_nothing_under_way();
    void check_gaps();
    std::string where(bool thread) const;
    std::string state_at_barrier(const BlockThread &thread);
    std::string place_of(unsigned address) const;

    Failure *failure = nullptr;
    Place place;
    unsigned count = 0; // of threads
    unsigned warp_count = 0;
    unsigned living = 0, arrived = 0;
    std::vector<std::unique_ptr<BlockThread>> threads;

    Warp warps[32];
    unsigned warp_at[32];   // by position
    unsigned ready_warps;   // by position: those with a lane that is ready
    unsigned turn;          // position of the warp whose turn it is
    bool shuffled = false;
    Random random{1};

    unsigned char *arena;
    unsigned arena_end = 0; // how much of it objects and gaps fill
    std::vector<SharedObject> objects;

    std::vector<PhaseBarrier> barriers;
    Warpgroup warpgroups[8];
    // Shared memory as copies and products see it: what threads have stored since the last fence is not there.
    std::vector<unsigned char> fenced_arena;
};

// Of the running thread.
inline BlockThread &running_thread() { return static_cast<BlockThread &>(*running); }

std::string format(const char *format, ...) __attribute__((format(printf, 1, 2)));

} // namespace vggx_host
