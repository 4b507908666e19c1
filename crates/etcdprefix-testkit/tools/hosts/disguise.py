"""Gives a script the command line of the program that it stands in for: without the interpreter."""

import ctypes
import sys

PR_SET_MM, PR_SET_MM_ARG_END = 35, 9


def disguise(name=sys.argv[0]):
    with open("/proc/self/stat") as file:
        start, end = file.read().rsplit(")", 1)[1].split()[45:47]
    line = b"".join(word.encode() + b"\0" for word in [name, *sys.argv[1:]])
    if len(line) <= int(end) - int(start):
        ctypes.memmove(int(start), line, len(line))
        last = ctypes.c_ulong(int(start) + len(line))
        ctypes.CDLL(None).prctl(PR_SET_MM, PR_SET_MM_ARG_END, last, 0, 0)
