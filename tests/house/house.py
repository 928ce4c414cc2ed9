"""The rules of the house that no compiler checks. A line for each breach, exit 1.

arrows    core/ includes nothing of io/ or resolver/, io/ nothing of resolver/
includes  public headers reach only public headers, and none of the heavy or leaky ones in HEAVY
seam      io/ and resolver/ never call the kernel themselves: not in the source (tokens), and not in
          the object files (undefined symbols), which also sees what a macro or `using` would hide
surface   each row of the tables in docs/sockets.md names code that is in its header, and that a test
          uses (where the header is <of the system>, a test includes it), and together
          they name every constant of Python's socket module and every method of its sockets
words     no tab, no trailing blank, no line over 100 columns, a newline at the end

Each run first shows that its rule can fail, on a bad sample in a temporary folder, and that it lets
a good one pass.
"""

import argparse
import errno
import inspect
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

LIBRARY = ("core", "io", "resolver")
OUTSIDE = ("tests", "examples", "bench")
CODE = LIBRARY + OUTSIDE
FORBIDDEN = {"core": ("io", "resolver") + OUTSIDE, "io": ("resolver",) + OUTSIDE,
             "resolver": OUTSIDE}
HEAVY = ("liburing.h", "sys/epoll.h", "iostream", "functional", "regex")

# getaddrinfo, getnameinfo and the like are what resolver/ is for; they are no part of the list.
CALLS = """accept accept4 bind close close_range connect dup dup2 dup3 eventfd fcntl getpeername
    getsockname getsockopt ioctl listen open openat pipe pipe2 poll ppoll pread preadv pselect
    pwrite pwritev read readv recv recvfrom recvmmsg recvmsg select send sendfile sendmmsg sendmsg
    sendto setsockopt shutdown signalfd socket socketpair splice syscall tee timerfd_create
    timerfd_settime vmsplice write writev""".split()
# `socket::recv(` defines a member and `peer.send(` calls one, so a plain name must be qualified
# with `::` from nowhere to count; names that nobody would give a member count anywhere.
TOKENS = re.compile(r"(?<![\w>])::\s*(?:" + "|".join(CALLS) + r")\s*\("
                    r"|\b(?:epoll_|io_uring_)\w*"
                    r"|(?<![\w.>:])(?:accept4|eventfd|recvmmsg|sendmmsg|syscall|timerfd_\w+)\s*\(")
SYMBOLS = re.compile(r"(?:__)?(?:" + "|".join(CALLS) + r"|epoll_\w+|io_uring_\w+)(?:64|_chk)?")
NAMESPACES = ("option", "tcp", "ip", "ipv6", "udp")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"]', re.M)
LEXEME = re.compile(r'(//[^\n]*|/\*.*?\*/)'  # comments, then raw strings, strings and characters
                    r'|(R"([^(\s]*)\(.*?\)\3"|"(?:\\.|[^"\\\n])*"|(?<!\w)\'(?:\\.|[^\'\\\n])+\')',
                    re.S)


def blank(text, strings):
    """The text without comments (and string literals), each line still at its place."""
    def erase(match):
        return re.sub(r"[^\n]", " ", match[0]) if match[1] or strings else match[0]
    return LEXEME.sub(erase, text)


def sources(root, folders):
    for folder in folders:
        yield from sorted(p for p in (root / folder).rglob("*") if p.suffix in (".hpp", ".cpp"))


def includes(path, root):
    """(line, what is included; for a file of the library, its path from the root)"""
    text = blank(path.read_text(), strings=False)
    for match in INCLUDE.finditer(text):
        name = match[1]
        if match[0].rstrip().endswith('"') and (path.parent / name).exists():
            name = (path.parent / name).resolve().relative_to(root.resolve()).as_posix()
        yield text.count("\n", 0, match.start()) + 1, name.removeprefix("gyre/")


def arrows(root, _):
    for path in sources(root, LIBRARY):
        folder = path.relative_to(root).parts[0]
        for line, name in includes(path, root):
            if name.split("/")[0] in FORBIDDEN[folder] or name == "gyre.hpp":
                yield f"{path}:{line}: {folder}/ must not include {name}"


