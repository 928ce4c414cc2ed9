#pragma once

/// The everyday part of gyre.

#include <gyre/core/error.hpp>
