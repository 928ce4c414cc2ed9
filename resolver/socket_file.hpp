#pragma once

#include <gyre/core/task.hpp>
#include <gyre/io/address.hpp>
#include <gyre/io/owned_fd.hpp>

#include <string>
#include <sys/types.h>

/// The file that a listening UNIX socket has in the file system.
///
/// Binding makes it, and it stays when its socket is gone, in the way of the next server. Whether
/// it is stale, only a connect tells (ECONNREFUSED); but that says the same of a socket that is
/// bound and does not listen yet. So whoever looks, removes, binds and listens holds a lock of the
/// folder meanwhile.

namespace gyre::detail {

/// A lock of the folder of `path`. None where the folder cannot be opened, or where another keeps
/// it for a second: then nothing is to be replaced.
task<owned_fd> lock_folder_of(std::string path);

/// Under the lock: removes a socket at the path that nobody listens on, and nothing else.
task<> remove_stale(address at);

/// The file of a socket just bound; removes it in the end if it is still the same.
class socket_file {
public:
    explicit socket_file(std::string path);
    socket_file(const socket_file&) = delete;
    ~socket_file();
    void keep() noexcept { ours_ = false; }

private:
    std::string path_;
    dev_t device_ = 0;
    ino_t number_ = 0;
    bool ours_ = false;
};

} // namespace gyre::detail
