"""Campaigns: many runs from one file, planned first, made wherever there is room, and resumed at any moment."""
