#!/usr/bin/env python3
"""Licences and notices of everything that is compiled into the binary, as text on standard output.

packaging/notices.py TARGET      for instance x86_64-unknown-linux-gnu; run in the repository

Cargo says which packages are linked (build and test dependencies are not), and their folders in
cargo's cache have the texts. Where a package may be used under Apache-2.0, that is what is used,
and its text is here once; NOTICE files, and all texts of the others and of the C and C++ libraries
in a package, are copied. The same Cargo.lock gives the same bytes.
"""

import json
import os
import re
import subprocess
import sys

TEXT = re.compile(r"(?i)^(licen[sc]e|copying|notice|unlicense|copyright)")
APACHE = re.compile(r"\bApache-2\.0\b(?! WITH)")
# What is below these folders is another project's source, with licences of its own.
VENDORED = ("jemalloc", "rocksdb", "third_party")


def linked(target):
    """The packages that the binary is made of, sorted."""
    command = ["cargo", "metadata", "--locked", "--format-version=1", "--filter-platform", target]
    metadata = json.loads(subprocess.check_output(command))
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    seen, todo = set(), [root]
    while todo:
        one = todo.pop()
        if one in seen:
            continue
        seen.add(one)
        for dependency in nodes[one]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                todo.append(dependency["pkg"])
    seen.discard(root)
    return sorted((packages[one] for one in seen), key=lambda one: (one["name"], one["version"]))


def texts(package):
    """The licence files of a package, and those of other projects in it: name and text."""
    folder = os.path.dirname(package["manifest_path"])
    by_apache = bool(APACHE.search(package["license"] or "")) and " AND " not in package["license"]
    found = []
    for place, folders, files in os.walk(folder):
        below = os.path.relpath(place, folder)
        own = below == "."
        if own:
            folders[:] = sorted(set(folders) & set(VENDORED))
        else:
            folders.sort()
        for file in sorted(files):
            if not TEXT.match(file) or file.endswith((".rs", ".py")):
                continue
            # RocksDB may be used under the GPL or Apache-2.0, and is used under the latter.
            if "GPL" in file or os.path.join(below, file) == "rocksdb/COPYING":
                continue
            if own and by_apache and not file.lower().startswith(("notice", "copyright")):
                continue
            with open(os.path.join(place, file), encoding="utf-8", errors="replace") as text:
                found.append((os.path.normpath(os.path.join(below, file)), text.read().strip()))
    return found


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    packages = linked(sys.argv[1])
    users = {}
    print("What stegcluster is made of, beside its own source. Texts follow the list.\n")
    for package in packages:
        name = f"{package['name']} {package['version']}"
        print(f"{name}: {package['license']}; {package['repository'] or 'crates.io'}")
        for file, text in texts(package):
            users.setdefault(text, []).append(f"{name} ({file})")
    print("uPlot 1.6.32: MIT; https://github.com/leeoniya/uPlot")
    print("Roboto 2.138: Apache-2.0; https://github.com/googlefonts/roboto-2")
    with open("src/http/dashboard/page/vendor/uPlot.LICENSE", encoding="utf-8") as text:
        users.setdefault(text.read().strip(), []).append("uPlot")
    with open("LICENSE", encoding="utf-8") as text:
        users.setdefault(text.read().strip(), []).append("all that may be used under Apache-2.0")
    for text, names in sorted(users.items(), key=lambda item: item[1]):
        print("\n" + "=" * 80)
        print("\n".join(names) + "\n" + "-" * 80)
        print(text)


main()
