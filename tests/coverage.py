#!/usr/bin/env python3
# Adds up what gcov says of each source, for tests/coverage.
# SPDX-License-Identifier: LGPL-2.1-or-later
#
#   coverage.py BUILD FOLDER...

import glob
import json
import os
import subprocess
import sys


def counts(build, folder):
    """{source: {line: times}} of the sources of a folder and its headers."""
    lines = {}
    for data in sorted(glob.glob(f"{build}/obj/{folder}/*.gcda")):
        said = subprocess.run(["gcov", "--json-format", "--stdout", data], capture_output=True, check=True)
        for text in said.stdout.splitlines():
            for file in json.loads(text)["files"]:
                name = os.path.normpath(file["file"])
                if os.path.dirname(name) != folder:
                    continue
                of_file = lines.setdefault(name, {})
                for line in file["lines"]:
                    number = line["line_number"]
                    of_file[number] = of_file.get(number, 0) + line["count"]
    for source in glob.glob(f"{folder}/*.c"):
        if source not in lines:
            sys.exit(f"coverage: nothing was counted of {source}")
    return lines


def ranges(numbers):
    """[3, 4, 5, 9] as "3-5 9"."""
    runs = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def main():
    build, folders = sys.argv[1], sys.argv[2:]
    report = ["| folder | lines | reached | |", "|---|---:|---:|---:|"]
    total = reached = 0
    with open(f"{build}/uncovered.txt", "w", encoding="utf-8") as uncovered:
        for folder in folders:
            of_folder = hit_folder = 0
            for name, lines in sorted(counts(build, folder).items()):
                missed = sorted(number for number, times in lines.items() if times == 0)
                of_folder += len(lines)
                hit_folder += len(lines) - len(missed)
                if missed:
                    uncovered.write(f"{name}: {ranges(missed)}\n")
            report.append(f"| {folder} | {of_folder} | {hit_folder} | {100 * hit_folder / of_folder:.1f} % |")
            total += of_folder
            reached += hit_folder
    report.append(f"| all | {total} | {reached} | {100 * reached / total:.1f} % |")
    text = "\n".join(report) + "\n"
    with open(f"{build}/coverage.md", "w", encoding="utf-8") as file:
        file.write(text)
    print(text, end="")


main()
