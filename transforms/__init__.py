"""Reusable Beam steps: from audio manifests to activations and embeddings.

They know nothing of command lines, configuration files or particular corpora. Nothing
is imported here: Beam takes most of a second to load, and not all of this needs it.
"""
