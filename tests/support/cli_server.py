"""Starts ``xet`` processes for tests by forking a process that has already imported the modules: imports take most of the
time of a short command, and the suite runs hundreds of commands.

Each command has a process with its own arguments, environment, folder and standard streams. Tests that need a new
interpreter (start-up, options of Python) use ``Cli(…, fresh=True)``.
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import sys
import warnings


def serve(requests: socket.socket) -> None:
    """Fork for each request, until the other end closes the socket."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, files, _, _ = socket.recv_fds(requests, 1 << 20, 4)
        if not message:
            return
        if not os.fork():
            requests.close()
            keep(json.loads(message), files)
        for file in files:
            os.close(file)


def keep(request: dict[str, object], files: list[int]) -> None:
    """Fork the command, and write its process id and then its exit code to the last of the files."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, status = files
    child = os.fork()
    if not child:
        os.close(status)
        become(request, streams)
    for file in streams:
        os.close(file)
    os.write(status, f"{child}\n".encode())
    _, ended = os.waitpid(child, 0)
    os.write(status, f"{os.waitstatus_to_exitcode(ended)}\n".encode())
    os._exit(0)


def become(request: dict[str, object], streams: list[int]) -> None:
    """Run the command as if this process had been started for it."""
    from pyxet.cli import main

    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for target, file in enumerate(streams):
        os.dup2(file, target)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["environment"])  # type: ignore[call-overload]  # a dictionary of JSON
    os.chdir(str(request["folder"]))
    sys.argv = ["xet", *request["arguments"]]  # type: ignore[misc]  # a list of JSON
    sys.stdin, sys.stdout, sys.stderr = (
        # Like the interpreter's own streams, these leave the descriptors open.
        io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8"),
        *(
            io.TextIOWrapper(
                io.BufferedWriter(io.FileIO(target, "w", closefd=False)),
                encoding="utf-8",
                line_buffering=os.isatty(target),
            )
            for target in (1, 2)
        ),
    )
    # It ends by `SystemExit`, so handlers of `atexit` run and threads are waited for, as in a new interpreter.
    main()


if __name__ == "__main__":
    # numpy, where it replaces the C kernel, has threads, but none that holds anything a forked child needs.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded")
    import pyxet.fs  # noqa: F401
    from pyxet.cli import commands, completion, running  # noqa: F401

    with socket.socket(fileno=int(sys.argv[1])) as given:
        serve(given)
