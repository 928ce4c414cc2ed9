#pragma once

#include <gyre/core/operation.hpp>

// sendfile(2) of a file that may lie on a disk, in steps that do not hold the loop: a chunk of 1
// MiB is sent when all of it is in the page cache. Else a thread of a pool reads it there first,
// and tells the loop, which lets the operation go on. So it stays one operation, with one deadline,
// and holds the sending direction all the time.
//
// In the page cache says cachestat(2), cheaply; but a page is there, too, while it is still being
// read (readahead). So a byte at each end must also be had by preadv2(2) with RWF_NOWAIT. A kernel
// without cachestat is asked for every byte in that way. While the operation waits for its peer,
// the kernel may drop what was there; that is rare, and costs one reading of the disk.
//
// What sendfile(2) refuses with EINVAL or ESPIPE: a pipe is spliced, and a thread waits for it, for
// the operation already waits for the socket; some files of /proc, terminals and the like are read
// into memory by a thread.

namespace gyre::detail {

/// One try: 0 at the end, -errno, would_wait, would_yield or would_hold.
int try_send_file(file_operation& op) noexcept;

} // namespace gyre::detail
