# Start a program as systemd does: with open files from number 3 on.
#
# Arguments: the files' numbers here, with commas; the program; its arguments.
import fcntl
import os
import sys

numbers, program = sys.argv[1].split(","), sys.argv[2:]
# Out of the way first: one of them may be number 3 already.
files = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 100) for number in numbers]
for number, file in enumerate(files, 3):
    os.dup2(file, number)
    os.close(file)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(files)))
os.execv(program[0], program)
