"""Executes another program that cannot create user, mount, UTS or IPC namespaces.

    deny.py PROGRAM [ARGUMENT...]

The program and all its children get "No space left on device" from unshare, as from a kernel whose
user.max_*_namespaces are 0, but without changing the kernel, which other machines share. This cannot be undone.
systemd creates the namespaces of services by unshare; clone stays allowed, since systemd 257 uses it when it starts.
"""

import ctypes
import os
import struct
import sys

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER = 0x00020000, 0x04000000, 0x08000000, 0x10000000
ENOSPC = 28
# By machine: its name in the kernel, and the number of the system call unshare.
MACHINES = {"x86_64": (0xC000003E, 272), "aarch64": (0xC00000B7, 97)}

# From linux/filter.h, linux/bpf_common.h and linux/seccomp.h.
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
ALLOW, ERROR = 0x7FFF0000, 0x00050000
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2


def program():
    architecture, unshare = MACHINES[os.uname().machine]
    lines = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 0, 4, architecture),
        (LOAD, 0, 0, NUMBER),
        (EQUAL, 0, 2, unshare),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (ANY_BIT, 1, 0, CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, ERROR | ENOSPC),
    ]
    return len(lines), b"".join(struct.pack("=HBBI", *line) for line in lines)


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("lines", ctypes.c_char_p)]


length, lines = program()
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(Program(length, lines)), 0, 0) != 0:
    sys.exit("deny.py: no filter: " + os.strerror(ctypes.get_errno()))
os.execv(sys.argv[1], sys.argv[1:])
