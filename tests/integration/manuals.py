#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares the manual pages with what they are about.

    manuals.py BUILD TREE

Prints a line "ok - ..." or "not ok - ..." for each comparison.  Tables of keys
are read from the sources after the preprocessor, so that a row that no page
knows can't hide.
"""
import glob
import os
import re
import subprocess
import sys

build, top = sys.argv[1:]
failed = False
flags = ["-E", "-P", "-D_GNU_SOURCE", "-I", top + "/libsd", "-I", top + "/libsd/table"]


def check(sentence, wrong):
    global failed
    failed = failed or bool(wrong)
    for what in wrong:
        print("#", what)
    print("not ok -" if wrong else "ok -", sentence)


def differences(documented, there, what=""):
    return [f"{what}{name}: in no page" for name in sorted(set(there) - set(documented))] + [
        f"{what}{name}: in a page, and nowhere else" for name in sorted(set(documented) - set(there))]


def text(path):
    with open(os.path.join(top, path), encoding="utf-8") as file:
        return file.read()


def preprocessed(path):
    return subprocess.run(["cc", *flags, os.path.join(top, path)], check=True, capture_output=True,
                          text=True).stdout


def strings(row):
    """The C strings of a row, adjacent ones in one; NULL is None."""
    row = re.sub(r'"\s*"', "", row)
    return [None if word == "((void *)0)" else word.strip('"')
            for word in re.findall(r'"(?:[^"\\]|\\.)*"|\(\(void \*\)0\)', row)]


def rows(source, start):
    """The rows of a table, innermost braces each."""
    table = source[source.index(start):]
    return re.findall(r"\{([^{}]+)\}", table[:table.index("};")])


def section(page, name):
    return re.split(r"^\.Sh ", page.split(".Sh " + name + "\n")[1], flags=re.M)[0]


def plain(mdoc):
    """Text without its escapes."""
    return re.sub(r"\\\(aq", "'", re.sub(r"\\-", "-", re.sub(r"\\e", r"\\", re.sub(r"\\&", "", mdoc))))


conf = text("packaging/man/etcdsd.conf.5")
watcher_page = text("packaging/man/etcdsd-watcher.8")
man3 = {os.path.basename(path): text(path) for path in sorted(glob.glob(build + "/man/*.3"))
        if not os.path.islink(path)}
headers = "\n".join(text(path) for path in sorted(glob.glob(top + "/libsd/libsd*.h")))

# ---- keys -------------------------------------------------------------------

documented = {}
twice = []
for name, variable, rest in re.findall(r"^\.It Cm ([a-z-]+) No = .*\n\.Bq Ev (\w+)(.*)$", conf, flags=re.M):
    default = re.search(r"default Li (\S+)", rest)
    places = re.search(r"No ((?:etcd|zones|services|at start)(?:, \w+)*)$", rest)
    twice += [name + ": twice"] if name in documented else []
    documented[name] = (variable, default and default.group(1),
                        tuple((places.group(1) if places else "").split(", ")) if places else ())
check("each key is in one place of etcdsd.conf(5), with its variable",
      twice + [f"{line}: has no line of its variable" for line in
               set(re.findall(r"^\.It Cm ([a-z-]+) No =", conf, flags=re.M)) - set(documented)])

there = {}
places = {"KEY_ETCD": "etcd", "KEY_ZONE": "zones", "KEY_SERVICE": "services", "KEY_AT_START": "at start"}
source = preprocessed("nss/watcher/keys.c")
for row in rows(source, "const struct key keys[] ="):
    name, variable = strings(row)[:2]
    # Offset, words, least and most stand between; the default is behind them.
    default = re.search(r',\s*("[^"]*"|\(\(void \*\)0\)),\s*"[^"]*",\s*"', re.sub(r'"\s*"', "", row)).group(1)
    there[name] = (variable, None if default[0] == "(" else default.strip('"'),
                   tuple(word for place, word in places.items() if re.search(place + r"\b", row)))
watcher_keys = set(there)
libsd_options = {}
for row in rows(preprocessed("libsd/options.c"), "} table[] = {"):
    name, *libsd_options[name] = strings(row)[:3]
for name, (variable, default) in libsd_options.items():
    if name not in there and variable:
        there[name] = (variable, default or None, ("etcd",))
    elif name in there and "etcd" not in there[name][2]:
        there[name] = (*there[name][:2], ("etcd", *there[name][2]))
check("its keys are those of the parsers", differences(documented, there, "key "))
check("variable, default and places of each are the parsers'",
      [f"{name}: {documented[name]} in the page, {there[name]} in the code"
       for name in documented if name in there and documented[name] != there[name]])
check("libsd and the watcher have the same defaults",
      [f"{name}: {default} in libsd, {there[name][1]} in the watcher"
       for name, (_, default) in libsd_options.items() if name in watcher_keys and default
       and default != there[name][1]])

sections = re.findall(r'#define SECTION_\w+\s+"(\w+)"', text("nss/watcher/config.c"))
check("its sections are those of the parser",
      differences(re.findall(r"^\.It Li \[(\w+)", conf, flags=re.M), sections, "section "))

table = re.search(r"key +environment +value.*?\n \*\n", headers, flags=re.S).group(0)
header_rows = {}
for line in re.findall(r"^ \*   ([a-z-]+) +(\S+) *(.*?)(?=^ \*   [a-z]|^ \*$)", table, flags=re.M | re.S):
    default = re.search(r"\[([^]]*)\]", line[2])
    header_rows[line[0]] = (line[1], default.group(1).split()[0] if default else None)
check("the options that libsd.h tells are libsd's", differences(header_rows, libsd_options, "option ") + [
    f"{name}: {header_rows[name]} in libsd.h, {variable, default} in the code"
    for name, (variable, default) in libsd_options.items() if name in header_rows and (
        header_rows[name][0] != (variable or "(none)") or
        default and header_rows[name][1] != default)])

# ---- the watcher ------------------------------------------------------------

help_text = subprocess.run([build + "/etcdsd-watcher", "--help"], check=True, capture_output=True,
                           text=True).stdout
options = set(re.findall(r"^  --([a-z-]+) ", help_text, flags=re.M))
check("options of the watcher are keys, or told in etcdsd-watcher(8)",
      differences(re.findall(r"^\.It Fl -([a-z-]+)", watcher_page, flags=re.M), options - watcher_keys, "--"))

metrics = {name: kind for kind, name in
           re.findall(r'\b(gauge|counter)\(&?text, "(\w+)"', text("nss/watcher/metrics.c"))}
metrics.update(re.findall(r'\bhead\(&?text, "(\w+)", "(\w+)"', text("nss/watcher/metrics.c")))
told = dict(re.findall(r"^\.It Li etcdsd_watcher_(\w+) No \((\w+)\)", watcher_page, flags=re.M))
check("metrics are those that are rendered", differences(told, metrics, "metric ") + [
    f"{name}: is a {metrics[name]}" for name in told if metrics.get(name, told[name]) != told[name]])

signals = re.findall(r"sigaddset\(&signals, (SIG\w+)\)", text("nss/watcher/watcher.c"))
check("signals are those that it waits for",
      differences(re.findall(r"^\.It Dv (SIG\w+)", watcher_page, flags=re.M), signals))
statuses = re.findall(r"^    WATCHER_\w+ = (\d)", text("nss/watcher/watcher.h"), flags=re.M)
check("exit statuses are its own",
      differences(re.findall(r"^\.It Li (\d)$", section(watcher_page, "EXIT STATUS"), flags=re.M), statuses))

# ---- the overview -----------------------------------------------------------

code = ""
for folder in ("nss/watcher", "libsd/cli", "libsd/table"):
    for path in sorted(glob.glob(f"{top}/{folder}/*.c")):
        code += re.sub(r'"\s*"', "", text(path))
quotes = re.findall(r"^\.Dq (.*?)(?: ;)?$", section(text("packaging/man/etcdsd.7"), "FAILURES"), flags=re.M)
check("what the failure table quotes is what programs say",
      [f'"{quote}": nobody says that' for quote in quotes or [""] if not quote or quote not in code])

# ---- libsd ------------------------------------------------------------------

exported = re.findall(r" T (libsd_\w+)", subprocess.run(
    ["nm", "-D", "--defined-only", build + "/libsd.so.1"], check=True, capture_output=True, text=True).stdout)
inline = re.findall(r"^static inline [\w ]+\**(libsd_\w+)\(", headers, flags=re.M)
pages_of = {}
for page, mdoc in man3.items():
    for name in re.findall(r"^\.Fo (\w+)$", mdoc, flags=re.M):
        pages_of.setdefault(name, []).append(page)
check("each function has a page", differences(pages_of, exported + inline, "function ") + [
    f"{name}: in {' and '.join(pages)}" for name, pages in pages_of.items() if len(pages) > 1])

codes = re.findall(r"^    (LIBSD_E\w+) = -", headers, flags=re.M)
check("each error is in libsd_errors(3)",
      [name + ": is not" for name in codes if not re.search(name + r"\b", man3["libsd_errors.3"])])

types = re.findall(r"^(?:typedef )?(?:enum|struct) (libsd_\w+) \{", headers, flags=re.M)
types += re.findall(r"^typedef [\w ]+\**(libsd_\w+)\(", headers, flags=re.M)
check("each type is shown in one page",
      [f"{name}: {count} times" for name in types for count in
       [sum(len(re.findall(rf"^(?:typedef )?(?:(?:enum|struct) {name} \{{|[\w ]+\b{name}\()", mdoc, flags=re.M))
            for mdoc in man3.values())] if count != 1])

# Redeclaring a function in another way is an error of the compiler.
program = '#include <libsd.h>\n#include <sys/socket.h>\n'
for mdoc in man3.values():
    for kind, name, arguments in re.findall(r'^\.Ft "?(.*?)"?\n\.Fo (\w+)\n((?:\.Fa .*\n)+)\.Fc$', mdoc, flags=re.M):
        arguments = ", ".join(re.findall(r'^\.Fa "?(.*?)"?$', arguments, flags=re.M))
        program += f"{kind} {name}({arguments});\n"
compiler = ["cc", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-I", top + "/libsd", "-xc",
            "-fsyntax-only", "-"]
said = subprocess.run(compiler, input=program, capture_output=True, text=True).stderr
check("the prototypes are those of the headers", said.splitlines()[:10])

wrong = []
for page, mdoc in man3.items():
    if "\n.Sh EXAMPLES\n" not in mdoc:
        continue
    for example in re.findall(r"^\.Bd -literal\n(.*?)^\.Ed$", section(mdoc, "EXAMPLES"), flags=re.M | re.S):
        said = subprocess.run(compiler, input=plain(example), capture_output=True, text=True).stderr
        wrong += [page + ": " + line for line in said.splitlines()[:5]]
check("the examples compile", wrong)

# ---- all --------------------------------------------------------------------

written = {os.path.basename(path): text(path) for path in glob.glob(top + "/packaging/man/*.[1-8]")}
names = set(written) | set(man3) | {name + ".3" for name in pages_of}
references = [(page, f"{name}.{number}") for page, mdoc in {**man3, **written}.items()
              for name, number in re.findall(r"^\.(?:It )?Xr (\S+) (\d)", mdoc, flags=re.M)]
check("pages refer to pages that there are",
      [f"{page}: {name}" for page, name in references
       if re.match(r"libsd|etcdsd|libnss_etcdsd", name) and name not in names])
sys.exit(failed)
