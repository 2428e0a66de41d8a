"""Processes in a pseudo-terminal."""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
import time

ENTER, LEAVE, SHOW = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"
"""Sequences that enter and leave the alternate screen, and show the cursor."""


class Terminal:
    """A process in a pseudo-terminal."""

    def __init__(self, command: list[str], columns: int, rows: int, **environment: str) -> None:
        import pty

        self.primary, secondary = pty.openpty()
        self.resize(columns, rows)
        names = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            command,
            stdin=secondary,
            stdout=secondary,
            stderr=secondary,
            start_new_session=True,
            cwd=tempfile.gettempdir(),  # a source tree without a core would be found first
            env={**names, "TERM": "xterm-256color", "PYTHONUTF8": "1", **environment},
        )
        os.close(secondary)
        self.seen = b""

    def resize(self, columns: int, rows: int) -> None:
        import fcntl
        import struct
        import termios

        fcntl.ioctl(self.primary, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_until(self, wanted: bytes, seconds: float = 60.0) -> bytes:
        """Return what was written since the last call, up to and with `wanted`."""
        deadline_s = time.monotonic() + seconds
        while wanted not in self.seen:
            left_s = deadline_s - time.monotonic()
            assert left_s > 0, self.seen[-3000:].decode(errors="replace")
            if select.select([self.primary], [], [], left_s)[0]:
                try:
                    self.seen += os.read(self.primary, 65_536)
                except OSError:  # Linux, when the process has ended
                    break
        assert wanted in self.seen, self.seen[-3000:].decode(errors="replace")
        end = self.seen.index(wanted) + len(wanted)
        found, self.seen = self.seen[:end], self.seen[end:]
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.primary)
