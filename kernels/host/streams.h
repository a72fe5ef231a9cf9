// Contexts, their streams and events, and graphs. Work is queued and runs late: only when something waits for it, and then
// only what must run before. What should have waited for other work, and does not, therefore runs without it.
//
// Everything here is called with the lock of the driver held.
#pragma once

#include "configuration.h"
#include "driver_api.h"
#include "launch.h"

#include <chrono>
#include <deque>
#include <memory>
#include <set>
#include <thread>
#include <unordered_map>
#include <variant>
#include <vector>

namespace vggx_host {

// One recording of an event: waiting for the event means the last one made before.
struct Recording {
    Stream *stream; // null once it is done
    bool done = false;
    std::chrono::steady_clock::time_point time;
};

enum class Direction { host_to_device, device_to_host, device_to_device };

struct CopyMemory {
    void *destination;
    const void *source;
    std::size_t bytes;
    Direction direction;
    std::vector<unsigned char> staged; // of memory that is not pinned: the source as it was when the copy was queued
};

struct FillMemory {
    void *destination;
    unsigned value;
    std::size_t count;
    unsigned width; // bytes
};

struct Record {
    std::shared_ptr<Recording> recording;
};

struct Wait {
    std::shared_ptr<Recording> recording;
};

struct Node;
struct RunGraph {
    std::shared_ptr<const std::vector<Node>> nodes;
};

using Operation = std::variant<CopyMemory, FillMemory, Launch, Record, Wait, RunGraph>;

struct Node {
    Operation operation;
    std::vector<std::size_t> after; // nodes that must run before
};

// A stream whose work is being recorded. One capture may span several streams, which join it by waiting for its events.
struct Capture {
    Stream *origin;
    unsigned long long number;
    int mode; // 0: global, 1: of one thread, 2: relaxed
    std::thread::id thread;
    bool invalid = false;
    std::vector<Node> nodes;
};

struct Stream {
    Context *context;
    bool blocking; // waits for the null stream, and it for this
    std::deque<Operation> queue;
    std::shared_ptr<Capture> capture;
    std::vector<std::size_t> captured_last; // nodes that the next captured operation comes after
};

struct Event {
    Context *context;
    bool timed;
    std::shared_ptr<Recording> recording; // null: never recorded
    std::shared_ptr<Capture> capture;     // the last recording was captured
    std::vector<std::size_t> captured_last;
};

struct Function {
    const Kernel *kernel;
    unsigned largest_shared = 48 * 1024; // as set by cuFuncSetAttribute
    int carveout = -1;
};

struct Module {
    Context *context;
    std::unordered_map<const Kernel *, std::unique_ptr<Function>> functions;
};

struct Graph {
    std::vector<Node> nodes;
};

struct GraphExecutable {
    Context *context;
    std::shared_ptr<const std::vector<Node>> nodes;
};

// The primary context of a device, or one that was created beside it. Both stay in the list of contexts when they are gone, so that
// a handle that is used too late is recognised.
struct Context {
    int device;
    bool primary = true;
    unsigned retained = 0; // 0: gone
    CUresult broken = CUDA_SUCCESS; // an error that stays
    std::vector<std::unique_ptr<Stream>> streams;
    std::set<std::unique_ptr<Event>> events;
    std::set<std::unique_ptr<Module>> modules;
    std::set<std::unique_ptr<GraphExecutable>> executables;
    unsigned long long captures = 0;
};

// True for errors that leave a context unusable.
bool sticks(CUresult result);

// Queues, or captures where the stream is being captured.
CUresult enqueue(Stream &stream, Operation operation);
CUresult synchronise(Stream &stream);
CUresult synchronise(Context &context);
CUresult synchronise(Context &context, Recording &recording);
// What the null stream waits for.
CUresult synchronise_blocking(Context &context);
// Lets one operation run, so that who asks again and again gets on.
CUresult advance(Stream &stream);
// Runs at once.
CUresult run_now(Context &context, const Operation &operation);

} // namespace vggx_host
