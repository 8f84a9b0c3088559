# Runs a program on a terminal of 24 lines and 100 columns, writes what it shows to standard output, and
# exits as it does. Arguments: what is typed there before anything is shown; what is typed there later, as a
# JSON array of texts, one each time that a question stands there; the program, the program's arguments.
import fcntl
import json
import os
import pty
import struct
import sys
import termios

typed, answers, program = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3:]
# What a question ends with.
QUESTION = b"? [y/N] "
child, terminal = pty.fork()
if child == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    os.execv(program[0], program)
# The terminal keeps it until it is read, or thrown away.
os.write(terminal, typed.encode())
unseen = b""
while True:
    try:
        shown = os.read(terminal, 65536)
    except OSError:
        # Linux's way to say that nobody holds the other end any more.
        break
    if not shown:
        break
    os.write(1, shown)
    unseen += shown
    while answers and QUESTION in unseen:
        unseen = unseen.split(QUESTION, 1)[1]
        os.write(terminal, answers.pop(0).encode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
