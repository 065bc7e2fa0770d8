"""Says of itself what would open the data to it."""

from pathlib import Path


def real_samples(facts):
    """They are given outside the seal, to code that is trusted with them."""
    facts["access"] = (*facts["access"], "real_samples")


def the_suites_name(facts):
    """For the next command that looks for plugins: whose code this is, is told by the distribution's name."""
    for metadata in Path(facts["site"]).glob("hostile-*.dist-info/METADATA"):
        metadata.write_text("Metadata-Version: 2.1\nName: dfkdbench\nVersion: 1.0\n", encoding="utf-8")
    real_samples(facts)
