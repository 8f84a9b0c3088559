# Runs a program on a terminal that nobody reads and that takes nothing more, and exits as it does. Arguments:
# the program, the program's arguments.
import fcntl
import os
import pty
import struct
import sys
import termios

_, terminal = pty.openpty()
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
os.set_blocking(terminal, False)
try:
    while True:
        os.write(terminal, b"x" * 100)
except BlockingIOError:
    os.set_blocking(terminal, True)
child = os.fork()
if child == 0:
    for number in range(3):
        os.dup2(terminal, number)
    os.execv(sys.argv[1], sys.argv[1:])
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
