"""Notebooks as templates: checked, executed in fresh processes, collected."""
