#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Does what a guide says, on the host that it runs on.

    guide.py GUIDE.md

Blocks that are marked sh are given to one shell, in order; each command must
succeed.  A block marked text right behind one shows what that prints, "..."
standing for anything: as changes take a moment, such a block is repeated until it
prints that, for a minute at most.  Ends with 1, and says where, if it does not.

A block that needs a program that may not be there says so in the line before it,
<!-- needs: PROGRAM -->, and is left out then.
"""
import fnmatch
import glob
import re
import shutil
import subprocess
import sys
import time

WITHIN_S = 60  # on a machine that has other things to do, too
END = "--- end of block"


class Shell:
    def __init__(self):
        self.process = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)

    def run(self, block):
        """What the block prints, and whether all of its commands succeeded."""
        self.process.stdin.write(f"failed=0; trap 'failed=$?' ERR; set -E\n{block}\n"
                                 f"trap - ERR; echo; echo '{END}' $failed\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line.startswith(END):
                return lines[:-1] if lines and lines[-1] == "" else lines, line.split()[-1] == "0"
            lines.append(line.rstrip())
        return lines, False


def pattern(line):
    return line.replace("[", "[[]").replace("?", "[?]").replace("*", "[*]").replace("...", "*")


def matches(printed, shown):
    if not shown:
        return not printed
    if shown[0] == "...":
        return any(matches(printed[i:], shown[1:]) for i in range(len(printed) + 1))
    return bool(printed) and fnmatch.fnmatchcase(printed[0], pattern(shown[0])) and matches(printed[1:], shown[1:])


def blocks(text):
    """(line number, program, block, what it is to print or None) of each that is marked sh."""
    found = [(text[:match.start()].count("\n") + 1, match.group(1), match.group(2), match.group(3).rstrip("\n"))
             for match in re.finditer(r"(?:^<!-- needs: (\S+) -->\n)?^```(\w+)\n(.*?)^```$", text, flags=re.M | re.S)]
    for i, (line, program, kind, block) in enumerate(found):
        if kind == "sh":
            shows = i + 1 < len(found) and found[i + 1][2] == "text"
            yield line, program, block, found[i + 1][3].split("\n") if shows else None


def do(shell, block, shown):
    deadline = time.monotonic() + WITHIN_S
    while True:
        printed, good = shell.run(block)
        if shown is None:
            return printed, good
        if good and matches(printed, shown):
            return printed, True
        if time.monotonic() > deadline or shell.process.poll() is not None:
            return printed, False
        time.sleep(0.1)


def logs():
    """The last lines of what the guide's programs said."""
    lines = []
    for path in sorted(glob.glob("/var/log/etcd*.log") + glob.glob("/var/log/user*.log")):
        with open(path, encoding="utf-8", errors="replace") as file:
            lines += [path + ":"] + ["  " + line.rstrip()[:300] for line in file.readlines()[-8:]]
    return lines


def main():
    shell = Shell()
    count = 0
    with open(sys.argv[1], encoding="utf-8") as file:
        text = file.read()
    for line, program, block, shown in blocks(text):
        if program and not shutil.which(program):
            print(f"# {sys.argv[1]}:{line}: left out: no {program}")
            continue
        printed, good = do(shell, block, shown)
        count += 1
        if not good:
            print(f"# {sys.argv[1]}:{line}: {'prints something else' if shown else 'a command fails'}:")
            print("\n".join("#   " + what for what in printed[-30:] + logs()))
            return 1
    print(f"# {count} blocks")
    return 0 if count else 1


sys.exit(main())
