"""What a run's steps cost on this machine: time by part, arithmetic, memory. Needs neither data nor a trained teacher.

Imports nothing by itself.
"""
