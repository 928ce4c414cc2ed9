#pragma once

#include <liburing.h>

// What the kernel's interface has and the headers of liburing 2.3 (Linux 6.1) do not know yet.
// Everything here is probed at run time before it is used.

#ifndef IORING_ENTER_NO_IOWAIT // Linux 6.15
#define IORING_ENTER_NO_IOWAIT (1U << 7)
#endif
#ifndef IORING_FEAT_NO_IOWAIT
#define IORING_FEAT_NO_IOWAIT (1U << 17)
#endif
