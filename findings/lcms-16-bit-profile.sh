#!/usr/bin/env bash
# LittleCMS 2.18 (in imagecodecs 2026.3.6), 16 bits, no flags: from one matrix profile to another, Adobe RGB to
# sRGB, colours are off by up to 20 levels of 255, where the same library is right to 0.1 level in float and to
# 0.7 at 8 bits. From a grey profile in linear light the shadows are off by 10 levels. Deeper pixels give worse
# colours than 8 bits do: at 16 bits the optimiser replaces the chain of curves and matrix by a table of 33 steps,
# which cannot follow a curve at its dark end nor the edge where sRGB clips; at 8 bits it keeps the matrix.
# What to do: pass cmsFLAGS_NOOPTIMIZE for 16 bits (five times the time), or convert in float.
# Needs a Python 3.11 or newer with access to a package registry. Exit 0: still so; 1: it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check imagecodecs==2026.3.6 numpy==2.4.1
cat > it.py <<'PYTHON'
import sys

import numpy as np
from imagecodecs import CMS, cms_profile, cms_transform

srgb, adobe, grey = cms_profile("srgb"), cms_profile("adobergb"), cms_profile("gray", gamma=1.0)
unit = np.random.default_rng(0).random((200, 200, 3))
ramp = np.linspace(0, 1, 1000)[None] ** 2.4


def off(profile, values, dtype, flags, **space):
    """The largest difference from what float gives, in levels of 255."""
    full = 1 if dtype == "f4" else np.iinfo(dtype).max
    stored = np.rint(values * full).astype(dtype) if full > 1 else values.astype(dtype)
    exact = cms_transform((stored / full).astype("f4"), profile, srgb, intent=1, **space)
    given = cms_transform(stored, profile, srgb, intent=1, flags=flags, **space) / full
    return float(np.abs(np.clip(exact, 0, 1) - given).max() * 255)


rgb, grey_rgb, exactly = {"colorspace": "rgb"}, {"colorspace": "gray", "outcolorspace": "rgb"}, CMS.FLAGS.NOOPTIMIZE
found = [
    off(adobe, unit, "u1", 0, **rgb),
    off(adobe, unit, "u2", 0, **rgb),
    off(adobe, unit, "u2", exactly, **rgb),
    off(grey, ramp, "u2", 0, **grey_rgb),
    off(grey, ramp, "u2", exactly, **grey_rgb),
]
names = ("8 bits", "16 bits", "16 bits, NOOPTIMIZE", "16 bits grey", "16 bits grey, NOOPTIMIZE")
for name, levels in zip(names, found):
    print(f"{name}: off by {levels:.2f} levels of 255")
eight, sixteen, exact, dark, dark_exact = found
sys.exit(not (eight < 1 < 5 < sixteen and exact < 0.1 and dark > 2 and dark_exact < 0.1))
PYTHON
venv/bin/python it.py
