"""DG-Net's training step a second time, in eager PyTorch.

Written from the description of the model alone, not from the Rust code, so that an error in one of the two
shows as a difference. `benches/peer/README.md` says what it is for.
"""
