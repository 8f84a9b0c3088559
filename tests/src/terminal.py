# Runs a program on a terminal of 24 lines and 100 columns, writes what it shows to standard output, and
# exits as it does. Arguments: what is typed there, the program, the program's arguments.
import fcntl
import os
import pty
import struct
import sys
import termios

typed, program = sys.argv[1], sys.argv[2:]
child, terminal = pty.fork()
if child == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    os.execv(program[0], program)
# Nobody has to wait for a question: the terminal keeps it until it is read.
os.write(terminal, typed.encode())
while True:
    try:
        shown = os.read(terminal, 65536)
    except OSError:
        # Linux's way to say that nobody holds the other end any more.
        break
    if not shown:
        break
    os.write(1, shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
