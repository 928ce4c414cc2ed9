#pragma once

/// The everyday part of gyre.

#include <gyre/core/as_result.hpp>
#include <gyre/core/combine.hpp>
#include <gyre/core/error.hpp>
#include <gyre/core/future.hpp>
#include <gyre/core/loop.hpp>
#include <gyre/core/loop_thread.hpp>
#include <gyre/core/run.hpp>
#include <gyre/core/signal.hpp>
#include <gyre/core/sleep.hpp>
#include <gyre/core/task.hpp>
#include <gyre/core/task_group.hpp>
#include <gyre/io/address.hpp>
#include <gyre/io/host.hpp>
#include <gyre/io/inet.hpp>
#include <gyre/io/interface.hpp>
#include <gyre/io/relay.hpp>
#include <gyre/io/socket.hpp>
#include <gyre/io/stream.hpp>
#include <gyre/io/wait.hpp>
#include <gyre/resolver/create_connection.hpp>
#include <gyre/resolver/create_datagram_endpoint.hpp>
#include <gyre/resolver/create_server.hpp>
#include <gyre/resolver/getaddrinfo.hpp>
#include <gyre/resolver/gethostbyname.hpp>
#include <gyre/resolver/getnameinfo.hpp>
#include <gyre/resolver/getservbyname.hpp>
#include <gyre/resolver/inherited_sockets.hpp>
#include <gyre/resolver/listener.hpp>
#include <gyre/resolver/resolver.hpp>
#include <gyre/resolver/serve.hpp>
