#!/bin/bash
# etcdsd(1) tells all commands, options, exit statuses and members of JSON, and
# none that there is not.
# SPDX-License-Identifier: LGPL-2.1-or-later
cd "$(dirname "$0")/../../.." || exit 1
mandoc -Tlint -Wwarning packaging/man/etcdsd.1 || { echo 'not ok - etcdsd(1) is well-formed'; exit 1; }
python3 - "${BUILD:-build}/etcdsd" <<'END'
import glob, re, subprocess, sys

page = open("packaging/man/etcdsd.1").read()
failed = 0

def run(*words):
    return subprocess.run([sys.argv[1], *words], check=True, capture_output=True, text=True).stdout

def check(sentence, told, there):
    global failed
    wrong = [f"{x}: told, and there is none" for x in sorted(set(told) - set(there))]
    wrong += [f"{x}: not told" for x in sorted(set(there) - set(told))]
    wrong += [] if there else ["nothing was found"]
    for line in wrong:
        print("#", line)
    failed |= bool(wrong)
    print("not ok" if wrong else "ok", "-", sentence)

def section(text, kind, name):
    return re.search(rf"^\.{kind} {name}\n(.*?)(?=^\.S[h{'s' if kind == 'Ss' else ''}] |\Z)", text, flags=re.M | re.S)[1]

# "--ttl SECONDS" of the help; "--ttl SECONDS" of the page.
def of_help(text):
    return re.findall(r"^  (--[a-z-]+(?: (?!\s)[^\s]+)?)", text, flags=re.M)

def of_page(text):
    options = re.findall(r"^\.It Fl (-\S+)(?: Ar (.*))?$", text, flags=re.M)
    return [re.sub(r" Ns Op : Ns Ar (\w+)", r"[:\1]", f"-{name} {value}".strip()) for name, value in options]

description = section(page, "Sh", "DESCRIPTION")
commands = [line.split("\t")[0] for line in run("__complete", "").splitlines()]
check("its commands are those of the parser",
      [name for name in re.findall(r"^\.Ss (.*)$", description, flags=re.M) if " " not in name], commands)
check("options of all commands are those of the parser",
      of_page(section(description, "Ss", "Options of all commands")), of_help(run("help")))
for command in commands:
    if command != "help":
        check(f"options of {command} are those of the parser",
              of_page(section(description, "Ss", command)), of_help(run("help", command)))

code = "".join(open(path).read() for path in sorted(glob.glob("libsd/cli/*.c")))
there = re.findall(r'\b(?:cli_json_\w+|print_age)\(&?json,\s*"(\w+)"', code)
told = [name.strip() for line in re.findall(r"^\.Li (.*?)(?: [;.:])?$", section(page, "Sh", "JSON"), flags=re.M)
        for name in re.sub(r" ,", "", line).split()]
check("members of JSON are those that are printed", told, there)
statuses = re.findall(r"CLI_\w+ = (\d+)", open("libsd/cli/arguments.h").read())
check("exit statuses are those of the code",
      re.findall(r"^\.It Li (\d+)$", section(page, "Sh", "EXIT STATUS"), flags=re.M), set(statuses) - {"128"})
sys.exit(failed)
END