def public_includes(root, options):
    if not options.public:
        yield "no public header is listed"
    for header in options.public:
        path = root / header
        for line, name in includes(path, root):
            if name in HEAVY:
                yield f"{path}:{line}: a public header must not include <{name}>"
            elif name.split("/")[0] in LIBRARY and name not in options.public:
                yield f"{path}:{line}: a public header includes {name}, which is not installed"


def undefined_symbols(path, listing):
    for name in listing.split():
        if SYMBOLS.fullmatch(name):
            yield f"{path}: calls {name}"


def seam(root, options):
    behind = list(sources(root, ("io", "resolver")))
    for path in behind:
        text = blank(path.read_text(), strings=True)
        for match in TOKENS.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield f"{path}:{line}: {match[0].rstrip(' (')} belongs behind the seam, in core/"
    objects = [path for path in options.objects if re.search(r"\.dir/(\./)?(io|resolver)/", path)]
    if options.objects and not objects and any(path.suffix == ".cpp" for path in behind):
        yield "none of the object files is of io/ or resolver/: has CMake changed where they lie?"
    for path in objects:
        nm = subprocess.run(["nm", "-u", "-j", path], capture_output=True, text=True, check=True)
        yield from undefined_symbols(path, nm.stdout)


def python_names():
    """What the socket module of this Python has; of the constants, what is known up to 3.13."""
    constants = {name for name, value in vars(socket).items()
                 if name[0].isupper() and isinstance(value, int)} - set(dir(errno))
    functions = {name for name, value in vars(socket).items()
                 if name[0] != "_" and inspect.isroutine(value)}
    methods = {name for name in dir(socket.socket) if name[0] != "_"}
    return functions | methods | (constants if sys.version_info < (3, 14) else set())


def surface(root, options):
    document = root / "docs/sockets.md"
    tests = "".join(blank(path.read_text(), strings=False) for path in sources(root, ("tests",)))
    rows, named = 0, ""
    for number, line in enumerate(document.read_text().split("\n"), 1):
        cells = [cell.strip() for cell in line.split("|")][1:-1]
        if len(cells) != 4 or cells[0] in ("Python", "---"):
            continue
        rows += 1
        named += cells[0] + " "
        where = f"{document}:{number}:"
        name, ours, header, remark = cells
        if ours == header == "-":
            if not remark:
                yield f"{where} {name} is not there, and no reason is given"
            continue
        identifiers = re.findall(r"`([\w:]+)`", ours)
        if not identifiers:
            yield f"{where} {name} has no name in gyre"
        system = re.fullmatch("<.+>", header)
        if not system and not (root / header).is_file():
            yield f"{where} there is no {header}"
            continue
        code = "" if system else blank((root / header).read_text(), strings=False)
        if system and f"#include {header}" not in tests:
            yield f"{where} no test includes {header}"
        for identifier in identifiers:
            # Of a class it is a member, whose use names no class; of a namespace, all is named.
            scope, _, last = identifier.rpartition("::")
            used = identifier if scope in NAMESPACES else last
            if not system and not re.search(rf"\b{last}\b", code):
                yield f"{where} {header} has no {last}"
            if not re.search(rf"\b{used}\b", tests):
                yield f"{where} no test uses {used}"
    if not rows:
        yield f"{document}: no row was found"
    known, groups = set(re.findall(r"\w+", named)), tuple(re.findall(r"(\w+_)\*", named))
    for name in sorted(options.python):
        if name not in known and not name.startswith(groups):
            yield f"{document}: no row is about {name}"


def words(root, _):
    for path in [*sources(root, CODE), *sorted(root.glob("*.hpp"))]:
        text = path.read_bytes().decode()  # read_text would hide a carriage return
        for number, line in enumerate(text.split("\n"), 1):
            if "\t" in line:
                yield f"{path}:{number}: a tab"
            if line != line.rstrip():
                yield f"{path}:{number}: blanks at the end of the line"
            if len(line) > 100:
                yield f"{path}:{number}: {len(line)} columns, of at most 100"
        if text and not text.endswith("\n"):
            yield f"{path}: no newline at the end"


RULES = {"arrows": arrows, "includes": public_includes, "seam": seam, "surface": surface,
         "words": words}

