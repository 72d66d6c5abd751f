"""System calls that the kernel refuses, for tests of what a file system without locks, say, answers (seccomp)."""

import ctypes
import errno
import struct

FLOCK = 73  # x86-64
_LOAD_NUMBER, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_NO_NEW_PRIVS, _SECCOMP, _FILTER = 38, 22, 2  # prctl


def refuse(number, error=errno.ENOLCK):
    """Let every further call of that number fail in this process (not to be undone: call it in a child)."""
    steps = [(_LOAD_NUMBER, 0, 0, 0), (_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE | error), (_RETURN, 0, 0, _ALLOW)]
    program = b"".join(struct.pack("HBBI", *step) for step in steps)
    kept = ctypes.create_string_buffer(program, len(program))
    libc = ctypes.CDLL(None, use_errno=True)
    described = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(kept)))
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_SECCOMP, _FILTER, described):
        raise OSError(ctypes.get_errno(), "no filter of system calls can be set here")
