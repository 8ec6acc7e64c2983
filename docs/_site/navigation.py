"""Add pages to the navigation automatically: generated results, and decisions."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig

SECTIONS = {"Results": "results-*.md", "Decisions": "decisions/*.md"}  # found by their names


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Insert the pages before those that `mkdocs.yml` lists in a section, or add the section."""
    docs = Path(config.docs_dir)
    for section, names in SECTIONS.items():
        found = [page.relative_to(docs).as_posix() for page in sorted(docs.glob(names))]
        listed = next((entry for entry in config.nav if section in entry), None)
        if listed is None:
            config.nav.append({section: found})
        else:
            listed[section] = [*found, *listed[section]]
    return config
