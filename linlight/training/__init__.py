"""Callbacks that explain, log, check and save a training."""