# What each rule must catch (with the number of breaches), and what it must let pass.
BAD = {
    "arrows": (4, {"core/a.hpp": '#include <gyre/io/b.hpp>\n#include "../io/b.hpp"\n',
                   "io/b.hpp": "# include <gyre/resolver/c.hpp>\n",
                   "resolver/c.hpp": "#include <gyre/gyre.hpp>\n"}),
    "includes": (3, {"core/a.hpp": "#include <functional>\n#  include <sys/epoll.h>\n",
                     "io/b.hpp": "#include <gyre/core/hidden.hpp>\n"}),
    "seam": (6, {"io/a.cpp": "int n = ::recv(1, p, 2, 0);\nreturn ::close(3);\nio_uring_sqe* s;\n",
                 "resolver/b.cpp": "auto e = epoll_create1(0);\nif (accept4(1)) :: socket (1);\n"}),
    "surface": (8, {"docs/sockets.md": "|Python|gyre|header|what|\n|---|---|---|---|\n"
                                       "| `recv` | `socket::recv`, `get` | io/a.hpp | |\n"
                                       "| `send` | `send` | io/b.hpp | |\n| `share` | - | - | |\n"
                                       "| CORK | `udp::cork` | io/a.hpp | |\n"
                                       "| AF_Y, AF_Z | `AF_X`, `AF_Y` | <x.h> | |\n",
                    "io/a.hpp": "int recv(), cork(); // get\n",
                    "tests/a.cpp": "recv(); gets(); tcp::cork(); AF_Y; // udp::cork, AF_X\n"}),
    "words": (5, {"core/a.hpp": "int\ta;\nint b; \n" + "x" * 101 + "\n",
                  "io/b.cpp": "int c;\r\nint d;"}),
}
GOOD = {
    "arrows": {"core/a.hpp": "#include <vector>\n// #include <gyre/io/b.hpp>\n",
               "io/b.hpp": "#include <gyre/core/a.hpp>\n",
               "resolver/c.hpp": "#include <gyre/io/b.hpp>\n#include <gyre/core/a.hpp>\n"},
    "includes": {"core/a.hpp": "#include <memory>\n/*\n#include <regex>\n*/\n",
                 "io/b.hpp": "#include <gyre/core/a.hpp>\n"},
    "seam": {"io/a.cpp": 'void socket::recv(int) { peer.send(1); } // ::recv(\n'
                         'auto t = "::send(";\n'
                         "auto n = 1'000 + loop->close(2) + std::bind(3);\n",
             "resolver/b.cpp": "int r = ::getaddrinfo(a, b, c, d); ::getnameinfo(e);\n"},
    "surface": {"docs/sockets.md": "| `recv` | `socket::recv` | io/a.hpp | |\n"
                                   "| CORK | `udp::cork` | io/a.hpp | |\n"
                                   "| AF_* | `AF_X` | <x.h> | |\n"
                                   "| `share` | - | - | Windows only |\n",
                "io/a.hpp": "int recv(), cork();\n",
                "tests/a.cpp": "#include <x.h>\na.recv(); option::udp::cork; AF_X;\n"},
    "words": {"core/a.hpp": "int a;\n" + "x" * 100 + "\n"},
}


def self_test(rule):
    options = argparse.Namespace(public=["core/a.hpp", "io/b.hpp"], objects=[],
                                 python={"AF_X", "CORK", "recv"})
    for expected, sample in (BAD[rule], (0, GOOD[rule])):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in sample.items():
                path = Path(folder, name)
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, newline="")
            found = list(RULES[rule](Path(folder), options))
        if len(found) != expected:
            sys.exit(f"self-test of {rule}: {expected} breaches expected, found {found}")
    if rule == "seam":
        names = "recv __recv_chk io_uring_submit fcntl64 getaddrinfo _ZN4gyre4recvEv"
        found = list(undefined_symbols("x.o", names))
        if len(found) != 4:
            sys.exit(f"self-test of {rule}: 4 symbols expected, found {found}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("rule", choices=RULES)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--public", nargs="*", default=[], help="the public headers, from the root")
    parser.add_argument("--objects", nargs="*", default=[], help="the object files of the library")
    options = parser.parse_args()
    options.python = python_names()
    self_test(options.rule)
    breaches = list(RULES[options.rule](options.root, options))
    print(*breaches, f"{options.rule}: {len(breaches)} breaches", sep="\n")
    sys.exit(1 if breaches else 0)


main()
