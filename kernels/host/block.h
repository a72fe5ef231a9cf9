// One block at a time: its threads as fibers, their turns, their rendezvous, its shared memory.
#pragma once

#include "configuration.h"
#include "fiber.h"
#include "launch.h"
#include "thread.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace vggx_host {

struct Block;
struct Warp;

// A copy from global to shared memory that has been started.
struct Copy {
    unsigned char *destination;
    const void *source;
    bool valid;
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
};

// Lanes are bits of masks, but for `ready`: turns go by position, and bit p of it stands for lane lane_at[p].
struct Warp {
    BlockThread *lanes[32];
    unsigned existing;
    unsigned ready;
    unsigned in_collective;
    unsigned at_barrier;
    unsigned exited;
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

// Addresses in shared memory lie beyond any number of bytes, so that nothing else is taken for one.
constexpr unsigned first_shared_address = 0x40000;

// Everything that runs blocks on one OS thread; reused from launch to launch.
class Block {
  public:
    Block();
    Block(const Block &) = delete;

    // Runs one block to its end; what goes wrong is in `failure`.
    void run(const Launch &launch, Index block, Failure &failure);

    // Called by the running thread.
    void meet_in_collective(Collective operation, unsigned mask, void *operands);
    void meet_at_barrier();
    void *take_shared(unsigned used, unsigned taken, std::size_t bytes);
    unsigned shared_address(const void *object);
    // The memory of an address, all in one object.
    unsigned char *shared(unsigned address, unsigned bytes, const char *user);
    [[noreturn]] void exit();
    [[noreturn]] void fail(int error, const std::string &message);

    // Where a fault continues: the stack of the thread that caused it may be used up.
    Fiber emergency;

    const Launch *launch = nullptr;

  private:
    void prepare(Index block);
    void order_turns();
    void make_ready(Warp &warp, unsigned lanes);
    void check_collective(const Warp &warp, Collective operation, unsigned mask, unsigned lane);
    void release_barrier();
    void take_turns();
    BlockThread *next();
    [[noreturn]] void stuck();
    void perform(Warp &warp, Collective operation, unsigned mask); // collective.cpp
    void check_gaps();
    std::string where(bool thread) const;

    Failure *failure = nullptr;
    Place place;
    unsigned count = 0; // of threads
    unsigned warp_count = 0;
    unsigned living = 0, arrived = 0;
    Fiber scheduler; // the OS thread's own stack
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
};

// Of the running thread.
inline BlockThread &running_thread() { return static_cast<BlockThread &>(*running); }

std::string format(const char *format, ...) __attribute__((format(printf, 1, 2)));

} // namespace vggx_host
