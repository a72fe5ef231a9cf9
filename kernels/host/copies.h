// Copies from global to shared memory that end at the wait for their group.
#pragma once

namespace vggx_host {

// The address of an object in shared memory: an offset that means nothing to the processor, so only what takes one can
// follow it.
unsigned address_of_shared(const void *object);

void start_copy(unsigned destination, const void *source, bool valid);
void commit_copies();
// Until at most `pending` groups of the running thread are under way.
void wait_for_copies(unsigned pending);

} // namespace vggx_host
