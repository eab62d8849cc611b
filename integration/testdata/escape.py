"""A tool whose child gets away from its worker."""

import os
import signal
import sys
import time

from snakepit import Adapter, tool


class Escape(Adapter):
    """Tools that leave a process behind."""

    @tool
    def escape(self, bare: bool = False) -> int:
        """Start a process in a session of its own that isn't the worker's child, and tell its pid.

        A bare one has no environment.
        """
        read, write = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                os.write(write, str(os.getpid()).encode())
                command = [sys.executable, "-c", "import time; time.sleep(600)", __file__]
                os.execve(sys.executable, command, {} if bare else dict(os.environ))
            os._exit(0)
        os.close(write)
        os.wait()
        return int(os.read(read, 20))

    @tool
    def linger(self, path: str) -> None:
        """Do the same, write the pid to a file, and go on."""
        pid = self.escape()
        with open(path + ".new", "w") as f:
            f.write(str(pid))
        os.rename(path + ".new", path)
        time.sleep(600)
