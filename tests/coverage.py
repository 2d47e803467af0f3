#!/usr/bin/env python3
# Adds up what gcov says of each source, for tests/coverage.
# SPDX-License-Identifier: LGPL-2.1-or-later
#
#   coverage.py BUILD FOLDER...
#
# BUILD/coverage.md has the folders and their files, BUILD/uncovered.txt the
# lines that were not reached, each function's in a line of its own.

import glob
import json
import os
import re
import subprocess
import sys


def function_at(text, number):
    """The function that line NUMBER is in, as the source has it: gcov knows none that is always inlined."""
    for line in reversed(text[:number]):
        names = re.findall(r"(\w+)\(", line) if re.match(r"\w[^;=]*$", line) else []
        names = [name for name in names if name != "__attribute__"]
        if names:
            return names[0]
    return ""


def counts(build, folders):
    """{source: {line: times}}, whichever object has them."""
    sources = {name: {} for folder in folders for name in glob.glob(f"{folder}/*.[ch]")}
    for notes in sorted(glob.glob(f"{build}/obj/**/*.gcno", recursive=True)):
        # Its status tells of a program that never ran; then the counts are 0.
        said = subprocess.run(["gcov", "--json-format", "--stdout", notes], capture_output=True, check=False)
        for text in said.stdout.splitlines():
            for file in json.loads(text)["files"]:
                of_file = sources.get(os.path.normpath(file["file"]), {})
                for line in file["lines"]:
                    of_file[line["line_number"]] = of_file.get(line["line_number"], 0) + line["count"]
    return sources


def ranges(numbers):
    """[3, 4, 5, 9] as "3-5 9"."""
    runs = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def uncovered(name, lines):
    """What is missed of a file, function by function."""
    missed = {}
    with open(name, encoding="utf-8") as file:
        text = file.read().splitlines()
    for number, times in sorted(lines.items()):
        if times == 0:
            missed.setdefault(function_at(text, number), []).append(number)
    return "".join(f"{name}:{function}: {ranges(numbers)}\n" for function, numbers in missed.items())


def row(name, counted):
    """A line of a report: COUNTED are the times of each line."""
    reached = sum(times > 0 for times in counted)
    return f"| {name} | {len(counted)} | {reached} | {100 * reached / len(counted):.1f} % |\n"


def main():
    build, folders = sys.argv[1], sys.argv[2:]
    sources = {name: lines for name, lines in sorted(counts(build, folders).items()) if lines}
    times = {name: list(lines.values()) for name, lines in sources.items()}
    head = "| {} | lines | reached | |\n|---|---:|---:|---:|\n"
    of_folder = {folder: [] for folder in folders}
    for name, counted in times.items():
        of_folder[os.path.dirname(name)] += counted
    text = head.format("folder") + "".join(row(folder, counted) for folder, counted in of_folder.items())
    text += row("all", sum(times.values(), []))
    with open(f"{build}/coverage.md", "w", encoding="utf-8") as file:
        file.write(text + "\n" + head.format("file") + "".join(row(name, counted) for name, counted in times.items()))
    with open(f"{build}/uncovered.txt", "w", encoding="utf-8") as file:
        file.writelines(uncovered(name, lines) for name, lines in sources.items())
    print(text, end="")


main()
