"""The smallest step 1 that trains in a second: the beginning of the profiles that several tests write."""

from __future__ import annotations

STRUCTURE = """
[global_structure]
width = 24
min_width = 16
vae_refinements = 0
gan_stages = 1
channels = 8
layers = 1
latent_channels = 8
"""
