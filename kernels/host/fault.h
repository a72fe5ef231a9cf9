// Accesses that the processor refuses become errors of the kernel that made them.
#pragma once

namespace vggx_host {

// For the calling OS thread. Does nothing under AddressSanitizer, which reports them itself.
void catch_faults();

} // namespace vggx_host
