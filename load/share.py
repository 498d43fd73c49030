#!/usr/bin/env python3
"""Shares of samples by crate: share.py BINARY SAMPLES, the output of `perf script --show-mmap-events -F ip,sym,dso`.

A sample belongs to the innermost function that is not of the standard library, inlined ones included.
"""

import collections
import re
import subprocess
import sys

binary, samples = sys.argv[1:]
lines = [line.strip() for line in open(samples)]
mapping = re.compile(r"\[0x([0-9a-f]+)\(0x([0-9a-f]+)\) @ (?:0x)?([0-9a-f]+)")
base, size, offset = (
    int(text, 16)
    for text in next(mapping.search(line) for line in lines if binary in line and "r-xp" in line).groups()
)
headers = subprocess.run(["readelf", "-lW", binary], capture_output=True, text=True, check=True).stdout
segments = [(int(a, 16), int(b, 16)) for a, b in re.findall(r"LOAD\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)", headers)]
in_file, in_memory = [segment for segment in segments if segment[0] <= offset + 0xFFF][-1]

own, shares = collections.Counter(), collections.Counter()
for line in lines:
    if not line or line.startswith("PERF_"):
        continue
    address = int(line.split()[0], 16)
    if base <= address < base + size:
        own[address - base + offset - in_file + in_memory] += 1
    else:
        shares["the kernel" if "[kernel" in line else "libc"] += 1

told = subprocess.run(
    ["addr2line", "-i", "-a", "-f", "-e", binary],
    input="\n".join(map(hex, own)), capture_output=True, text=True, check=True,
).stdout
blocks = re.split(r"^(0x[0-9a-f]{8,})$", told, flags=re.M)[1:]


def crate(file):
    named = re.search(r"registry/src/[^/]+/([a-z0-9_-]+?)-\d", file)
    if named:
        return named[1]
    if "/rustc/" in file or "/library/" in file or "/rust/deps/" in file:
        return "std"
    room = re.search(r"(?:^|/)src/([a-z]+)/", file)
    return f"roomcast: {room[1]}" if room else "other"


for address, block in zip(blocks[::2], blocks[1::2]):
    crates = [crate(file) for file in block.strip().split("\n")[1::2]]
    shares[next((name for name in crates if name != "std"), "std")] += own[int(address, 16)]

total = sum(shares.values())
print(f"{total} samples of one pod\n\n| whose code | share |\n|---|---|")
for name, count in shares.most_common(14):
    print(f"| {name} | {count / total:.1%} |")
print(f"\nThe edge's stream: **{shares['roomcast: edge'] / total:.1%}** of the pod's processor time")
